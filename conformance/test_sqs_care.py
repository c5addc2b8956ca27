"""Tags, permissions, dead-letter sources and attributes of queues, with boto3."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError


@pytest.fixture
def queue_name():
    return f"q-{uuid.uuid4()}"


def code(call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"]


def attribute(sqs, url, name):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name]).get("Attributes", {}).get(name)


def test_tags(sqs, queue_name):
    url = sqs.create_queue(QueueName=queue_name, tags={"team": "red"})["QueueUrl"]
    sqs.tag_queue(QueueUrl=url, Tags={"team": "blue", "env": "test"})
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"team": "blue", "env": "test"}
    sqs.untag_queue(QueueUrl=url, TagKeys=["team", "unknown"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"env": "test"}
    sqs.untag_queue(QueueUrl=url, TagKeys=["env"])
    assert not sqs.list_queue_tags(QueueUrl=url).get("Tags")
    assert code(sqs.tag_queue, QueueUrl=url, Tags={"aws:x": "y"}) == "InvalidParameterValue"
    assert code(sqs.tag_queue, QueueUrl=url, Tags={}) == "MissingParameter"
    missing = url + "-none"
    assert code(sqs.list_queue_tags, QueueUrl=missing).endswith("NonExistentQueue")


def test_permissions(sqs, queue_name):
    url = sqs.create_queue(QueueName=queue_name)["QueueUrl"]
    arn = attribute(sqs, url, "QueueArn")
    sqs.add_permission(QueueUrl=url, Label="one", AWSAccountIds=["111122223333"], Actions=["ReceiveMessage"])
    policy = json.loads(attribute(sqs, url, "Policy"))
    assert policy == {
        "Version": "2008-10-17",
        "Id": arn + "/SQSDefaultPolicy",
        "Statement": [
            {
                "Sid": "one",
                "Effect": "Allow",
                "Principal": {"AWS": "arn:aws:iam::111122223333:root"},
                "Action": "SQS:ReceiveMessage",
                "Resource": arn,
            }
        ],
    }
    again = dict(QueueUrl=url, Label="one", AWSAccountIds=["111122223333"], Actions=["*"])
    assert code(sqs.add_permission, **again) == "InvalidParameterValue"
    many = dict(QueueUrl=url, Label="two", AWSAccountIds=["111122223333"], Actions=["SendMessage"] * 8)
    assert code(sqs.add_permission, **many) == "OverLimit"
    assert code(sqs.remove_permission, QueueUrl=url, Label="two") == "InvalidParameterValue"
    sqs.remove_permission(QueueUrl=url, Label="one")
    assert attribute(sqs, url, "Policy") is None


def test_dead_letter_sources(sqs, queue_name):
    dead = sqs.create_queue(QueueName=queue_name + "-dead")["QueueUrl"]
    # The Query protocol has no empty list: its SDK leaves the member out.
    assert not sqs.list_dead_letter_source_queues(QueueUrl=dead).get("queueUrls")
    policy = json.dumps({"deadLetterTargetArn": attribute(sqs, dead, "QueueArn"), "maxReceiveCount": 3})
    sources = [
        sqs.create_queue(QueueName=f"{queue_name}-{n}", Attributes={"RedrivePolicy": policy})["QueueUrl"]
        for n in range(3)
    ]
    pages = sqs.get_paginator("list_dead_letter_source_queues")
    pages = pages.paginate(QueueUrl=dead, PaginationConfig={"PageSize": 2})
    assert [page["queueUrls"] for page in pages] == [sources[:2], sources[2:]]


def test_attributes_of_encryption_and_policy(sqs, queue_name):
    url = sqs.create_queue(QueueName=queue_name)["QueueUrl"]
    text = '{ "Version": "2012-10-17", "Statement": [] }'
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": text, "KmsMasterKeyId": "alias/k"})
    assert attribute(sqs, url, "Policy") == text
    assert attribute(sqs, url, "SqsManagedSseEnabled") == "false"
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": "", "KmsMasterKeyId": ""})
    assert attribute(sqs, url, "Policy") is None and attribute(sqs, url, "KmsMasterKeyId") is None
    wrong = {"DelaySeconds": "5", "Policy": "no JSON"}
    assert code(sqs.set_queue_attributes, QueueUrl=url, Attributes=wrong) == "InvalidAttributeValue"
    assert attribute(sqs, url, "DelaySeconds") == "0"


def test_fifo_attributes(sqs, queue_name):
    name = queue_name[:70] + ".fifo"
    assert code(sqs.create_queue, QueueName=name) == "InvalidParameterValue"
    assert code(sqs.create_queue, QueueName=queue_name, Attributes={"FifoQueue": "true"}) == "InvalidParameterValue"
    url = sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})["QueueUrl"]
    assert sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})["QueueUrl"] == url
    listed = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert listed["FifoQueue"] == "true" and listed["ContentBasedDeduplication"] == "false"
    assert (listed["DeduplicationScope"], listed["FifoThroughputLimit"]) == ("queue", "perQueue")
    by_group = {"FifoThroughputLimit": "perMessageGroupId"}
    assert code(sqs.set_queue_attributes, QueueUrl=url, Attributes=by_group) == "InvalidAttributeValue"
    by_group["DeduplicationScope"] = "messageGroup"
    sqs.set_queue_attributes(QueueUrl=url, Attributes=by_group)
    assert attribute(sqs, url, "FifoThroughputLimit") == "perMessageGroupId"
    assert code(sqs.set_queue_attributes, QueueUrl=url, Attributes={"FifoQueue": "false"}) == "InvalidAttributeValue"
