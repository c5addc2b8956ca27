"""SNS over the Query protocol, and STS, with boto3."""

import json
import re
import uuid

import botocore.exceptions
import pytest

import aws_raw


@pytest.fixture
def sns(tsugite):
    return tsugite.client("sns")


@pytest.fixture
def sqs(tsugite):
    return tsugite.client("sqs")


@pytest.fixture
def topic(sns):
    return sns.create_topic(Name=f"t-{uuid.uuid4()}")["TopicArn"]


@pytest.fixture
def queue(sqs):
    """(URL, ARN) of a new queue."""
    url = sqs.create_queue(QueueName=f"q-{uuid.uuid4()}")["QueueUrl"]
    return url, f"arn:aws:sqs:us-east-1:000000000000:{url.rsplit('/', 1)[1]}"


def refused(code, call, *, status=400, naming="", **parameters):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    answer = caught.value.response
    assert answer["Error"]["Code"] == code, answer
    assert answer["Error"]["Type"] == "Sender"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == status
    assert naming in answer["Error"]["Message"], answer["Error"]["Message"]
    assert uuid.UUID(answer["ResponseMetadata"]["RequestId"])


def bodies(sqs, url):
    got = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1,
                              MessageAttributeNames=["All"]).get("Messages", [])
    for message in got:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return got


class TestTopics:
    def test_create_is_idempotent(self, sns):
        name = f"t-{uuid.uuid4()}"
        topic = sns.create_topic(Name=name)["TopicArn"]
        assert topic == f"arn:aws:sns:us-east-1:000000000000:{name}"
        assert sns.create_topic(Name=name)["TopicArn"] == topic

    @pytest.mark.parametrize("name", ["a b", "a.b", "x" * 257])
    def test_bad_names(self, sns, name):
        refused("InvalidParameter", sns.create_topic, Name=name, naming="Name")

    def test_unsupported_attributes_are_refused(self, sns):
        name = f"t-{uuid.uuid4()}"
        refused("InvalidParameter", sns.create_topic, Name=f"{name}.fifo",
                Attributes={"FifoTopic": "true"}, naming="F")
        refused("InvalidParameter", sns.create_topic, Name=name,
                Attributes={"Nonsense": "x"}, naming="Nonsense")
        refused("InvalidParameter", sns.create_topic, Name=name,
                Tags=[{"Key": "a", "Value": "b"}], naming="Tags")

    def test_list_and_pages(self, tsugite):
        import boto3

        sns = boto3.client("sns", endpoint_url=tsugite.url("aws"), region_name="us-east-1",
                           aws_access_key_id="222222222222", aws_secret_access_key="x")
        assert sns.list_topics()["Topics"] == []
        arns = sorted(sns.create_topic(Name=f"t-{n:03}")["TopicArn"] for n in range(120))
        first = sns.list_topics()
        assert [t["TopicArn"] for t in first["Topics"]] == arns[:100]
        second = sns.list_topics(NextToken=first["NextToken"])
        assert [t["TopicArn"] for t in second["Topics"]] == arns[100:] and "NextToken" not in second
        refused("InvalidParameter", sns.list_topics, NextToken="junk", naming="NextToken")

    def test_delete_is_idempotent_and_ends_subscriptions(self, sns, sqs, topic, queue):
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue[1])
        sns.delete_topic(TopicArn=topic)
        sns.delete_topic(TopicArn=topic)
        refused("NotFound", sns.publish, TopicArn=topic, Message="x", status=404)
        assert sns.create_topic(Name=topic.rsplit(":", 1)[1])["TopicArn"] == topic
        sns.publish(TopicArn=topic, Message="x")
        assert bodies(sqs, queue[0]) == []

    @pytest.mark.parametrize("arn", ["nonsense", "arn:aws:sqs:us-east-1:000000000000:q",
                                     "arn:aws:sns:eu-west-1:000000000000:elsewhere"])
    def test_bad_arns(self, sns, arn):
        refused("InvalidParameter", sns.delete_topic, TopicArn=arn, naming="TopicArn")
        refused("InvalidParameter", sns.publish, TopicArn=arn, Message="x", naming="TopicArn")


