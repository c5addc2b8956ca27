"""One story told to SQS, for `test_protocols.py`: prints what the installed SDK made of each answer, as JSON lines.

Names that differ from run to run are numbered in the order in which they appear, so that two tellings can be compared.
Usage: sqs_story.py ENDPOINT PREFIX
"""

import json
import re
import sys

import boto3
import botocore.exceptions
from botocore.config import Config

endpoint, prefix = sys.argv[1:]
sqs = boto3.client("sqs", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test",
                   aws_secret_access_key="test", config=Config(retries={"max_attempts": 0}, parameter_validation=False))
seen = {}


def plain(value, name=""):
    """The value without what differs from run to run."""
    if isinstance(value, dict):
        # XML has no empty list: the SDK of Query leaves out what that of JSON returns empty.
        return {key: plain(inner, key) for key, inner in sorted(value.items())
                if key != "ResponseMetadata" and inner != []}
    if isinstance(value, list):
        return [plain(inner, name) for inner in value]
    if isinstance(value, bytes):
        return value.hex()
    if name in ("MessageId", "ReceiptHandle", "NextToken", "SequenceNumber", "TaskHandle"):
        return f"<{name} {seen.setdefault(value, len(seen))}>"
    if name.endswith("Timestamp"):
        return "<time>"
    if isinstance(value, str):
        value = value.replace(prefix, "<prefix>").replace(" for this wsdl version", "")
        value = re.sub(r"http://[0-9.]+:[0-9]+/", "<host>/", value)
        for known, number in seen.items():
            value = value.replace(known, f"<{number}>")
    return value


def tell(operation, **parameters):
    """Calls, prints the outcome, and returns the answer (of an error: nothing)."""
    try:
        answer = getattr(sqs, operation)(**parameters)
        print(json.dumps([operation, plain(answer)]))
        return answer
    except botocore.exceptions.ClientError as error:
        answer = error.response
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
        told = [operation, status, answer["Error"]["Code"], answer["Error"]["Type"], plain(answer["Error"]["Message"])]
        print(json.dumps(told))
        return {}


name = prefix + "-orders"
url = tell("create_queue", QueueName=name, Attributes={"VisibilityTimeout": "5", "DelaySeconds": "0"})["QueueUrl"]
tell("create_queue", QueueName=name, Attributes={"VisibilityTimeout": "6"})
tell("create_queue", QueueName=name + " bad")
tell("create_queue", QueueName=name + "2", Attributes={"Nonsense": "1"})
tell("create_queue", QueueName=name + "2", Attributes={"VisibilityTimeout": "x"})
tell("get_queue_url", QueueName=name)
tell("get_queue_url", QueueName=prefix + "-missing")
tell("list_queues", QueueNamePrefix=prefix)
tell("list_queues", QueueNamePrefix=prefix + "-none")
tell("list_queues", MaxResults=0)
tell("get_queue_attributes", QueueUrl=url, AttributeNames=["All"])
tell("get_queue_attributes", QueueUrl=url)
tell("get_queue_attributes", QueueUrl=url, AttributeNames=["Foobar"])
tell("set_queue_attributes", QueueUrl=url, Attributes={"VisibilityTimeout": "30", "MessageRetentionPeriod": "1000"})
tell("set_queue_attributes", QueueUrl=url, Attributes={"VisibilityTimeout": "-1"})

attributes = {"text": {"DataType": "String", "StringValue": "<a> & \"b\"\r\n"},
              "number": {"DataType": "Number.int", "StringValue": "42"},
              "bytes": {"DataType": "Binary", "BinaryValue": bytes(range(256))}}
trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
tell("send_message", QueueUrl=url, MessageBody="first \u65e5\r\n\"&quot;\"", MessageAttributes=attributes,
     MessageSystemAttributes=trace)
