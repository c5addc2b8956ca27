"""What the SQS tests share."""

import botocore.exceptions
import pytest

# What `All` lists of a standard queue without policies.
NAMES_OF_QUEUES = {
    "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp", "DelaySeconds", "LastModifiedTimestamp", "MaximumMessageSize", "MessageRetentionPeriod",
    "QueueArn", "ReceiveMessageWaitTimeSeconds", "SqsManagedSseEnabled", "VisibilityTimeout"}


def name_of(url):
    """The name of the queue behind a URL."""
    return url.rsplit("/", 1)[1]


def arn_of(url):
    """The ARN of the queue behind a URL."""
    account, name = url.split("/")[-2:]
    return f"arn:aws:sqs:us-east-1:{account}:{name}"


def refused(code, call, *, status=400, naming="", **parameters):
    """The call fails with this code, as SDKs see it, and its message names what is wrong."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    answer = caught.value.response
    assert answer["Error"]["Code"] == code, answer
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == status
    assert naming in answer["Error"]["Message"], answer["Error"]["Message"]
    return answer


def bodies(answer):
    """Bodies of a receive's messages."""
    return [message["Body"] for message in answer.get("Messages", [])]


def handle_of(answer):
    """Receipt handle of a receive's first message."""
    return answer["Messages"][0]["ReceiptHandle"]
