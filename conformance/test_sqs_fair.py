"""SQS: fair queues, which are standard queues with message groups. Runs in both protocols (see README.md)."""

import uuid

import pytest

from sqs_help import bodies, refused


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
