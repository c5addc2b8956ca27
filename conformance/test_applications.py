"""Whole applications as they are on PyPI and npm, pointed at the AWS port by nothing but an address."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
MODULES = HERE.parent / "examples/javascript/node_modules"


class Shop:
    """The Celery application of apps/shop.py: its environment, its workers, and the journal that its tasks write."""

    def __init__(self, tsugite, folder):
        self.journal = folder / "journal"
        self.journal.touch()
        self.log = folder / "worker.log"
        host, port = tsugite.address("aws")
        self.env = os.environ | {"SHOP_BROKER": f"sqs://test:test@{host}:{port}//", "SHOP_JOURNAL": str(self.journal),
                                 "PYTHONPATH": str(HERE / "apps"), "PYTHONDONTWRITEBYTECODE": "1"}
        self.workers = []

    def worker(self, *more):
        with open(self.log, "ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "shop", "worker", "-Q", "shop,shop-restock", "--without-mingle",
                 "--without-gossip", "--without-heartbeat", "-l", "INFO", *more],
                env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.log.parent)
        self.workers.append(worker)
        return worker

    def call(self, code):
        """Runs a producer in a process of its own."""
        done = subprocess.run([sys.executable, "-c", "import shop\n" + code], env=self.env, capture_output=True,
                              text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr

    def notes(self, task):
        lines = map(json.loads, self.journal.read_text().splitlines())
        return [line for line in lines if line["task"] == task]

    def wait(self, task, count=1, seconds=40):
        deadline = time.monotonic() + seconds
        while len(self.notes(task)) < count:
            assert time.monotonic() < deadline, (task, self.notes(task), self.log.read_text()[-4000:])
            time.sleep(0.05)
        return self.notes(task)

    def stop(self):
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()


@pytest.fixture
def shop(tsugite, tmp_path):
    one = Shop(tsugite, tmp_path)
    yield one
    one.stop()


def left(tsugite, *names):
    """Messages in these queues, visible or not."""
    sqs, found = tsugite.client("sqs"), 0
    for name in names:
        url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        kinds = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible",
                 "ApproximateNumberOfMessagesDelayed"]
        found += sum(map(int, sqs.get_queue_attributes(QueueUrl=url, AttributeNames=kinds)["Attributes"].values()))
    return found


def is_empty(tsugite, *names, seconds=10):
    deadline = time.monotonic() + seconds
    while left(tsugite, *names) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left(tsugite, *names) == 0


def test_celery(tsugite, shop):
    """Tasks in two queues, retries with a countdown, and a worker that dies amid a task, by its visibility timeout."""
    shop.call("for n in range(50): shop.order.delay(n, 'ünïcode ' * n)\nshop.restock.delay('tea')")
    shop.worker("--concurrency", "2")
    orders = shop.wait("order", 50)
    assert sorted((order["number"], order["what"]) for order in orders) == [(n, "ünïcode " * n) for n in range(50)]
    shop.wait("restock")
    shop.call("shop.pay.delay(7)")
    shop.wait("paid")
    tries = shop.notes("pay")
    assert [note["retries"] for note in tries] == [0, 1, 2]
    assert all(b["at"] - a["at"] > 0.9 for a, b in zip(tries, tries[1:])), "a countdown of a second each"
    begin = time.time()
    shop.call("shop.order.apply_async((99, 'later'), countdown=2)")
    late = shop.wait("order", 51)[-1]
    assert late["number"] == 99 and late["at"] - begin > 1.5
    shop.stop()
    assert is_empty(tsugite, "shop", "shop-restock")


def test_celery_gets_back_what_a_dead_worker_held(tsugite, shop):
    worker = shop.worker("--pool", "solo")
    shop.call("shop.pack.delay(1)")
    assert worker.wait(40) == -signal.SIGKILL
    assert left(tsugite, "shop") == 1
    shop.worker("--pool", "solo")
    shop.wait("packed")
    first, second = shop.notes("pack")
    assert second["at"] - first["at"] > 1.5, "not before the visibility timeout of three seconds"
    shop.stop()
    assert is_empty(tsugite, "shop")


def test_sqs_consumer_and_producer(tsugite):
    environment = tsugite.aws_env()
    environment.setdefault("TSUGITE_NODE_MODULES", str(MODULES))
    assert os.path.isdir(environment["TSUGITE_NODE_MODULES"]), "run `npm ci` in examples/javascript"
    done = subprocess.run([shutil.which("node") or "node", str(HERE / "js/consumer.mjs")], env=environment,
                          capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().endswith("ok"), done.stdout