class TestSubscriptions:
    def test_subscribe_list_unsubscribe(self, sns, topic, queue):
        arn = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue[1],
                            ReturnSubscriptionArn=True)["SubscriptionArn"]
        assert re.fullmatch(re.escape(topic) + r":[0-9a-f-]{36}", arn)
        assert sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue[1])["SubscriptionArn"] == arn
        expected = {"SubscriptionArn": arn, "Owner": "000000000000", "Protocol": "sqs",
                    "Endpoint": queue[1], "TopicArn": topic}
        assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == [expected]
        pages = sns.get_paginator("list_subscriptions").paginate()
        assert expected in [s for page in pages for s in page["Subscriptions"]]
        sns.unsubscribe(SubscriptionArn=arn)
        sns.unsubscribe(SubscriptionArn=arn)
        assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []

    def test_a_difference_is_refused(self, sns, topic, queue):
        call = {"TopicArn": topic, "Protocol": "sqs", "Endpoint": queue[1]}
        sns.subscribe(**call, Attributes={"RawMessageDelivery": "true"})
        refused("InvalidParameter", sns.subscribe, **call, Attributes={"RawMessageDelivery": "false"},
                naming="RawMessageDelivery")

    @pytest.mark.parametrize("naming,change", [
        ("Protocol", {"Protocol": "pigeon"}),
        ("lambda", {"Protocol": "lambda"}),
        ("Endpoint", {"Endpoint": "http://localhost:4566/000000000000/q"}),
        ("RawMessageDelivery", {"Attributes": {"RawMessageDelivery": "maybe"}}),
        ("FilterPolicy", {"Attributes": {"FilterPolicy": "{}"}}),
        ("Nonsense", {"Attributes": {"Nonsense": "x"}}),
    ])
    def test_bad_subscriptions(self, sns, topic, queue, naming, change):
        call = {"TopicArn": topic, "Protocol": "sqs", "Endpoint": queue[1]} | change
        refused("InvalidParameter", sns.subscribe, naming=naming, **call)
        assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []

    def test_unknown_topic(self, sns, queue):
        missing = "arn:aws:sns:us-east-1:000000000000:missing"
        refused("NotFound", sns.subscribe, TopicArn=missing, Protocol="sqs", Endpoint=queue[1],
                status=404, naming="missing")
        refused("NotFound", sns.list_subscriptions_by_topic, TopicArn=missing, status=404)
        refused("InvalidParameter", sns.unsubscribe, SubscriptionArn="junk", naming="SubscriptionArn")


class TestPublish:
    def test_envelope(self, tsugite, sns, sqs, topic, queue):
        subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue[1])["SubscriptionArn"]
        text = "{\"order\": \"日本 <&>\"}\r\n"
        published = sns.publish(TopicArn=topic, Message=text, Subject="New order", MessageAttributes={
            "kind": {"DataType": "String", "StringValue": "new"},
            "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
            "list": {"DataType": "String.Array", "StringValue": "[\"a\", 1, null]"},
        })
        [message] = bodies(sqs, queue[0])
        assert "MessageAttributes" not in message
        envelope = json.loads(message["Body"])
        assert list(envelope) == ["Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp",
                                  "UnsubscribeURL", "MessageAttributes"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", envelope.pop("Timestamp"))
        url = envelope.pop("UnsubscribeURL")
        assert url == f"{tsugite.url('aws')}/?Action=Unsubscribe&SubscriptionArn={subscription}"
        assert envelope == {
            "Type": "Notification", "MessageId": published["MessageId"], "TopicArn": topic,
            "Subject": "New order", "Message": text,
            "MessageAttributes": {
                "kind": {"Type": "String", "Value": "new"},
                "raw": {"Type": "Binary", "Value": "AP8="},
                "list": {"Type": "String.Array", "Value": "[\"a\", 1, null]"},
            },
        }
        assert aws_raw.post(tsugite, method="GET", path=url[url.index("/?"):], headers={
            "Content-Type": "text/plain"})[0] == 200
        assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []

    def test_raw_delivery_and_fan_out(self, sns, sqs, topic, queue):
        attributes = {"kind": {"DataType": "String", "StringValue": "new"},
                      "raw": {"DataType": "Binary", "BinaryValue": b"\x00\xff"}}
        other = sqs.create_queue(QueueName=f"q-{uuid.uuid4()}")["QueueUrl"]
        other_arn = queue[1].rsplit(":", 1)[0] + ":" + other.rsplit("/", 1)[1]
        raw = {"RawMessageDelivery": "true"}
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue[1], Attributes=raw)
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=other_arn)
        published = sns.publish(TopicArn=topic, Message="bare", MessageAttributes=attributes)
        [message] = bodies(sqs, queue[0])
        assert (message["Body"], message["MessageAttributes"]) == ("bare", attributes)
        [message] = bodies(sqs, other)
        assert json.loads(message["Body"])["MessageId"] == published["MessageId"]

    def test_later_subscribers_see_nothing(self, sns, sqs, topic, queue):
        sns.publish(TopicArn=topic, Message="before")
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue[1])
        assert bodies(sqs, queue[0]) == []

    def test_message_structure(self, sns, sqs, topic, queue):
        raw = {"RawMessageDelivery": "true"}
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue[1], Attributes=raw)
        publish = {"TopicArn": topic, "MessageStructure": "json"}
        sns.publish(**publish, Message=json.dumps({"default": "d", "sqs": "for queues", "http": "h"}))
        sns.publish(**publish, Message=json.dumps({"default": "d", "sqs": 5}))
        assert sorted(m["Body"] for m in bodies(sqs, queue[0])) == ["d", "for queues"]
        for bad in ("plain", json.dumps({"sqs": "s"}), json.dumps(["x"])):
            refused("InvalidParameter", sns.publish, **publish, Message=bad, naming="Message")
        assert bodies(sqs, queue[0]) == []

    def test_target_arn(self, sns, sqs, topic, queue):
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue[1])
        sns.publish(TargetArn=topic, Message="x")
        assert len(bodies(sqs, queue[0])) == 1

    @pytest.mark.parametrize("code,naming,change", [
        ("InvalidParameter", "Message", {"Message": ""}),
        ("InvalidParameter", "Message", {"Message": "x" * (1024 * 1024 + 1)}),
        ("InvalidParameter", "Subject", {"Subject": ""}),
        ("InvalidParameter", "Subject", {"Subject": "x" * 101}),
        ("InvalidParameter", "Subject", {"Subject": "two\nlines"}),
        ("InvalidParameter", "MessageStructure", {"MessageStructure": "xml"}),
        ("InvalidParameter", "MessageDeduplicationId", {"MessageDeduplicationId": "d"}),
        ("ParameterValueInvalid", "n", {"MessageAttributes": {
            "n": {"DataType": "Number", "StringValue": "many"}}}),
        ("ParameterValueInvalid", "n", {"MessageAttributes": {
            "n": {"DataType": "String", "BinaryValue": b"x"}}}),
    ])
    def test_bad_messages(self, sns, sqs, topic, queue, code, naming, change):
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue[1])
        refused(code, sns.publish, naming=naming, **({"TopicArn": topic, "Message": "x"} | change))
        assert bodies(sqs, queue[0]) == []

    def test_targets(self, sns, topic):
        refused("InvalidParameter", sns.publish, Message="x", naming="TopicArn")
        refused("InvalidParameter", sns.publish, TopicArn=topic, TargetArn=topic, Message="x")
        refused("InvalidParameter", sns.publish, PhoneNumber="+15550100", Message="x", naming="PhoneNumber")


