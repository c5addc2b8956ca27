"""What the SNS tests share."""

import json
import uuid

from sqs_help import refused

ACCOUNT = "000000000000"
REGION = "us-east-1"


def new_topic(sns, fifo=False, **attributes):
    """The ARN of a new topic."""
    name = f"t-{uuid.uuid4()}"
    if fifo:
        name, attributes = f"{name}.fifo", {"FifoTopic": "true"} | attributes
    return sns.create_topic(Name=name, Attributes=attributes)["TopicArn"]


def new_queue(sqs, fifo=False, **attributes):
    """(URL, ARN) of a new queue."""
    name = f"q-{uuid.uuid4()}"
    if fifo:
        name, attributes = f"{name}.fifo", {"FifoQueue": "true"} | attributes
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    account = url.split("/")[-2]
    return url, f"arn:aws:sqs:{REGION}:{account}:{name}"


def subscribed(sns, topic, queue_arn, **attributes):
    """The ARN of a new subscription of a queue."""
    return sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn, Attributes=attributes,
                         ReturnSubscriptionArn=True)["SubscriptionArn"]


def taken(sqs, url, wait=1):
    """All messages of a queue, which are deleted; waits at most `wait` seconds for the first."""
    messages = []
    while True:
        got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0 if messages else wait,
                                  MessageAttributeNames=["All"], AttributeNames=["All"]).get("Messages", [])
        for message in got:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        messages += got
        if not got:
            return messages


def texts(sqs, url, wait=1):
    """What was published, of each message of a queue, enveloped or bare."""
    found = []
    for message in taken(sqs, url, wait):
        body = message["Body"]
        found.append(json.loads(body)["Message"] if body.startswith('{"Type"') else body)
    return found


def attributes_of(sns, arn):
    """The attributes of a topic or of a subscription."""
    if arn.count(":") == 5:
        return sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    return sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]


def says(message, call, code="InvalidParameter", status=400, **parameters):
    """The call fails, and says so in these very words: AWS's, as public recordings of its answers have them."""
    answer = refused(code, call, status=status, **parameters)
    assert answer["Error"]["Message"] == message, answer["Error"]["Message"]
    assert answer["Error"]["Type"] == "Sender"
    assert uuid.UUID(answer["ResponseMetadata"]["RequestId"])
