"""SQS: dead-letter queues, their policies and what a moved message keeps. Runs in both protocols (see README.md)."""

import json
import uuid

import pytest

from sqs_help import arn_of, bodies, refused


def policy(target, receives=1):
    return {"RedrivePolicy": json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": receives})}


@pytest.fixture
def dead(sqs):
    """The URL of a queue for dead letters."""
    return sqs.create_queue(QueueName=f"dead-{uuid.uuid4()}")["QueueUrl"]


class TestPolicies:
    def test_is_returned_as_it_was_given(self, sqs, queue, dead):
        given = policy(arn_of(dead), 10)
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=given)
        read = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy", "QueueArn"])["Attributes"]
        assert read == given | {"QueueArn": arn_of(queue)}
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": ""})
        assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])

    def test_the_count_may_be_text(self, sqs, queue, dead):
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=policy(arn_of(dead), "42"))

    @pytest.mark.parametrize("make", [
        lambda arn: {"deadLetterTargetArn": arn}, lambda arn: {"maxReceiveCount": "42"},
        lambda arn: {"deadLetterTargetArn": arn, "maxReceiveCount": "invalid"},
        lambda arn: {"deadLetterTargetArn": arn, "maxReceiveCount": 0},
        lambda arn: {"deadLetterTargetArn": "dummy", "maxReceiveCount": 42},
        lambda arn: {"deadLetterTargetArn": arn + "-missing", "maxReceiveCount": 42},
        lambda arn: "no object",
    ])
    def test_bad_ones(self, sqs, queue, dead, make):
        attributes = {"RedrivePolicy": json.dumps(make(arn_of(dead)))}
        refused("InvalidParameterValue", sqs.set_queue_attributes, QueueUrl=queue, Attributes=attributes,
                naming="RedrivePolicy")
        refused("InvalidParameterValue", sqs.create_queue, QueueName=f"q-{uuid.uuid4()}", Attributes=attributes)


class TestMoves:
    def test_after_the_count_and_with_everything(self, sqs, queue, dead):
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=policy(arn_of(dead)))
        trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
        attributes = {"MyAttribute": {"StringValue": "foobar", "DataType": "String"}}
        sent = sqs.send_message(
            QueueUrl=queue, MessageBody="poison", MessageAttributes=attributes,
            MessageSystemAttributes={"AWSTraceHeader": {"StringValue": trace, "DataType": "String"}})
        everything = {"AttributeNames": ["All"], "MessageAttributeNames": ["All"]}
        first = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0, **everything)["Messages"][0]
        assert bodies(sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)) == []
        moved = sqs.receive_message(QueueUrl=dead, WaitTimeSeconds=2, **everything)["Messages"][0]
        assert (moved["MessageId"], moved["Body"]) == (sent["MessageId"], "poison")
        assert moved["MessageAttributes"] == attributes
        assert moved["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
        expected = {"AWSTraceHeader": trace, "DeadLetterQueueSourceArn": arn_of(queue), "ApproximateReceiveCount": "2",
                    "SentTimestamp": first["Attributes"]["SentTimestamp"]}
        assert moved["Attributes"].items() >= expected.items()
        assert set(moved["Attributes"]) == set(first["Attributes"]) | {"DeadLetterQueueSourceArn"}

    def test_receives_go_on_with_other_messages(self, sqs, queue, dead):
        sqs.set_queue_attributes(QueueUrl=queue, Attributes=policy(arn_of(dead)))
        sqs.send_message(QueueUrl=queue, MessageBody="a")
        assert bodies(sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)) == ["a"]
        sqs.send_message(QueueUrl=queue, MessageBody="b")
        assert bodies(sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)) == ["b"]
        assert bodies(sqs.receive_message(QueueUrl=dead)) == ["a"]