tell("send_message", QueueUrl=url, MessageBody="")
tell("send_message", QueueUrl=url, MessageBody="\x01")
tell("send_message", QueueUrl=url, MessageBody="x", DelaySeconds=901)
tell("send_message", QueueUrl=url, MessageBody="x", MessageAttributes={"": {"DataType": "String", "StringValue": "v"}})
tell("send_message", QueueUrl=url, MessageBody="x", MessageAttributes={"n": {"DataType": "Number", "StringValue": "v"}})
tell("send_message", QueueUrl=url, MessageBody="x", MessageAttributes={"n": {"DataType": "String"}})
got = tell("receive_message", QueueUrl=url, AttributeNames=["All"], MessageAttributeNames=["All"])
handle = got["Messages"][0]["ReceiptHandle"]
tell("receive_message", QueueUrl=url)
tell("receive_message", QueueUrl=url, MaxNumberOfMessages=11)
tell("receive_message", QueueUrl=url, AttributeNames=["Foobar"])
tell("change_message_visibility", QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
tell("change_message_visibility", QueueUrl=url, ReceiptHandle="junk", VisibilityTimeout=0)
tell("change_message_visibility", QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=50000)
got = tell("receive_message", QueueUrl=url, MessageAttributeNames=["te.*"])
handle = got["Messages"][0]["ReceiptHandle"]
tell("delete_message", QueueUrl=url, ReceiptHandle="junk")
tell("delete_message", QueueUrl=url, ReceiptHandle=handle)
tell("change_message_visibility", QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=1)

tell("send_message_batch", QueueUrl=url, Entries=[
    {"Id": "a", "MessageBody": "a", "MessageAttributes": attributes}, {"Id": "b", "MessageBody": "\x02"},
    {"Id": "c", "MessageBody": "c"}])
for entries in ([], [{"Id": "a", "MessageBody": "x"}] * 2, [{"Id": "a b", "MessageBody": "x"}],
                [{"Id": str(n), "MessageBody": "x"} for n in range(11)]):
    tell("send_message_batch", QueueUrl=url, Entries=entries)
    tell("send_message_batch", QueueUrl=url + "-missing", Entries=entries)
got = tell("receive_message", QueueUrl=url, MaxNumberOfMessages=10)
handles = [message["ReceiptHandle"] for message in got["Messages"]]
tell("change_message_visibility_batch", QueueUrl=url, Entries=[
    {"Id": "a", "ReceiptHandle": handles[0], "VisibilityTimeout": 9}, {"Id": "b", "ReceiptHandle": "junk", "VisibilityTimeout": 9}])
tell("delete_message_batch", QueueUrl=url, Entries=[
    {"Id": "a", "ReceiptHandle": handles[0]}, {"Id": "b", "ReceiptHandle": "junk"}])
tell("delete_message_batch", QueueUrl=url, Entries=[{"Id": "a", "ReceiptHandle": handles[1]}])
tell("get_queue_attributes", QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"])

arn = f"arn:aws:sqs:us-east-1:000000000000:{name}"
policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
source = tell("create_queue", QueueName=name + "-source", Attributes={"RedrivePolicy": policy}).get("QueueUrl", url)
tell("set_queue_attributes", QueueUrl=source, Attributes={"RedrivePolicy": "{"})
tell("set_queue_attributes", QueueUrl=source, Attributes={"RedrivePolicy": json.dumps({"maxReceiveCount": 1})})
tell("list_dead_letter_source_queues", QueueUrl=url)
tell("list_dead_letter_source_queues", QueueUrl=source)
tell("tag_queue", QueueUrl=url, Tags={"k": "v", "empty": ""})
tell("tag_queue", QueueUrl=url, Tags={"aws:k": "v"})
tell("list_queue_tags", QueueUrl=url)
tell("untag_queue", QueueUrl=url, TagKeys=["k", "absent"])
tell("list_queue_tags", QueueUrl=url)
tell("list_queue_tags", QueueUrl=source)
tell("add_permission", QueueUrl=url, Label="l", AWSAccountIds=["111111111111"], Actions=["SendMessage"])
tell("add_permission", QueueUrl=url, Label="l", AWSAccountIds=["111111111111"], Actions=["SendMessage"])
tell("get_queue_attributes", QueueUrl=url, AttributeNames=["Policy"])
tell("remove_permission", QueueUrl=url, Label="l")
tell("remove_permission", QueueUrl=url, Label="l")
tell("list_message_move_tasks", SourceArn=arn)
tell("start_message_move_task", SourceArn=arn + "-missing")
tell("start_message_move_task", SourceArn=f"{arn}-source")
tell("cancel_message_move_task", TaskHandle="junk")

fifo = tell("create_queue", QueueName=name + ".fifo", Attributes={"FifoQueue": "true"}).get("QueueUrl")
if fifo:
    tell("get_queue_attributes", QueueUrl=fifo, AttributeNames=["All"])
    tell("send_message", QueueUrl=fifo, MessageBody="x", MessageGroupId="g", MessageDeduplicationId="d")
    tell("send_message", QueueUrl=fifo, MessageBody="x", MessageGroupId="g", MessageDeduplicationId="d")
    tell("send_message", QueueUrl=fifo, MessageBody="x", MessageGroupId="g")
    tell("send_message", QueueUrl=fifo, MessageBody="x", MessageDeduplicationId="d")
    tell("send_message_batch", QueueUrl=fifo, Entries=[
        {"Id": "a", "MessageBody": "y", "MessageGroupId": "g", "MessageDeduplicationId": "e"}])
    tell("receive_message", QueueUrl=fifo, AttributeNames=["All"], ReceiveRequestAttemptId="r", MaxNumberOfMessages=10)
tell("purge_queue", QueueUrl=url)
tell("purge_queue", QueueUrl=url)
tell("delete_queue", QueueUrl=url)
tell("delete_queue", QueueUrl=url)
