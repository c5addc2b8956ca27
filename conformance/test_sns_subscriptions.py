"""SNS: subscriptions, confirmed and not. Runs with two SDKs (see README.md)."""

import http.server
import json
import re
import threading
import time
import urllib.request
import uuid

import boto3
import pytest
from botocore.config import Config

import aws_raw
from sns_help import ACCOUNT, attributes_of, new_queue, new_topic, says, subscribed, taken, texts
from sqs_help import refused

ROOT = f"arn:aws:iam::{ACCOUNT}:root"


@pytest.fixture
def topic(sns):
    return new_topic(sns)


@pytest.fixture
def queue(sqs):
    return new_queue(sqs)


@pytest.fixture
def call(topic, queue):
    """The parameters of a Subscribe."""
    return {"TopicArn": topic, "Protocol": "sqs", "Endpoint": queue[1], "ReturnSubscriptionArn": True}


def link_of(tsugite, recipient):
    """Path and query of the confirmation link that was captured for a recipient."""
    with urllib.request.urlopen(tsugite.url("admin", f"/v1/captured?recipient={recipient}"), timeout=10) as answer:
        found = [mail["confirmation_url"] for mail in json.load(answer)["captured"] if mail["confirmation_url"]]
    assert found, recipient
    return found[0][found[0].index("/?"):]


def follow(tsugite, path):
    """GETs a link as a browser does: without a signature."""
    status, headers, body = aws_raw.post(tsugite, method="GET", path=path, headers={"Content-Type": "text/plain"})
    assert headers["Content-Type"] == "text/xml"
    return status, body.decode()


