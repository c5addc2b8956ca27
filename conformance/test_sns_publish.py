"""SNS: what is published, to whom, one by one and in batches. Runs with two SDKs (see README.md)."""

import json
import re
import urllib.parse
import urllib.request
import uuid

import boto3
import pytest
from botocore.config import Config

from sns_help import ACCOUNT, new_queue, new_topic, says, subscribed, taken, texts

RAW = {"RawMessageDelivery": "true"}
NO_TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:missing"
KIB_256 = 262_144


@pytest.fixture
def topic(sns):
    return new_topic(sns)


@pytest.fixture
def queue(sqs):
    return new_queue(sqs)


def entries(*messages, **more):
    return [{"Id": str(n), "Message": message} | more for n, message in enumerate(messages)]


class TestDelivery:
    def test_envelope(self, tsugite, sns, sqs, topic, queue):
        subscription = subscribed(sns, topic, queue[1])
        text = "{\"order\": \"日本 <&>\"}\r\n"
        published = sns.publish(TopicArn=topic, Message=text, Subject="New order", MessageAttributes={
            "kind": {"DataType": "String", "StringValue": "new"},
            "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
            "list": {"DataType": "String.Array", "StringValue": "[\"a\", 1, null]"},
        })
        [message] = taken(sqs, queue[0])
        assert "MessageAttributes" not in message
        envelope = json.loads(message["Body"])
        assert list(envelope) == ["Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp",
                                  "SignatureVersion", "Signature", "SigningCertURL", "UnsubscribeURL",
                                  "MessageAttributes"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", envelope.pop("Timestamp"))
        url = envelope.pop("UnsubscribeURL")
        assert url == f"{tsugite.url('aws')}/?Action=Unsubscribe&SubscriptionArn={subscription}"
        assert envelope.pop("SignatureVersion") == "1" and envelope.pop("Signature")
        assert envelope.pop("SigningCertURL").endswith(".pem")
        assert envelope == {
            "Type": "Notification", "MessageId": published["MessageId"], "TopicArn": topic,
            "Subject": "New order", "Message": text,
            "MessageAttributes": {
                "kind": {"Type": "String", "Value": "new"},
                "raw": {"Type": "Binary", "Value": "AP8="},
                "list": {"Type": "String.Array", "Value": "[\"a\", 1, null]"},
            },
        }
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert answer.status == 200
        assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []

    def test_raw_and_fan_out(self, sns, sqs, topic, queue):
        attributes = {"kind": {"DataType": "String", "StringValue": "new"},
                      "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
        other = new_queue(sqs)
        subscribed(sns, topic, queue[1], **RAW)
        subscribed(sns, topic, other[1])
        published = sns.publish(TopicArn=topic, Message="bare", MessageAttributes=attributes)
        [message] = taken(sqs, queue[0])
        assert (message["Body"], message["MessageAttributes"]) == ("bare", attributes)
        [message] = taken(sqs, other[0])
        assert json.loads(message["Body"])["MessageId"] == published["MessageId"]

    def test_later_subscribers_see_nothing(self, sns, sqs, topic, queue):
        sns.publish(TopicArn=topic, Message="before")
        subscribed(sns, topic, queue[1])
        sns.publish(TargetArn=topic, Message="after")
        assert texts(sqs, queue[0]) == ["after"]

    def test_the_trace_and_the_group_go_with_it(self, tsugite, sns, sqs, topic, queue):
        subscribed(sns, topic, queue[1], **RAW)
        trace = "Root=1-3152b799-8954dae64eda91bc9a23a7e8;Parent=7fa8c0f79203be72;Sampled=1"
        client = tsugite.client("sns")
        client.meta.events.register("before-sign.sns.Publish",
                                    lambda request, **_: request.headers.add_header("X-Amzn-Trace-Id", trace))
        client.publish(TopicArn=topic, Message="x", MessageGroupId="tenant-1")
        [message] = taken(sqs, queue[0])
        assert (message["Attributes"]["AWSTraceHeader"], message["Attributes"]["MessageGroupId"]) == (trace, "tenant-1")

    def test_filters(self, sns, sqs, topic, queue):
        subscribed(sns, topic, queue[1], FilterPolicy='{"n": [{"numeric": [">", 0, "<=", 100]}]}')
        body = new_queue(sqs)
        subscribed(sns, topic, body[1], FilterPolicyScope="MessageBody",
                   FilterPolicy='{"object": {"key": [{"prefix": "auto-"}, "hard"]}}')
        for n, message in [("99", "in"), ("111", "out"), (None, '{"object": {"key": "auto-x"}}'),
                           (None, '{"object": {"key": "other"}}')]:
            attributes = {"n": {"DataType": "Number", "StringValue": n}} if n else {}
            sns.publish(TopicArn=topic, Message=message, MessageAttributes=attributes)
        assert texts(sqs, queue[0]) == ["in"]
        assert texts(sqs, body[0]) == ['{"object": {"key": "auto-x"}}']


class TestStructure:
    def test_each_protocol_gets_its_text(self, sns, sqs, topic, queue):
        subscribed(sns, topic, queue[1], **RAW)
        publish = {"TopicArn": topic, "MessageStructure": "json"}
        for message in ({"default": "d", "sqs": "for queues", "http": "h"}, {"default": "e", "sqs": 5},
                        {"default": "f"}):
            sns.publish(**publish, Message=json.dumps(message))
        sns.publish(**publish, Message='{"default": "first", "default": "Duplicate"}')
        assert texts(sqs, queue[0]) == ["for queues", "e", "f", "Duplicate"]

    @pytest.mark.parametrize("message,why", [
        ('{"sqs": "s"}', "No default entry in JSON message body"),
        ('{"default": {"object": "test"}}', "No default entry in JSON message body"),
        ('{"default": "d"} }', "JSON message body failed to parse"), ("plain", "JSON message body failed to parse")])
    def test_refusals(self, sns, sqs, topic, queue, message, why):
        subscribed(sns, topic, queue[1])
        why = f"Invalid parameter: Message Structure - {why}"
        says(why, sns.publish, TopicArn=topic, MessageStructure="json", Message=message)
        batch = [{"Id": "good", "Message": "x"}, {"Id": "bad", "Message": message, "MessageStructure": "json"}]
        says(why, sns.publish_batch, TopicArn=topic, PublishBatchRequestEntries=batch)
        assert taken(sqs, queue[0], wait=0) == []


ATTRIBUTES = [
    ({"DataType": "String", "StringValue": ""},
     "must contain non-empty message attribute value for message attribute type 'String'."),
    ({"DataType": "String"}, "must contain non-empty message attribute value for message attribute type 'String'."),
    ({"DataType": "Binary", "BinaryValue": b""},
     "must contain non-empty message attribute value for message attribute type 'Binary'."),
    ({"DataType": "String", "BinaryValue": b"1"}, "with type 'String' must use field 'String'."),
    ({"DataType": "Number", "BinaryValue": b"1"}, "with type 'Number' must use field 'String'."),
    ({"DataType": "Binary", "StringValue": "1"}, "with type 'Binary' must use field 'Binary'."),
    ({"DataType": "prefixString", "StringValue": "1"},
     "has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String."),
]
NAMES = [
    ("a" * 257, "Length of message attribute name must be less than 256 bytes."),
    ("a^b", "Invalid non-alphanumeric character '#x5E' was found in the message attribute name. Can only include "
            "alphanumeric characters, hyphens, underscores, or dots."),
    (".a", "Invalid message attribute name starting with character '.' was found."),
    ("a.", "Invalid message attribute name ending with character '.' was found."),
    ("a..b", "Message attribute name can not have successive '.' character."),
]


class TestRefusals:
    @pytest.mark.parametrize("change,message", [
        ({"Message": ""}, "Empty message"),
        ({"Subject": ""}, "Subject"),
        ({"Subject": "x" * 101}, "Subject"),  # 100 are taken, see TestCaptured
        ({"Subject": "two\nlines"}, "Subject"),
        ({"Message": "This is a test message" * 12_000}, "Message too long"),
        ({"MessageDeduplicationId": "d"}, "MessageDeduplicationId Reason: The request includes MessageDeduplicationId "
                                          "parameter that is not valid for this topic type"),
        ({"MessageStructure": "xml"}, "MessageStructure Reason: xml: it must be json, or absent"),
    ])
    def test_bad_messages(self, sns, sqs, topic, queue, change, message):
        subscribed(sns, topic, queue[1])
        says(f"Invalid parameter: {message}", sns.publish, **({"TopicArn": topic, "Message": "x"} | change))
        assert taken(sqs, queue[0], wait=0) == []

    @pytest.mark.parametrize("name,value,message", [
        *(("attr1", value, f"The message attribute 'attr1' {why}") for value, why in ATTRIBUTES),
        *((name, {"DataType": "String", "StringValue": "x"}, why) for name, why in NAMES)])
    def test_bad_attributes_one_by_one_and_in_batches(self, sns, topic, name, value, message):
        attributes = {name: value}
        says(message, sns.publish, "ParameterValueInvalid", TopicArn=topic, Message="x", MessageAttributes=attributes)
        batch = entries("good") + [{"Id": "bad", "Message": "x", "MessageAttributes": attributes}]
        says(message, sns.publish_batch, "ParameterValueInvalid", TopicArn=topic, PublishBatchRequestEntries=batch)

    def test_an_attribute_without_a_type(self, tsugite, topic):
        sns = boto3.client("sns", endpoint_url=tsugite.url("aws"), region_name="us-east-1", aws_access_key_id="test",
                           aws_secret_access_key="test", config=Config(parameter_validation=False))
        say = {"MessageAttributes": {"attr1": {"StringValue": "x"}}}
        why = "1 validation error detected: Value null at '{}messageAttributes.attr1.member.dataType' failed to " \
              "satisfy constraint: Member must not be null"
        says(why.format(""), sns.publish, "ValidationError", TopicArn=topic, Message="x", **say)
        says(why.format("publishBatchRequestEntries.1.member."), sns.publish_batch, "ValidationError", TopicArn=topic,
             PublishBatchRequestEntries=entries("x", **say))

    def test_the_size_counts_attributes(self, sns, topic):
        attributes = {"attr1": {"DataType": "Number", "StringValue": "1"}}
        room = KIB_256 - len("attr1Number1")
        says("Invalid parameter: Message too long", sns.publish, TopicArn=topic, Message="a" * (room + 1),
             MessageAttributes=attributes)
        sns.publish(TopicArn=topic, Message="a" * room, MessageAttributes=attributes)
        sns.set_topic_attributes(TopicArn=topic, AttributeName="MaximumMessageSize", AttributeValue="1048576")
        sns.publish(TopicArn=topic, Message="a" * (room + 1), MessageAttributes=attributes)

    def test_targets(self, sns, topic):
        for arn, count in [("randomstring", 1), ("randomstring:1", 2), ("", 1)]:
            says(f"Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not {count}",
                 sns.publish, TopicArn=arn, Message="x")
        says("Topic does not exist", sns.publish, "NotFound", 404, TopicArn=topic + "-fake", Message="x")
        says("Invalid parameter: TargetArn Reason: No endpoint found for the target arn specified", sns.publish,
             TargetArn=f"arn:aws:sns:us-east-1:{ACCOUNT}:endpoint/APNS/abcdef/0f7d5971", Message="x")
        says("Invalid parameter: TopicArn or TargetArn Reason: no value for required parameter", sns.publish,
             Message="x")
        for more in ({"TargetArn": topic}, {"PhoneNumber": "+15550100"}):
            says("Invalid parameter: TopicArn Reason: only one of TopicArn, TargetArn and PhoneNumber can be given",
                 sns.publish, TopicArn=topic, Message="x", **more)


class TestBatch:
    def test_every_entry_has_its_result(self, sns, sqs, topic, queue):
        subscribed(sns, topic, queue[1], **RAW)
        batch = entries("one", "two") + [
            {"Id": "no-text", "Message": ""}, {"Id": "subject", "Message": "x", "Subject": "a\nb"},
            {"Id": "attributes", "Message": "three", "MessageAttributes": {
                "a": {"DataType": "Number", "StringValue": "19.12"}}}]
        answer = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=batch)
        assert [entry["Id"] for entry in answer["Successful"]] == ["0", "1", "attributes"]
        assert len({uuid.UUID(entry["MessageId"]) for entry in answer["Successful"]}) == 3
        assert answer["Failed"] == [
            {"Id": "no-text", "Code": "InvalidParameter", "Message": "Invalid parameter: Empty message",
             "SenderFault": True},
            {"Id": "subject", "Code": "InvalidParameter", "Message": "Invalid parameter: Subject", "SenderFault": True}]
        assert texts(sqs, queue[0]) == ["one", "two", "three"]
        assert sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries("x"))["Failed"] == []

    @pytest.mark.parametrize("code,message,batch", [
        ("EmptyBatchRequest", "The batch request doesn't contain any entries.", []),
        ("TooManyEntriesInBatchRequest", "The batch request contains more entries than permissible.",
         entries(*"abcdefghijk")),
        ("BatchEntryIdsNotDistinct", "Two or more batch entries in the request have the same Id.",
         entries("a") + entries("b")),
        ("InvalidBatchEntryId", "The Id of a batch entry in the batch request contains an impermissible character: a.b",
         [{"Id": "a.b", "Message": "x"}]),
        ("InvalidBatchEntryId", f"The Id of a batch entry in the batch request is too long: {'x' * 81}",
         [{"Id": "x" * 81, "Message": "x"}]),
        ("BatchRequestTooLong", "The length of all the messages put together is more than the limit.",
         entries("a" * (KIB_256 // 2), "b" * (KIB_256 // 2 + 1))),
        ("BatchRequestTooLong", "The length of all the messages put together is more than the limit.",
         entries("a" * (KIB_256 + 1))),
    ])
    def test_as_a_whole(self, sns, sqs, topic, queue, code, message, batch):
        subscribed(sns, topic, queue[1])
        says(message, sns.publish_batch, code, TopicArn=topic, PublishBatchRequestEntries=batch)
        assert taken(sqs, queue[0], wait=0) == []

    def test_topics(self, sns, topic):
        batch = {"PublishBatchRequestEntries": entries("x")}
        says("Topic does not exist", sns.publish_batch, "NotFound", 404, TopicArn=NO_TOPIC, **batch)
        says("Invalid parameter: TopicArn", sns.publish_batch,
             TopicArn=topic.replace("us-east-1", "eu-west-1"), **batch)


class TestCaptured:
    def captured(self, tsugite, recipient):
        with urllib.request.urlopen(tsugite.url("admin", f"/v1/captured?recipient={recipient}"), timeout=10) as answer:
            return [mail["text"] for mail in json.load(answer)["captured"]]

    def test_phones(self, tsugite, sns, topic):
        assert uuid.UUID(sns.publish(PhoneNumber="+15550199", Message="to the phone")["MessageId"])
        sns.subscribe(TopicArn=topic, Protocol="sms", Endpoint="+15550199")
        sns.publish(TopicArn=topic, MessageStructure="json", Message='{"default": "d", "sms": "short"}')
        assert self.captured(tsugite, "%2B15550199") == ["short", "to the phone"]

    @pytest.mark.parametrize("number", ["+1a234", "NAA+15551234567", "47", "+47123", "+1234567890123456"])
    def test_bad_numbers(self, sns, number):
        says(f"Invalid parameter: PhoneNumber Reason: {number} is not valid to publish to", sns.publish,
             PhoneNumber=number, Message="x")


    def test_mail_in_json(self, tsugite, sns, topic):
        address = f"{uuid.uuid4()}@b.example"
        arn = sns.subscribe(TopicArn=topic, Protocol="email-json", Endpoint=address,
                            ReturnSubscriptionArn=True)["SubscriptionArn"]
        [text] = self.captured(tsugite, address)
        request = json.loads(text)
        assert list(request) == ["Type", "MessageId", "Token", "TopicArn", "Message", "SubscribeURL", "Timestamp",
                                 "SignatureVersion", "Signature", "SigningCertURL"]
        assert request["Type"] == "SubscriptionConfirmation" and request["TopicArn"] == topic
        sns.confirm_subscription(TopicArn=topic, Token=request["Token"])
        subject = "x" * 100
        published = sns.publish(TopicArn=topic, Message="soup", Subject=subject,
                                MessageAttributes={"k": {"DataType": "String", "StringValue": "v"}})
        mail = json.loads(self.captured(tsugite, address)[0])
        assert list(mail) == ["Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SignatureVersion",
                              "Signature", "SigningCertURL", "UnsubscribeURL", "MessageAttributes"]
        assert (mail["MessageId"], mail["Message"], mail["Subject"]) == (published["MessageId"], "soup", subject)
        assert mail["MessageAttributes"] == {"k": {"Type": "String", "Value": "v"}}
        assert urllib.parse.unquote(mail["UnsubscribeURL"]).endswith(arn)


class TestDeadLetters:
    @pytest.mark.parametrize("raw", ["true", "false"])
    def test_of_a_queue_that_is_gone(self, sns, sqs, topic, queue, raw):
        letters = new_queue(sqs)
        subscribed(sns, topic, queue[1], RawMessageDelivery=raw,
                   RedrivePolicy=json.dumps({"deadLetterTargetArn": letters[1]}))
        sns.publish(TopicArn=topic, Message="arrives")
        sqs.delete_queue(QueueUrl=queue[0])
        attributes = {"attr1": {"DataType": "Number", "StringValue": "111"},
                      "attr2": {"DataType": "Binary", "BinaryValue": b"\x02\x03\x04"}}
        sns.publish(TopicArn=topic, Message="too late", MessageAttributes=attributes)
        [message] = taken(sqs, letters[0])
        if raw == "true":
            assert (message["Body"], message["MessageAttributes"]) == ("too late", attributes)
        else:
            envelope = json.loads(message["Body"])
            assert envelope["Message"] == "too late" and envelope["TopicArn"] == topic
            assert envelope["MessageAttributes"]["attr2"] == {"Type": "Binary", "Value": "AgME"}

    def test_of_a_queue_under_the_key_of_aws(self, sns, sqs, topic):
        letters, locked = new_queue(sqs), new_queue(sqs, KmsMasterKeyId="alias/aws/sqs")
        subscribed(sns, topic, locked[1], RedrivePolicy=json.dumps({"deadLetterTargetArn": letters[1]}))
        sns.publish(TopicArn=topic, Message="x")
        assert (texts(sqs, letters[0]), taken(sqs, locked[0], wait=0)) == (["x"], [])

    def test_of_more_attributes_than_a_queue_takes(self, sns, sqs, topic, queue):
        letters = new_queue(sqs)
        subscribed(sns, topic, queue[1], **RAW, RedrivePolicy=json.dumps({"deadLetterTargetArn": letters[1]}))
        enveloped = new_queue(sqs)
        subscribed(sns, topic, enveloped[1])
        many = {f"a{n}": {"DataType": "String", "StringValue": "x"} for n in range(11)}
        sns.publish(TopicArn=topic, Message="x", MessageAttributes=many)
        assert taken(sqs, queue[0], wait=0) == [] and len(taken(sqs, letters[0])) == 1
        assert len(json.loads(taken(sqs, enveloped[0])[0]["Body"])["MessageAttributes"]) == 11