class TestProtocol:
    def test_unsupported_actions_are_named(self, sns, topic):
        for call, parameters in [
            (sns.get_topic_attributes, {"TopicArn": topic}),
            (sns.set_topic_attributes, {"TopicArn": topic, "AttributeName": "DisplayName"}),
            (sns.publish_batch, {"TopicArn": topic, "PublishBatchRequestEntries": []}),
            (sns.list_tags_for_resource, {"ResourceArn": topic}),
            (sns.confirm_subscription, {"TopicArn": topic, "Token": "t"}),
        ]:
            refused("InvalidAction", call, naming="not supported yet", **parameters)

    def test_unknown_action_and_hostile_indices(self, tsugite, topic):
        status, headers, body = aws_raw.form(tsugite, "Action=Nonsense&Version=2010-03-31")
        assert status == 400 and headers["Content-Type"] == "text/xml"
        assert "<Code>InvalidAction</Code>" in body and "Nonsense" in body
        call = f"Action=Publish&Version=2010-03-31&TopicArn={topic}&Message=x"
        hostile = "&MessageAttributes.entry.999999999.Name=a" \
                  "&MessageAttributes.entry.999999999.Value.DataType=String" \
                  "&MessageAttributes.entry.999999999.Value.StringValue=v"
        status, _, body = aws_raw.form(tsugite, call + hostile)
        assert status == 200, body
        status, _, body = aws_raw.form(tsugite, call + "&MessageAttributes.entry.x.Name=a")
        assert status == 400 and "MalformedQueryString" in body
        status, _, body = aws_raw.form(tsugite, call + "&Subject=%ff")
        assert status == 400 and "Subject" in body
        status, _, body = aws_raw.form(tsugite, "a=b&" * 20_000)
        assert status == 400 and "10000 parameters" in body

    def test_get_form(self, tsugite):
        path = "/?Action=CreateTopic&Version=2010-03-31&Name=by-get"
        status, _, body = aws_raw.post(tsugite, method="GET", path=path, headers={"Content-Type": "text/plain"})
        assert status == 200
        assert b"<TopicArn>arn:aws:sns:us-east-1:000000000000:by-get</TopicArn>" in body


class TestSts:
    def test_caller_identity(self, tsugite):
        identity = tsugite.client("sts").get_caller_identity()
        assert identity["Account"] == "000000000000"
        assert identity["Arn"] == "arn:aws:iam::000000000000:root"
        assert identity["UserId"] == "000000000000"

    def test_the_rest_is_refused(self, tsugite):
        refused("InvalidAction", tsugite.client("sts").get_session_token, naming="GetSessionToken")