class TestSubscribe:
    def test_life(self, sns, topic, queue, call):
        arn = sns.subscribe(**call)["SubscriptionArn"]
        assert re.fullmatch(re.escape(topic) + r":[0-9a-f-]{36}", arn)
        expected = {"SubscriptionArn": arn, "Owner": ACCOUNT, "Protocol": "sqs", "Endpoint": queue[1],
                    "TopicArn": topic}
        assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == [expected]
        pages = sns.get_paginator("list_subscriptions").paginate()
        assert expected in [s for page in pages for s in page["Subscriptions"]]
        assert attributes_of(sns, arn) == {
            "ConfirmationWasAuthenticated": "true", "Endpoint": queue[1], "Owner": ACCOUNT,
            "PendingConfirmation": "false", "Protocol": "sqs", "RawMessageDelivery": "false", "SubscriptionArn": arn,
            "SubscriptionPrincipal": ROOT, "TopicArn": topic}
        for _ in range(2):
            sns.unsubscribe(SubscriptionArn=arn)
        assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []
        for gone in (sns.get_subscription_attributes, sns.set_subscription_attributes):
            more = {} if gone == sns.get_subscription_attributes else {
                "AttributeName": "RawMessageDelivery", "AttributeValue": "true"}
            says("Subscription does not exist", gone, "NotFound", 404, SubscriptionArn=arn, **more)

    def test_again_finds_what_agrees(self, sns, call):
        arn = sns.subscribe(**call, Attributes={"RawMessageDelivery": "True"})["SubscriptionArn"]
        assert attributes_of(sns, arn)["RawMessageDelivery"] == "true"
        for same in ({"RawMessageDelivery": "true"}, {}, {"FilterPolicyScope": "MessageAttributes"},
                     {"RawMessageDelivery": "true", "FilterPolicyScope": "MessageAttributes"}):
            assert sns.subscribe(**call, Attributes=same)["SubscriptionArn"] == arn
        says("Invalid parameter: Attributes Reason: Subscription already exists with different attributes",
             sns.subscribe, **call, Attributes={"RawMessageDelivery": "false", "FilterPolicyScope": "MessageBody"})

    @pytest.mark.parametrize("change,message", [
        ({"Protocol": "test-protocol"}, "Amazon SNS does not support this protocol string: test-protocol"),
        ({"Endpoint": "http://localhost:4566/000000000000/q"}, "SQS endpoint ARN"),
        ({"Endpoint": "unknown"}, "SQS endpoint ARN"),
        ({"Endpoint": f"arn:aws:sqs:us-east-1:{ACCOUNT}:q.fifo"},
         "Invalid parameter: Endpoint Reason: FIFO SQS Queues can not be subscribed to standard SNS topics"),
        ({"Protocol": "http", "Endpoint": "https://e.example"}, "Endpoint must match the specified protocol"),
        ({"Protocol": "https", "Endpoint": "http://e.example"}, "Endpoint must match the specified protocol"),
        ({"Protocol": "email", "Endpoint": "nobody"}, "Email address"),
        ({"Attributes": {"RawMessageDelivery": "wrongvalue", "FilterPolicyScope": "MessageBody", "FilterPolicy": ""}},
         "Attributes Reason: RawMessageDelivery: Invalid value [wrongvalue]. Must be true or false."),
        ({"Attributes": {"Nonsense": "x"}}, "Attributes Reason: Unknown attribute Nonsense"),
        ({"Attributes": {"FilterPolicy": '{"key": [["value"]]}'}}, None),
        ({"Attributes": {"RedrivePolicy": '{"deadLetterTargetArn": "fake-arn"}'}},
         "Attributes Reason: RedrivePolicy: deadLetterTargetArn is an invalid arn"),
    ])
    def test_refusals(self, sns, topic, call, change, message):
        if message is None:
            refused("InvalidParameter", sns.subscribe, **(call | change),
                    naming="Invalid parameter: Attributes Reason: FilterPolicy: Match value must be String, number")
        else:
            says(f"Invalid parameter: {message}", sns.subscribe, **(call | change))
        assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []

    @pytest.mark.parametrize("protocol", ["lambda", "application", "firehose"])
    def test_what_tsugite_does_not_deliver_to_is_named(self, sns, call, protocol):
        refused("InvalidParameter", sns.subscribe, **(call | {"Protocol": protocol}), naming=protocol)

    @pytest.mark.parametrize("number,good", [
        ("+1234567890", True), ("+12/34-567.890", True), ("+15--551234567", False), ("NAA+15551234567", False),
        ("+15551234567.", False), ("/+15551234567", False), ("invalid-number", False)])
    def test_phones(self, sns, call, number, good):
        sms = call | {"Protocol": "sms", "Endpoint": number}
        if good:
            attributes = attributes_of(sns, sns.subscribe(**sms)["SubscriptionArn"])
            assert (attributes["Endpoint"], attributes["PendingConfirmation"]) == (number, "false")
        else:
            says(f"Invalid SMS endpoint: {number}", sns.subscribe, **sms)

    def test_topics(self, sns, call):
        for arn, count in [("randomstring", 1), ("arn:aws:sns:us-east-1:random", 5)]:
            says(f"Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not {count}",
                 sns.subscribe, **(call | {"TopicArn": arn}))
        missing = {"TopicArn": call["TopicArn"] + "aaa"}
        says("Topic does not exist", sns.subscribe, "NotFound", 404, **(call | missing))
        says("Topic does not exist", sns.list_subscriptions_by_topic, "NotFound", 404, **missing)

    def test_a_queue_need_not_exist(self, sns, sqs, topic, call):
        name = f"later-{uuid.uuid4()}"
        sns.subscribe(**(call | {"Endpoint": f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"}))
        sns.publish(TopicArn=topic, Message="before")
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        sns.publish(TopicArn=topic, Message="after")
        assert texts(sqs, url) == ["after"]

    def test_pages(self, sns, topic):
        for n in range(101):
            sns.subscribe(TopicArn=topic, Protocol="sms", Endpoint=f"+12312312{n}")
        first = sns.list_subscriptions_by_topic(TopicArn=topic)
        second = sns.list_subscriptions_by_topic(TopicArn=topic, NextToken=first["NextToken"])
        assert (len(first["Subscriptions"]), len(second["Subscriptions"])) == (100, 1) and "NextToken" not in second
        assert second["Subscriptions"][0] not in first["Subscriptions"]
        says("Invalid parameter: NextToken", sns.list_subscriptions, NextToken="junk")

    def test_deleting_the_topic_ends_them(self, sns, sqs, topic, queue, call):
        arn = sns.subscribe(**call)["SubscriptionArn"]
        sns.delete_topic(TopicArn=topic)
        sns.unsubscribe(SubscriptionArn=arn)
        assert sns.create_topic(Name=topic.rsplit(":", 1)[1])["TopicArn"] == topic
        sns.publish(TopicArn=topic, Message="x")
        assert taken(sqs, queue[0]) == []


class TestAttributes:
    def test_set_and_read(self, sns, sqs, topic, queue):
        arn, (_, letters) = subscribed(sns, topic, queue[1]), new_queue(sqs)
        before = attributes_of(sns, arn)
        policy = json.dumps({"attr1": [{"numeric": [">", 0, "<=", 100]}]})
        redrive = json.dumps({"deadLetterTargetArn": letters})
        for name, value in [("FilterPolicy", policy), ("RedrivePolicy", redrive), ("RawMessageDelivery", "true")]:
            sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName=name, AttributeValue=value)
        assert attributes_of(sns, arn) == before | {
            "FilterPolicy": policy, "FilterPolicyScope": "MessageAttributes", "RedrivePolicy": redrive,
            "RawMessageDelivery": "true"}
        for name, value in [("FilterPolicy", "{}"), ("RedrivePolicy", ""), ("RawMessageDelivery", "false")]:
            sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName=name, AttributeValue=value)
        assert attributes_of(sns, arn) == before

    def test_the_scope_shows_with_a_policy_only(self, sns, topic, queue):
        arn = subscribed(sns, topic, queue[1], RawMessageDelivery="TrUe", FilterPolicyScope="MessageBody",
                         FilterPolicy="")
        assert not {"FilterPolicy", "FilterPolicyScope"} & set(attributes_of(sns, arn))
        sns.set_subscription_attributes(SubscriptionArn=arn, AttributeName="FilterPolicy",
                                        AttributeValue='{"object": {"key": [{"prefix": "auto-"}]}}')
        assert attributes_of(sns, arn)["FilterPolicyScope"] == "MessageBody"

    @pytest.mark.parametrize("name,value,message", [
        ("FakeAttribute", "test-value", "AttributeName"),
        ("RawMessageDelivery", "test-ValUe", "RawMessageDelivery: Invalid value [test-ValUe]. Must be true or false."),
        ("RawMessageDelivery", "", "RawMessageDelivery: Invalid value []. Must be true or false."),
        ("RedrivePolicy", '{"deadLetterTargetArn": "fake-arn"}', "RedrivePolicy: deadLetterTargetArn is an invalid arn"),
        ("FilterPolicyScope", "RandomValue",
         "FilterPolicyScope: Invalid value [RandomValue]. Please use either MessageBody or MessageAttributes"),
        ("FilterPolicy", '{"object": {"key": [{"prefix": "auto-"}]}}',
         "Filter policy scope MessageAttributes does not support nested filter policy"),
        ("FilterPolicy", json.dumps({k: ["v"] for k in "abcdef"}),
         "FilterPolicy: Filter policy can not have more than 5 keys"),
    ])
    def test_refusals(self, sns, topic, queue, name, value, message):
        arn = subscribed(sns, topic, queue[1])
        before = attributes_of(sns, arn)
        says(f"Invalid parameter: {message}", sns.set_subscription_attributes, SubscriptionArn=arn,
             AttributeName=name, AttributeValue=value)
        assert attributes_of(sns, arn) == before

    @pytest.mark.parametrize("name", ["RedrivePolicy", "FilterPolicy"])
    def test_malformed_json(self, sns, topic, queue, name):
        arn = subscribed(sns, topic, queue[1])
        answer = refused("InvalidParameter", sns.set_subscription_attributes, SubscriptionArn=arn, AttributeName=name,
                         AttributeValue="{invalidjson}")
        assert answer["Error"]["Message"].startswith(f"Invalid parameter: {name}: failed to parse JSON.")

    def test_arns(self, tsugite, topic):
        sns = boto3.client("sns", endpoint_url=tsugite.url("aws"), region_name="us-east-1", aws_access_key_id="test",
                           aws_secret_access_key="test", config=Config(parameter_validation=False))
        for arn, message in [
            ("randomstring", "SubscriptionArn Reason: An ARN must have at least 6 elements, not 1"),
            ("arn:aws:sns:us-east-1:random", "SubscriptionArn Reason: An ARN must have at least 6 elements, not 5"),
            ("arn:aws:sns:us-east-1:111111111111:random", "SubscriptionId"),
        ]:
            for act in (sns.unsubscribe, sns.get_subscription_attributes):
                says(f"Invalid parameter: {message}", act, SubscriptionArn=arn)
        says("Invalid parameter: SubscriptionArn Reason: no value for required parameter", sns.unsubscribe)
        unknown = f"{topic}:{uuid.uuid4()}"
        sns.unsubscribe(SubscriptionArn=unknown)
        says("Subscription does not exist", sns.get_subscription_attributes, "NotFound", 404, SubscriptionArn=unknown)


class TestConfirmation:
    def pending(self, sns, topic):
        address = f"{uuid.uuid4()}@b.example"
        call = {"TopicArn": topic, "Protocol": "email", "Endpoint": address}
        assert sns.subscribe(**call)["SubscriptionArn"] == "pending confirmation"
        arn = sns.subscribe(**call, ReturnSubscriptionArn=True)["SubscriptionArn"]
        return address, arn

    def token_of(self, tsugite, address):
        return link_of(tsugite, address).split("Token=")[1]

    def test_a_link_is_followed_without_a_signature(self, tsugite, sns, topic):
        address, arn = self.pending(sns, topic)
        [listed] = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        assert listed["SubscriptionArn"] == "PendingConfirmation"
        assert attributes_of(sns, arn)["PendingConfirmation"] == "true"
        for _ in range(2):
            status, body = follow(tsugite, link_of(tsugite, address))
            assert status == 200 and f"<SubscriptionArn>{arn}</SubscriptionArn>" in body, body
        attributes = attributes_of(sns, arn)
        assert (attributes["PendingConfirmation"], attributes["ConfirmationWasAuthenticated"]) == ("false", "false")
        status, _ = follow(tsugite, f"/?Action=Unsubscribe&SubscriptionArn={arn}")
        assert status == 200 and sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []

    def test_a_link_leads_to_where_the_subscriber_reached_us(self, tsugite, topic):
        class Endpoint(http.server.BaseHTTPRequestHandler):
            seen = []

            def do_POST(self):
                self.seen.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        port = tsugite.address("aws")[1]
        sns = boto3.client("sns", endpoint_url=f"http://localhost:{port}", region_name="us-east-1",
                           aws_access_key_id="test", aws_secret_access_key="test")
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"http://127.0.0.1:{server.server_port}/")
            deadline = time.monotonic() + 20
            while not Endpoint.seen:
                assert time.monotonic() < deadline, "nobody asked to confirm"
                time.sleep(0.02)
            server.shutdown()
        for link in ("SubscribeURL", "SigningCertURL"):
            assert Endpoint.seen[0][link].startswith(f"http://localhost:{port}/"), Endpoint.seen[0]

    def test_with_authentication_only_owners_end_it(self, tsugite, sns, topic):
        address, arn = self.pending(sns, topic)
        confirmed = sns.confirm_subscription(TopicArn=topic, Token=self.token_of(tsugite, address),
                                             AuthenticateOnUnsubscribe="true")
        assert confirmed["SubscriptionArn"] == arn
        assert attributes_of(sns, arn)["ConfirmationWasAuthenticated"] == "true"
        status, body = follow(tsugite, f"/?Action=Unsubscribe&SubscriptionArn={arn}")
        assert status == 403 and "<Code>AuthorizationError</Code>" in body
        sns.unsubscribe(SubscriptionArn=arn)
        assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []

    def test_wrong_tokens_and_topics(self, tsugite, sns, topic):
        address, arn = self.pending(sns, topic)
        token = self.token_of(tsugite, address)
        for wrong in ("randomtoken", "51b2ff3edb475b7d91550e0ab6edf0c1", token[:-1] + ("0" if token[-1] != "0" else "1")):
            says("Invalid parameter: Token", sns.confirm_subscription, TopicArn=topic, Token=wrong)
        says("Invalid parameter: Token", sns.confirm_subscription, TopicArn=topic + "i", Token="ab" * 64)
        for wrong in ("broken", topic.replace("us-east-1", "eu-west-1")):
            status, body = follow(tsugite, f"/?Action=ConfirmSubscription&TopicArn={wrong}&Token={token}")
            assert status == 400 and "<Message>Invalid parameter: Topic</Message>" in body, body
        assert attributes_of(sns, arn)["PendingConfirmation"] == "true"
        # AWS goes by the token: it confirms under any topic of the account and region.
        confirmed = sns.confirm_subscription(TopicArn=topic + "-other", Token=token)
        assert confirmed["SubscriptionArn"] == arn

    def test_a_new_token_replaces_the_old_one(self, tsugite, sns, topic):
        address, arn = self.pending(sns, topic)
        latest = self.token_of(tsugite, address)
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=address)
        assert self.token_of(tsugite, address) != latest
        says("Invalid parameter: Token", sns.confirm_subscription, TopicArn=topic, Token=latest)
        sns.confirm_subscription(TopicArn=topic, Token=self.token_of(tsugite, address))
        assert attributes_of(sns, arn)["PendingConfirmation"] == "false"
