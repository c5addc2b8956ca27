"""SQS: message move tasks. Runs in both protocols (see README.md)."""

import base64
import collections
import concurrent.futures
import json
import os
import subprocess
import time
import uuid

import pytest

from process import binary
from sqs_help import arn_of, bodies, name_of, refused


@pytest.fixture
def dead(sqs):
    """The URL of a queue for dead letters."""
    return sqs.create_queue(QueueName=f"dead-{uuid.uuid4()}")["QueueUrl"]


@pytest.fixture
def target(sqs):
    """The URL of another queue."""
    return sqs.create_queue(QueueName=f"target-{uuid.uuid4()}")["QueueUrl"]


def with_dead_letters(sqs, dead, texts=()):
    """The URL of a new queue with the dead-letter queue `dead`, whose messages `texts` have got there."""
    policy = json.dumps({"deadLetterTargetArn": arn_of(dead), "maxReceiveCount": 1})
    attributes = {"RedrivePolicy": policy, "VisibilityTimeout": "0"}
    url = sqs.create_queue(QueueName=f"q-{uuid.uuid4()}", Attributes=attributes)["QueueUrl"]
    for text in texts:
        sqs.send_message(QueueUrl=url, MessageBody=text)
        while sqs.receive_message(QueueUrl=url).get("Messages"):
            pass
    return url


def start(sqs, source, **more):
    return sqs.start_message_move_task(SourceArn=arn_of(source), **more)["TaskHandle"]


def tasks(sqs, source, **more):
    return sqs.list_message_move_tasks(SourceArn=arn_of(source), **more).get("Results", [])


def ended(sqs, source):
    """The latest task, once it runs no more."""
    deadline = time.monotonic() + 20
    while True:
        (task,) = tasks(sqs, source)
        if task["Status"] not in ("RUNNING", "CANCELLING"):
            return task
        assert time.monotonic() < deadline, task
        time.sleep(0.01)


def depth(sqs, url):
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return tuple(int(attributes[name]) for name in names)


