"""SQS: message move tasks, on a virtual clock. Runs in both protocols (see README.md)."""

import base64
import json
import time
import uuid

import pytest

from sqs_help import arn_of, bodies, refused

NOT_FOUND = "ResourceNotFoundException"


@pytest.fixture(scope="module")
def tsugite(clocked):
    return clocked


def create(sqs, fifo=False, **attributes):
    name = f"q-{uuid.uuid4()}" + (".fifo" if fifo else "")
    attributes |= {"FifoQueue": "true"} if fifo else {}
    return sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]


def with_dead(sqs, dead, fifo=False):
    """A new source of a dead-letter queue, after one receive."""
    policy = json.dumps({"deadLetterTargetArn": arn_of(dead), "maxReceiveCount": 1})
    return create(sqs, fifo, RedrivePolicy=policy)


def bury(sqs, source, *names):
    """Sends messages and lets them become dead letters."""
    for name in names:
        more = {"MessageGroupId": name.split("-")[0], "MessageDeduplicationId": name} if ".fifo" in source else {}
        sqs.send_message(QueueUrl=source, MessageBody=name, **more)
    left = len(names)
    while left:
        left -= len(bodies(sqs.receive_message(QueueUrl=source, MaxNumberOfMessages=10, VisibilityTimeout=0)))
    while bodies(sqs.receive_message(QueueUrl=source, MaxNumberOfMessages=10, VisibilityTimeout=0)):
        pass


def tasks(sqs, dead, most=10):
    return sqs.list_message_move_tasks(SourceArn=arn_of(dead), MaxResults=most).get("Results", [])


def ended(sqs, dead, status="COMPLETED"):
    """The latest task, once it has left RUNNING."""
    deadline = time.monotonic() + 10
    while (task := tasks(sqs, dead)[0])["Status"] in ("RUNNING", "CANCELLING") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert task["Status"] == status, task
    return task


def drain(sqs, url, **more):
    found = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, **more).get("Messages"):
        found += messages
    return found


class TestMoves:
    def test_each_message_goes_back_where_it_came_from(self, sqs):
        dead = create(sqs)
        one, other = with_dead(sqs, dead), with_dead(sqs, dead)
        bury(sqs, one, "a", "b")
        bury(sqs, other, "c")
        answer = sqs.start_message_move_task(SourceArn=arn_of(dead))
        handle = json.loads(base64.b64decode(answer["TaskHandle"]))
        assert handle["sourceArn"] == arn_of(dead) and uuid.UUID(handle["taskId"])
        task = ended(sqs, dead)
        assert task["ApproximateNumberOfMessagesMoved"] == 3 and "TaskHandle" not in task
        assert task["SourceArn"] == arn_of(dead) and "DestinationArn" not in task and "FailureReason" not in task
        assert sorted(m["Body"] for m in drain(sqs, one)) == ["a", "b"]
        assert [m["Body"] for m in drain(sqs, other)] == ["c"]
        assert drain(sqs, dead) == []

    def test_or_where_one_says(self, tsugite, sqs):
        dead, elsewhere = create(sqs), create(sqs)
        source = with_dead(sqs, dead)
        attributes = {"n": {"DataType": "Number", "StringValue": "1"}}
        sent = sqs.send_message(QueueUrl=source, MessageBody="x", MessageAttributes=attributes)
        bury(sqs, source)
        first = sqs.receive_message(QueueUrl=source, VisibilityTimeout=0, AttributeNames=["All"])["Messages"][0]
        assert drain(sqs, source) == []
        tsugite.advance(10)
        sqs.start_message_move_task(SourceArn=arn_of(dead), DestinationArn=arn_of(elsewhere),
                                    MaxNumberOfMessagesPerSecond=100)
        tsugite.advance(1)
        task = ended(sqs, dead)
        assert task["DestinationArn"] == arn_of(elsewhere) and task["MaxNumberOfMessagesPerSecond"] == 100
        [moved] = drain(sqs, elsewhere, AttributeNames=["All"], MessageAttributeNames=["All"])
        assert moved["Body"] == "x" and moved["MessageAttributes"] == attributes
        assert moved["MessageId"] != sent["MessageId"], "a moved message is a new one"
        facts = moved["Attributes"]
        assert facts["ApproximateReceiveCount"] == "1"
        assert int(facts["SentTimestamp"]) - int(first["Attributes"]["SentTimestamp"]) >= 10_000

    def test_what_is_in_flight_stays(self, sqs):
        dead = create(sqs)
        source = with_dead(sqs, dead)
        bury(sqs, source, "a", "b")
        held = sqs.receive_message(QueueUrl=dead)["Messages"][0]
        sqs.start_message_move_task(SourceArn=arn_of(dead))
        assert ended(sqs, dead)["ApproximateNumberOfMessagesMoved"] == 1
        assert [m["Body"] for m in drain(sqs, source)] == [{"a": "b", "b": "a"}[held["Body"]]]
        sqs.change_message_visibility(QueueUrl=dead, ReceiptHandle=held["ReceiptHandle"], VisibilityTimeout=0)
        assert [m["Body"] for m in drain(sqs, dead)] == [held["Body"]]

    def test_in_order_from_a_fifo_queue(self, sqs):
        dead = create(sqs, fifo=True)
        source = with_dead(sqs, dead, fifo=True)
        bury(sqs, source, "a-1", "b-1", "a-2", "a-3")
        sqs.start_message_move_task(SourceArn=arn_of(dead))
        assert ended(sqs, dead)["ApproximateNumberOfMessagesMoved"] == 4
        back = [m["Body"] for m in drain(sqs, source)]
        assert [body for body in back if body[0] == "a"] == ["a-1", "a-2", "a-3"] and "b-1" in back

    def test_at_the_rate_that_was_asked_for(self, tsugite, sqs):
        dead = create(sqs)
        source = with_dead(sqs, dead)
        bury(sqs, source, *map(str, range(20)))
        sqs.start_message_move_task(SourceArn=arn_of(dead), MaxNumberOfMessagesPerSecond=1)
        task = tasks(sqs, dead)[0]
        assert task["Status"] == "RUNNING" and task["ApproximateNumberOfMessagesToMove"] == 20
        assert task["ApproximateNumberOfMessagesMoved"] < 5
        tsugite.advance(30)
        assert ended(sqs, dead)["ApproximateNumberOfMessagesMoved"] == 20


