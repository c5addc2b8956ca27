"""SQS: message move tasks on a virtual clock, and of FIFO queues. Runs in both protocols (see README.md)."""

import json
import time
import uuid

import pytest

from sqs_help import arn_of, bodies


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
        sqs.start_message_move_task(SourceArn=arn_of(dead))
        task = ended(sqs, dead)
        assert task["ApproximateNumberOfMessagesMoved"] == 3 and "TaskHandle" not in task
        assert task["SourceArn"] == arn_of(dead) and "DestinationArn" not in task and "FailureReason" not in task
        assert sorted(m["Body"] for m in drain(sqs, one)) == ["a", "b"]
        assert [m["Body"] for m in drain(sqs, other)] == ["c"]
        assert drain(sqs, dead) == []

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