class TestMoves:
    def test_each_message_goes_back_to_its_own_queue(self, sqs, dead):
        first = with_dead_letters(sqs, dead, ["1", "3"])
        second = with_dead_letters(sqs, dead, ["2"])
        before = sqs.receive_message(
            QueueUrl=dead, MaxNumberOfMessages=10, VisibilityTimeout=0, AttributeNames=["All"])["Messages"]
        assert {message["Attributes"]["DeadLetterQueueSourceArn"] for message in before} == {
            arn_of(first), arn_of(second)}
        begin = time.time() * 1000
        start(sqs, dead)
        task = ended(sqs, dead)
        assert begin - 2000 < task.pop("StartedTimestamp") < begin + 5000
        assert task == {
            "Status": "COMPLETED", "SourceArn": arn_of(dead), "ApproximateNumberOfMessagesMoved": 3,
            "ApproximateNumberOfMessagesToMove": 3}
        assert depth(sqs, dead) == (0, 0)
        moved = sqs.receive_message(QueueUrl=first, MaxNumberOfMessages=10, AttributeNames=["All"])["Messages"]
        assert bodies({"Messages": moved}) == ["1", "3"]
        for message in moved:
            attributes = message["Attributes"]
            assert attributes["ApproximateReceiveCount"] == "1"
            assert "DeadLetterQueueSourceArn" not in attributes
            assert int(attributes["SentTimestamp"]) >= begin - 2000
            assert message["MessageId"] not in {old["MessageId"] for old in before}
        assert bodies(sqs.receive_message(QueueUrl=second)) == ["2"]

    def test_attributes_go_with_the_message(self, sqs, dead, target):
        source = with_dead_letters(sqs, dead)
        attributes = {"Colour": {"DataType": "String", "StringValue": "red"},
                      "Raw": {"DataType": "Binary", "BinaryValue": b"\0\1"}}
        sqs.send_message(QueueUrl=source, MessageBody="x", MessageAttributes=attributes)
        sqs.receive_message(QueueUrl=source)
        assert bodies(sqs.receive_message(QueueUrl=source)) == []
        start(sqs, dead, DestinationArn=arn_of(target))
        assert ended(sqs, dead)["DestinationArn"] == arn_of(target)
        (message,) = sqs.receive_message(QueueUrl=target, MessageAttributeNames=["All"])["Messages"]
        assert (message["Body"], message["MessageAttributes"]) == ("x", attributes)

    def test_what_is_in_flight_stays(self, sqs, dead, target):
        with_dead_letters(sqs, dead, ["1", "2"])
        (taken,) = sqs.receive_message(QueueUrl=dead, VisibilityTimeout=60)["Messages"]
        start(sqs, dead, DestinationArn=arn_of(target))
        assert ended(sqs, dead)["ApproximateNumberOfMessagesMoved"] == 1
        assert bodies(sqs.receive_message(QueueUrl=target)) == ["2"]
        assert depth(sqs, dead) == (0, 1)
        sqs.delete_message(QueueUrl=dead, ReceiptHandle=taken["ReceiptHandle"])
        assert depth(sqs, dead) == (0, 0)

    def test_a_waiting_receive_is_woken(self, sqs, dead):
        source = with_dead_letters(sqs, dead, ["1"])
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(sqs.receive_message, QueueUrl=source, WaitTimeSeconds=20)
            time.sleep(0.2)
            begin = time.monotonic()
            start(sqs, dead)
            assert bodies(waiting.result()) == ["1"]
            assert time.monotonic() - begin < 5

    def test_rate_handle_and_cancel(self, sqs, dead, target):
        with_dead_letters(sqs, dead, [str(i) for i in range(30)])
        handle = start(sqs, dead, DestinationArn=arn_of(target), MaxNumberOfMessagesPerSecond=5)
        told = json.loads(base64.b64decode(handle))
        assert told["sourceArn"] == arn_of(dead) and set(told) == {"taskId", "sourceArn"}
        assert str(uuid.UUID(told["taskId"])) == told["taskId"]
        time.sleep(1.5)
        (task,) = tasks(sqs, dead)
        assert (task["Status"], task["TaskHandle"], task["MaxNumberOfMessagesPerSecond"]) == ("RUNNING", handle, 5)
        assert 2 <= task["ApproximateNumberOfMessagesMoved"] <= 15
        refused("InvalidParameterValue", sqs.start_message_move_task, SourceArn=arn_of(dead), naming="SourceArn")
        moved = sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"]
        (task,) = tasks(sqs, dead)
        assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("CANCELLED", moved)
        assert "TaskHandle" not in task and "FailureReason" not in task
        assert (depth(sqs, dead)[0], depth(sqs, target)[0]) == (30 - moved, moved)
        refused("InvalidParameterValue", sqs.cancel_message_move_task, TaskHandle=handle, naming="TaskHandle")
        # The rest goes with the next one, which is first in the list.
        start(sqs, dead, DestinationArn=arn_of(target))
        assert ended(sqs, dead)["ApproximateNumberOfMessagesMoved"] == 30 - moved
        assert [task["Status"] for task in tasks(sqs, dead, MaxResults=10)] == ["COMPLETED", "CANCELLED"]
        assert depth(sqs, target) == (30, 0)

    def test_a_queue_without_tasks(self, sqs, dead):
        assert tasks(sqs, dead) == []


class TestFailures:
    def test_no_origin(self, sqs, dead):
        with_dead_letters(sqs, dead)
        sqs.send_message(QueueUrl=dead, MessageBody="sent here")
        start(sqs, dead)
        task = ended(sqs, dead)
        assert (task["Status"], task["FailureReason"]) == ("FAILED", "CouldNotDetermineMessageSource")
        assert "TaskHandle" not in task and depth(sqs, dead) == (1, 0)

    def test_a_destination_that_is_deleted(self, sqs, dead, target):
        with_dead_letters(sqs, dead, ["1", "2", "3"])
        start(sqs, dead, DestinationArn=arn_of(target), MaxNumberOfMessagesPerSecond=1)
        sqs.delete_queue(QueueUrl=target)
        task = ended(sqs, dead)
        assert (task["Status"], task["FailureReason"]) == ("FAILED", "AWS.SimpleQueueService.NonExistentQueue")
        assert depth(sqs, dead)[0] == 3 - task["ApproximateNumberOfMessagesMoved"]

    def test_an_origin_that_is_deleted(self, sqs, dead):
        source = with_dead_letters(sqs, dead, ["1"])
        start_later = with_dead_letters(sqs, dead)
        sqs.delete_queue(QueueUrl=source)
        start(sqs, dead)
        assert ended(sqs, dead)["FailureReason"] == "AWS.SimpleQueueService.NonExistentQueue"
        assert (depth(sqs, dead), depth(sqs, start_later)) == ((1, 0), (0, 0))


