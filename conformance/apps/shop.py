"""A Celery application as one would write it for SQS. It knows of Tsugite no more than the address of a broker."""

import json
import os
import signal
import time

import celery

app = celery.Celery("shop", broker=os.environ["SHOP_BROKER"])
app.conf.update(
    broker_transport_options={"region": "us-east-1", "visibility_timeout": 3, "wait_time_seconds": 5,
                              "polling_interval": 0.1},
    task_acks_late=True,
    task_default_queue="shop",
    task_routes={"shop.restock": {"queue": "shop-restock"}},
    worker_prefetch_multiplier=1,
)


def note(**what):
    """One line for each thing that a task did."""
    with open(os.environ["SHOP_JOURNAL"], "a", encoding="utf-8") as journal:
        journal.write(json.dumps(what | {"at": time.time()}) + "\n")


@app.task
def order(number, what):
    note(task="order", number=number, what=what)


@app.task
def restock(what):
    note(task="restock", what=what)


@app.task(bind=True, max_retries=3)
def pay(self, number):
    """Fails twice before it succeeds."""
    note(task="pay", number=number, retries=self.request.retries)
    if self.request.retries < 2:
        raise self.retry(countdown=1)
    note(task="paid", number=number)


@app.task
def pack(number):
    """Takes its worker down with it the first time."""
    note(task="pack", number=number)
    with open(os.environ["SHOP_JOURNAL"], encoding="utf-8") as journal:
        tries = sum(json.loads(line)["task"] == "pack" for line in journal)
    if tries == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    note(task="packed", number=number)
