"""Fair queues under load: how long a quiet tenant waits beside a noisy one. Bare HTTP clients, which cost little."""

import concurrent.futures
import threading
import time

from kill9_load import Client

# The noisy tenant's messages, the consumers, and how long each works on a message.
BACKLOG = 20_000
CONSUMERS = 50
WORK = 0.1
# The quiet tenant: messages, and the seconds between them. Enough for a 99th percentile that is not the worst one.
QUIET = 300
PAUSE = 0.05
BOUND = 0.2


def test_a_noisy_tenant_does_not_delay_a_quiet_one(tsugite):
    """The bound: with 50 consumers of 100 ms each, the quiet tenant's p99 from send to receive is 200 ms at most."""
    fresh = lambda: Client(tsugite.addresses)
    fresh().sqs("CreateQueue", QueueName="busy")

    def fill(part):
        client = fresh()
        for start in range(part, BACKLOG // 10, 4):
            entries = [{"Id": str(n), "MessageBody": f"noisy {start * 10 + n}", "MessageGroupId": "noisy"}
                       for n in range(10)]
            assert len(client.sqs("SendMessageBatch", "busy", Entries=entries)["Successful"]) == 10

    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(fill, range(4)))

    stop, waits, noisy, lock = threading.Event(), [], [], threading.Lock()

    def consume():
        client = fresh()
        while not stop.is_set():
            answer = client.sqs("ReceiveMessage", "busy", MessageSystemAttributeNames=["MessageGroupId"],
                                WaitTimeSeconds=1)
            now = time.monotonic()
            for message in answer.get("Messages", []):
                with lock:
                    if message["Attributes"]["MessageGroupId"] == "quiet":
                        waits.append(now - float(message["Body"]))
                    else:
                        noisy.append(message["MessageId"])
                time.sleep(WORK)
                client.sqs("DeleteMessage", "busy", ReceiptHandle=message["ReceiptHandle"])

    consumers = [threading.Thread(target=consume) for _ in range(CONSUMERS)]
    for consumer in consumers:
        consumer.start()
    try:
        client = fresh()
        for _ in range(QUIET):
            client.sqs("SendMessage", "busy", MessageBody=str(time.monotonic()), MessageGroupId="quiet")
            time.sleep(PAUSE)
        deadline = time.monotonic() + 10
        while len(waits) < QUIET and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        stop.set()
        for consumer in consumers:
            consumer.join()
    assert len(waits) == QUIET
    assert len(set(noisy)) == len(noisy) > QUIET, "the others are served all the while"
    assert len(noisy) < BACKLOG, "there was always something to wait behind"
    p99 = sorted(waits)[int(len(waits) * 0.99)]
    assert p99 <= BOUND, f"{p99 * 1000:.0f} ms, and the worst are {sorted(waits)[-5:]}"
    print(f"p99 {p99 * 1000:.1f} ms, worst {max(waits) * 1000:.1f} ms, {len(noisy)} others served")