class TestRefusals:
    def test_start(self, sqs, dead, target):
        refused("InvalidParameterValue", sqs.start_message_move_task, SourceArn=arn_of(dead), naming=name_of(dead))
        with_dead_letters(sqs, dead)
        missing = arn_of(dead) + "-missing"
        refused("ResourceNotFoundException", sqs.start_message_move_task, status=404, SourceArn=missing,
                naming="SourceArn")
        refused("ResourceNotFoundException", sqs.start_message_move_task, status=404, SourceArn=arn_of(dead),
                DestinationArn=missing, naming="DestinationArn")
        refused("InvalidParameterValue", sqs.start_message_move_task, SourceArn=arn_of(dead),
                DestinationArn=arn_of(dead), naming="DestinationArn")
        refused("InvalidParameterValue", sqs.start_message_move_task, SourceArn="dead", naming="SourceArn")
        refused("InvalidParameterValue", sqs.start_message_move_task, SourceArn=arn_of(dead), DestinationArn="x",
                naming="DestinationArn")
        refused("MissingParameter", sqs.start_message_move_task, SourceArn="", naming="SourceArn")
        for rate in (0, -1, 501):
            refused("InvalidParameterValue", sqs.start_message_move_task, SourceArn=arn_of(dead),
                    DestinationArn=arn_of(target), MaxNumberOfMessagesPerSecond=rate,
                    naming="MaxNumberOfMessagesPerSecond")
        fifo = f"f-{uuid.uuid4()}.fifo"
        sqs.create_queue(QueueName=fifo, Attributes={"FifoQueue": "true"})
        refused("InvalidParameterValue", sqs.start_message_move_task, SourceArn=arn_of(dead),
                DestinationArn=arn_of(f"http://x/000000000000/{fifo}"), naming="DestinationArn")
        assert tasks(sqs, dead) == []

    def test_list(self, sqs, dead):
        missing = arn_of(dead) + "-missing"
        refused("ResourceNotFoundException", sqs.list_message_move_tasks, status=404, SourceArn=missing,
                naming="SourceArn")
        for most in (0, 11):
            refused("InvalidParameterValue", sqs.list_message_move_tasks, SourceArn=arn_of(dead), MaxResults=most,
                    naming="MaxResults")

    def test_cancel(self, sqs, dead):
        def handle(task, source):
            return base64.b64encode(json.dumps({"taskId": task, "sourceArn": source}).encode()).decode()

        unknown = str(uuid.uuid4())
        for bad in ("x", "e30=", handle("x", arn_of(dead)), handle(unknown, "dead")):
            refused("InvalidParameterValue", sqs.cancel_message_move_task, TaskHandle=bad, naming="TaskHandle")
        refused("MissingParameter", sqs.cancel_message_move_task, TaskHandle="", naming="TaskHandle")
        refused("ResourceNotFoundException", sqs.cancel_message_move_task, status=404,
                TaskHandle=handle(unknown, arn_of(dead)), naming=unknown)
        refused("ResourceNotFoundException", sqs.cancel_message_move_task, status=404,
                TaskHandle=handle(unknown, arn_of(dead) + "-missing"), naming=name_of(dead))


def many(work, items):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(work, items))


def fill(sqs, url, count, size=100):
    def send(first):
        entries = [{"Id": str(i), "MessageBody": f"{first + i} ".ljust(size, "x")} for i in range(10)]
        assert "Failed" not in sqs.send_message_batch(QueueUrl=url, Entries=entries)

    many(send, range(0, count, 10))


def drain(sqs, url):
    """Numbers of the messages in a queue, each as often as it came."""
    def take(_):
        found = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            found += [int(message["Body"].split()[0]) for message in messages]
            entries = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"]} for i, m in enumerate(messages)]
            assert "Failed" not in sqs.delete_message_batch(QueueUrl=url, Entries=entries)
        return found

    return collections.Counter(number for part in many(take, range(8)) for number in part)


# As fast as possible with messages that take time to copy, and small ones at a rate.
@pytest.mark.parametrize(("count", "size", "pause", "limit"), [
    (8_000, 20_000, 0.01, {}), (2_000, 100, 0.1, {"MaxNumberOfMessagesPerSecond": 500})])
def test_kill_9_amid_a_large_move(start_tsugite, count, size, pause, limit):
    one = start_tsugite()
    sqs = one.client("sqs", max_pool_connections=8)
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    sqs.create_queue(QueueName="target")
    with_dead_letters(sqs, dead)
    fill(sqs, dead, count, size)
    start(sqs, dead, DestinationArn=arn_of(dead).replace("dead", "target"), **limit)
    amid, moved = 0, 0
    for n in range(15):
        time.sleep(pause * (n % 5))
        one.kill()
        one.start()
        sqs = one.client("sqs", max_pool_connections=8)
        dead, target = (sqs.get_queue_url(QueueName=name)["QueueUrl"] for name in ("dead", "target"))
        (task,) = tasks(sqs, dead)
        assert task["ApproximateNumberOfMessagesMoved"] >= moved
        moved = task["ApproximateNumberOfMessagesMoved"]
        if task["Status"] != "RUNNING":
            break
        amid += 0 < moved < count
    assert amid >= 1, "the move was over before it was killed; give it more messages"
    task = ended(sqs, dead)
    assert (task["Status"], task["ApproximateNumberOfMessagesMoved"]) == ("COMPLETED", count)
    assert depth(sqs, dead) == (0, 0)
    found = drain(sqs, target)
    assert [number for number, times in found.items() if times > 1] == []
    assert sorted(found) == list(range(count))