class TestTasks:
    @pytest.fixture
    def slow(self, sqs):
        """(dead-letter queue, source, task handle) of a task that runs for long."""
        dead = create(sqs)
        source = with_dead(sqs, dead)
        bury(sqs, source, *map(str, range(10)))
        answer = sqs.start_message_move_task(SourceArn=arn_of(dead), MaxNumberOfMessagesPerSecond=1)
        return dead, source, answer["TaskHandle"]

    def test_one_at_a_time(self, sqs, slow):
        dead, _, handle = slow
        refused("InvalidParameterValue", sqs.start_message_move_task, SourceArn=arn_of(dead))
        assert tasks(sqs, dead)[0]["TaskHandle"] == handle

    def test_cancelled(self, sqs, slow):
        dead, source, handle = slow
        moved = sqs.cancel_message_move_task(TaskHandle=handle)["ApproximateNumberOfMessagesMoved"]
        task = ended(sqs, dead, "CANCELLED")
        assert task["ApproximateNumberOfMessagesMoved"] == moved < 10 and "TaskHandle" not in task
        assert len(drain(sqs, source)) == moved, "what is moved stays moved"
        assert len(drain(sqs, dead)) == 10 - moved
        refused("InvalidParameterValue", sqs.cancel_message_move_task, TaskHandle=handle)
        sqs.start_message_move_task(SourceArn=arn_of(dead))

    def test_newest_first(self, tsugite, sqs):
        dead = create(sqs)
        with_dead(sqs, dead)
        started = []
        for _ in range(3):
            sqs.start_message_move_task(SourceArn=arn_of(dead))
            started.append(ended(sqs, dead)["StartedTimestamp"])
            tsugite.advance(1)
        assert [task["StartedTimestamp"] for task in tasks(sqs, dead)] == sorted(started, reverse=True)
        assert all(len(str(at)) == 13 for at in started), "milliseconds"
        assert len(sqs.list_message_move_tasks(SourceArn=arn_of(dead))["Results"]) == 1
        assert len(tasks(sqs, dead, 2)) == 2

    def test_fails_when_its_target_goes(self, tsugite, sqs):
        dead, elsewhere = create(sqs), create(sqs)
        source = with_dead(sqs, dead)
        bury(sqs, source, *map(str, range(10)))
        sqs.start_message_move_task(SourceArn=arn_of(dead), DestinationArn=arn_of(elsewhere),
                                    MaxNumberOfMessagesPerSecond=1)
        sqs.delete_queue(QueueUrl=elsewhere)
        tsugite.advance(5)
        assert ended(sqs, dead, "FAILED")["FailureReason"]

    def test_refusals(self, sqs, queue):
        start, listing, cancel = sqs.start_message_move_task, sqs.list_message_move_tasks, sqs.cancel_message_move_task
        arn = arn_of(queue)
        dead = create(sqs)
        with_dead(sqs, dead)
        refused("InvalidParameterValue", start, SourceArn=arn)
        refused(NOT_FOUND, start, status=404, SourceArn=arn + "-missing")
        refused(NOT_FOUND, start, status=404, SourceArn=arn_of(dead), DestinationArn=arn + "-missing")
        refused("InvalidParameterValue", start, SourceArn=arn_of(dead), DestinationArn=arn_of(create(sqs, fifo=True)))
        for rate in (0, 501):
            refused("InvalidParameterValue", start, SourceArn=arn_of(dead), MaxNumberOfMessagesPerSecond=rate)
        refused(NOT_FOUND, listing, status=404, SourceArn=arn + "-missing")
        assert tasks(sqs, queue) == []
        for most in (0, 11):
            refused("InvalidParameterValue", listing, SourceArn=arn, MaxResults=most)
        handle = lambda source: base64.b64encode(
            json.dumps({"taskId": str(uuid.uuid4()), "sourceArn": source}).encode()).decode()
        refused("InvalidParameterValue", cancel, TaskHandle="no handle")
        for source in (arn, arn + "-missing"):
            refused(NOT_FOUND, cancel, status=404, TaskHandle=handle(source))


@pytest.mark.parametrize("crash", [False, True], ids=["stop", "kill -9"])
def test_a_task_outlives_the_process(start_tsugite, crash):
    server = start_tsugite()
    sqs = server.client("sqs")
    dead = create(sqs)
    source = with_dead(sqs, dead)
    names = [str(n) for n in range(30)]
    bury(sqs, source, *names)
    sqs.start_message_move_task(SourceArn=arn_of(dead), MaxNumberOfMessagesPerSecond=20)
    server.restart(crash=crash)
    sqs = server.client("sqs")
    dead, source = (sqs.get_queue_url(QueueName=url.rsplit("/", 1)[1])["QueueUrl"] for url in (dead, source))
    assert ended(sqs, dead)["ApproximateNumberOfMessagesMoved"] == 30
    assert sorted(m["Body"] for m in drain(sqs, source)) == sorted(names)
    assert drain(sqs, dead) == []
