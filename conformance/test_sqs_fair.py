"""SQS: fair queues, which are standard queues with message groups. Runs in both protocols (see README.md)."""

import concurrent.futures
import threading
import time
import uuid

import pytest

from sqs_help import bodies, refused

# The noisy tenant's messages, the consumers, and how long each works on a message.
BACKLOG = 20_000
CONSUMERS = 50
WORK = 0.1
# The quiet tenant: messages, and the seconds between them. Many enough for a 99th percentile that is not the worst.
QUIET = 120
PAUSE = 0.1


def send_backlog(tsugite, queue):
    """The noisy tenant's messages, sent by two clients."""
    def send(part):
        sqs = tsugite.client("sqs")
        for start in range(part, BACKLOG // 10, 2):
            entries = [{"Id": str(n), "MessageBody": f"noisy {start * 10 + n}", "MessageGroupId": "noisy"}
                       for n in range(10)]
            assert len(sqs.send_message_batch(QueueUrl=queue, Entries=entries)["Successful"]) == 10

    with concurrent.futures.ThreadPoolExecutor() as pool:
        for part in [pool.submit(send, n) for n in range(2)]:
            part.result()


def test_a_noisy_tenant_does_not_delay_a_quiet_one(tsugite, sqs, queue):
    """The bound: with 50 consumers of 100 ms each, the quiet tenant's p99 from send to receive is 200 ms at most."""
    send_backlog(tsugite, queue)
    stop, waits, noisy, lock = threading.Event(), [], [], threading.Lock()

    def consume():
        client = tsugite.client("sqs")
        while not stop.is_set():
            messages = client.receive_message(QueueUrl=queue, AttributeNames=["MessageGroupId"],
                                              WaitTimeSeconds=1).get("Messages", [])
            now = time.time()
            for message in messages:
                with lock:
                    if message["Attributes"]["MessageGroupId"] == "quiet":
                        waits.append(now - float(message["Body"]))
                    else:
                        noisy.append(message["MessageId"])
            time.sleep(WORK)
            for message in messages:
                client.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])

    consumers = [threading.Thread(target=consume) for _ in range(CONSUMERS)]
    for consumer in consumers:
        consumer.start()
    try:
        for _ in range(QUIET):
            sqs.send_message(QueueUrl=queue, MessageBody=str(time.time()), MessageGroupId="quiet")
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
    p99 = sorted(waits)[int(len(waits) * 0.99)]
    assert p99 <= 0.2, f"{p99 * 1000:.0f} ms, and the worst are {sorted(waits)[-5:]}"


def test_tenants_take_turns(sqs, queue):
    for group, count in (("a", 30), ("b", 3), ("c", 3)):
        for n in range(count):
            sqs.send_message(QueueUrl=queue, MessageBody=f"{group}{n}", MessageGroupId=group)
    first = bodies(sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10))
    assert {body[0] for body in first} == set("abc")
    second = bodies(sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10))
    assert {body for body in first + second if body[0] in "bc"} == {f"{group}{n}" for group in "bc" for n in range(3)}


def test_the_bound(sqs, queue):
    """A tenant's first message waits for one of each other tenant, however many those have and whenever it comes."""
    tenants = "abcdef"
    for tenant in tenants:
        for start in range(0, 40, 10):
            sqs.send_message_batch(QueueUrl=queue, Entries=[
                {"Id": str(n), "MessageBody": f"{tenant}{start + n}", "MessageGroupId": tenant} for n in range(10)])
    for turn in range(10):
        for _ in range(turn):
            sqs.receive_message(QueueUrl=queue)
        sqs.send_message(QueueUrl=queue, MessageBody="new", MessageGroupId=f"new-{turn}")
        before = []
        while not before or before[-1] != "new":
            before += bodies(sqs.receive_message(QueueUrl=queue))
        others = [body[0] for body in before[:-1]]
        assert len(others) == len(set(others)) <= len(tenants), before


def test_messages_without_a_group_are_tenants_of_their_own(sqs, queue):
    for n in range(30):
        sqs.send_message(QueueUrl=queue, MessageBody=f"a{n}", MessageGroupId="a")
    sqs.send_message(QueueUrl=queue, MessageBody="alone")
    got = bodies(sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10))
    got += bodies(sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10))
    assert "alone" in got


def test_groups_order_and_exclude_nothing(sqs, queue):
    for n in range(4):
        sqs.send_message(QueueUrl=queue, MessageBody=f"{n}", MessageGroupId="g")
    got = [bodies(sqs.receive_message(QueueUrl=queue)) for _ in range(4)]
    assert sorted(body for [body] in got) == ["0", "1", "2", "3"], "one in flight does not hide the others"


def test_groups_are_shown(sqs, queue):
    sqs.send_message(QueueUrl=queue, MessageBody="with", MessageGroupId="tenant-1")
    sqs.send_message(QueueUrl=queue, MessageBody="without")
    entries = [{"Id": "a", "MessageBody": "batch", "MessageGroupId": "tenant-2"}, {"Id": "b", "MessageBody": "plain"}]
    answer = sqs.send_message_batch(QueueUrl=queue, Entries=entries)
    assert len(answer["Successful"]) == 2 and all("SequenceNumber" not in entry for entry in answer["Successful"])
    messages = []
    while len(messages) < 4:
        messages += sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, AttributeNames=["All"])["Messages"]
    groups = {message["Body"]: message["Attributes"].get("MessageGroupId") for message in messages}
    assert groups == {"with": "tenant-1", "without": None, "batch": "tenant-2", "plain": None}
    for message in messages:
        assert not {"MessageDeduplicationId", "SequenceNumber"} & set(message["Attributes"])


def test_a_group_goes_with_a_dead_letter(sqs, queue):
    dead = sqs.create_queue(QueueName=f"dead-{uuid.uuid4()}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={
        "RedrivePolicy": f'{{"deadLetterTargetArn":"{arn}","maxReceiveCount":1}}'})
    sqs.send_message(QueueUrl=queue, MessageBody="poison", MessageGroupId="tenant")
    assert bodies(sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)) == ["poison"]
    assert bodies(sqs.receive_message(QueueUrl=queue)) == []
    moved = sqs.receive_message(QueueUrl=dead, AttributeNames=["All"])["Messages"][0]
    assert (moved["Body"], moved["Attributes"]["MessageGroupId"]) == ("poison", "tenant")


@pytest.mark.parametrize("ids,naming", [
    ({"MessageDeduplicationId": "d"}, "MessageDeduplicationId"),
    ({"MessageGroupId": "g", "MessageDeduplicationId": "d"}, "MessageDeduplicationId"),
    ({"MessageGroupId": "a b"}, "MessageGroupId"), ({"MessageGroupId": "x" * 129}, "MessageGroupId"),
])
def test_refusals(sqs, queue, ids, naming):
    refused("InvalidParameterValue", sqs.send_message, QueueUrl=queue, MessageBody="x", **ids, naming=naming)
    answer = sqs.send_message_batch(QueueUrl=queue, Entries=[
        {"Id": "bad", "MessageBody": "x"} | ids, {"Id": "good", "MessageBody": "y"}])
    assert [entry["Id"] for entry in answer["Successful"]] == ["good"]
    assert [(entry["Id"], entry["Code"]) for entry in answer["Failed"]] == [("bad", "InvalidParameterValue")]
    assert bodies(sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)) == ["y"]


def test_receive_attempts_are_for_fifo_queues(sqs, queue):
    refused("InvalidParameterValue", sqs.receive_message, QueueUrl=queue, ReceiveRequestAttemptId="a",
            naming="ReceiveRequestAttemptId")