def test_a_virtual_clock_carries_a_task_on(start_tsugite):
    one = start_tsugite("--virtual-clock")
    sqs = one.client("sqs")
    dead = sqs.create_queue(QueueName="dead")["QueueUrl"]
    target = sqs.create_queue(QueueName="target")["QueueUrl"]
    with_dead_letters(sqs, dead)
    fill(sqs, dead, 100)
    start(sqs, dead, DestinationArn=arn_of(target), MaxNumberOfMessagesPerSecond=1)
    assert one.admin("POST", "/v1/clock/advance", {"seconds": 60})[0] == 200
    deadline = time.monotonic() + 5
    while (moved := tasks(sqs, dead)[0]["ApproximateNumberOfMessagesMoved"]) < 60:
        assert time.monotonic() < deadline, moved
    assert moved < 80
    one.admin("POST", "/v1/clock/advance", {"seconds": 60})
    assert ended(sqs, dead)["ApproximateNumberOfMessagesMoved"] == 100


class TestAdmin:
    def command(self, tsugite, *arguments, code=0):
        command = [binary(), "queues", "redrive", *arguments, "--admin", tsugite.addresses["admin"]]
        done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=30)
        assert done.returncode == code, (done.stdout, done.stderr)
        return done.stdout if code == 0 else done.stderr

    def test_the_command_line_redrives(self, tsugite, sqs, dead, target):
        name = name_of(dead)
        source = with_dead_letters(sqs, dead, ["1", "2"])
        assert "never redriven" in self.command(tsugite, name, "--list")
        assert "completed  moved 2 of 2" in self.command(tsugite, name, "--wait")
        assert depth(sqs, source) == (2, 0)
        assert bodies(sqs.receive_message(QueueUrl=source, MaxNumberOfMessages=2)) == ["1", "2"]
        assert bodies(sqs.receive_message(QueueUrl=source, MaxNumberOfMessages=2)) == []
        running = self.command(tsugite, name, "--to", name_of(target), "--rate", "1", "--json")
        assert json.loads(running)["to"] == name_of(target)
        assert "task is running already" in self.command(tsugite, name, code=1)
        assert "cancelled; moved" in self.command(tsugite, name, "--cancel")
        assert "no redrive" in self.command(tsugite, name, "--cancel", code=1)
        listed = self.command(tsugite, name, "--list").splitlines()
        assert [line.split("  ")[1] for line in listed] == ["cancelled", "completed"]
        assert name_of(target) in listed[0] and "at 1/s" in listed[0]

    def test_a_redrive_that_fails_says_why(self, tsugite, sqs, dead):
        with_dead_letters(sqs, dead)
        sqs.send_message(QueueUrl=dead, MessageBody="sent here")
        assert "nowhere to go back to" in self.command(tsugite, name_of(dead), "--wait", code=1)
        assert "doesn't exist" in self.command(tsugite, name_of(dead), "--to", "nowhere", code=1)
        assert "no queue" in self.command(tsugite, "nowhere", code=1)

    def test_the_api_links(self, tsugite, sqs, dead):
        with_dead_letters(sqs, dead, ["1"])
        status, queue = tsugite.admin("GET", f"/v1/queues/{name_of(dead)}")
        path = queue["_links"]["redrive"]["href"]
        status, task = tsugite.admin("POST", path, {"rate": 1})
        assert (status, task["state"], task["total"], task["rate"]) == (202, "running", 1, 1)
        assert task["_links"]["self"]["href"] == path
        assert tsugite.admin("POST", path, {"rate": 1})[0] == 409
        status, answer = tsugite.admin("GET", path)
        assert status == 200 and [one["id"] for one in answer["tasks"]] == [task["id"]]
        assert tsugite.admin("POST", path, {"speed": 1})[0] == 400
        assert tsugite.admin("POST", path, {"rate": 501})[0] == 400
        assert tsugite.admin("DELETE", path)[1]["outcome"] == "cancelled"
        assert tsugite.admin("DELETE", path)[0] == 409
