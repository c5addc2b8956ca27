"""SNS: who may do what. Signatures, accounts, policies of topics, and policies of the queues that topics send to."""

import json
import urllib.request
import uuid

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from process import Tsugite
from sns_help import attributes_of, says, subscribed, taken, texts
from sqs_help import refused

ROOT = ("AKIAROOT", "root-secret-0123456789")
OTHER = ("AKIAOTHER", "other-secret-0123456789")
BOB = ("AKIABOB", "bob-secret-0123456789")
MINE, THEIRS = "111111111111", "222222222222"
CONFIG = f"""
aws:
  account: "{MINE}"
  auth: MODE
  keys:
    - {{id: {ROOT[0]}, secret: {ROOT[1]}}}
    - {{id: {OTHER[0]}, secret: {OTHER[1]}, account: "{THEIRS}"}}
    - {{id: {BOB[0]}, secret: {BOB[1]}, account: "{THEIRS}", user: bob}}
"""


def served(mode):
    one = Tsugite(config=CONFIG.replace("MODE", mode))
    one.start()
    yield one
    assert one.stop() == 0, one.log()
    one.remove()


@pytest.fixture(scope="module")
def strict():
    yield from served("strict")


@pytest.fixture(scope="module", params=["known", "strict"])
def either(request):
    yield from served(request.param)


def client(server, key, service="sns"):
    config = Config(retries={"max_attempts": 1})
    if key is None:
        return boto3.client(service, endpoint_url=server.url("aws"), region_name="us-east-1",
                            config=config.merge(Config(signature_version=UNSIGNED)))
    return boto3.client(service, endpoint_url=server.url("aws"), region_name="us-east-1", aws_access_key_id=key[0],
                        aws_secret_access_key=key[1], config=config)


def topic_of(sns):
    return sns.create_topic(Name=f"t-{uuid.uuid4()}")["TopicArn"]


def queue_of(server, key):
    """(client, URL, ARN) of a new queue."""
    sqs, name = client(server, key, "sqs"), f"q-{uuid.uuid4()}"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    return sqs, url, f"arn:aws:sqs:us-east-1:{url.split('/')[-2]}:{name}"


def denied(call, naming="is not authorized to perform: SNS:", **parameters):
    refused("AuthorizationError", call, status=403, naming=naming, **parameters)


def allow(sns, topic, principal, action, **more):
    """Replaces the policy of a topic by one statement."""
    statement = {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": topic} | more
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy",
                             AttributeValue=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


class TestAccounts:
    def test_are_apart(self, either):
        sns, theirs = client(either, ROOT), client(either, OTHER)
        topic = topic_of(sns)
        subscription = subscribed(sns, topic, queue_of(either, ROOT)[2])
        assert topic not in [t["TopicArn"] for t in theirs.list_topics()["Topics"]]
        entries = [{"Id": "1", "Message": "x"}]
        for call, parameters in [
            (theirs.publish, {"TopicArn": topic, "Message": "x"}), (theirs.publish, {"TargetArn": topic, "Message": "x"}),
            (theirs.publish_batch, {"TopicArn": topic, "PublishBatchRequestEntries": entries}),
            (theirs.get_topic_attributes, {"TopicArn": topic}),
            (theirs.set_topic_attributes, {"TopicArn": topic, "AttributeName": "DisplayName", "AttributeValue": "x"}),
            (theirs.delete_topic, {"TopicArn": topic}), (theirs.list_subscriptions_by_topic, {"TopicArn": topic}),
            (theirs.subscribe, {"TopicArn": topic, "Protocol": "email", "Endpoint": "a@b.example"}),
            (theirs.add_permission, {"TopicArn": topic, "Label": "l", "AWSAccountId": [THEIRS],
                                     "ActionName": ["Publish"]}),
            (theirs.tag_resource, {"ResourceArn": topic, "Tags": [{"Key": "k", "Value": "v"}]}),
            (theirs.list_tags_for_resource, {"ResourceArn": topic}),
            (theirs.get_data_protection_policy, {"ResourceArn": topic}),
            (theirs.get_subscription_attributes, {"SubscriptionArn": subscription}),
            (theirs.set_subscription_attributes, {"SubscriptionArn": subscription, "AttributeName": "RawMessageDelivery",
                                                  "AttributeValue": "true"}),
        ]:
            denied(call, **parameters)
        denied(theirs.publish, TopicArn=topic + "-absent", Message="x")
        says("Topic does not exist", sns.publish, "NotFound", 404, TopicArn=topic + "-absent", Message="x")

    def test_nobody_ends_a_subscription_of_another(self, either):
        sns, theirs, anonymous = client(either, ROOT), client(either, OTHER), client(either, None)
        topic, (_, _, queue) = topic_of(sns), queue_of(either, ROOT)
        arn = subscribed(sns, topic, queue)
        denied(theirs.unsubscribe, naming="SNS:Unsubscribe on resource: " + topic, SubscriptionArn=arn)
        denied(theirs.unsubscribe, SubscriptionArn=arn[:-12] + "0" * 12)
        assert attributes_of(sns, arn)["SubscriptionPrincipal"] == f"arn:aws:iam::{MINE}:root"
        # Whoever has the link from a message may follow it, as at AWS.
        anonymous.unsubscribe(SubscriptionArn=arn)
        assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []

    def test_nobody_subscribes_a_queue_of_another(self, either):
        theirs = client(either, OTHER)
        denied(theirs.subscribe, TopicArn=topic_of(theirs), Protocol="sqs", Endpoint=queue_of(either, ROOT)[2])

    def test_unsigned_requests(self, either):
        anonymous, topic = client(either, None), topic_of(client(either, ROOT))
        for call, parameters in [(anonymous.list_topics, {}), (anonymous.create_topic, {"Name": "x"}),
                                 (anonymous.publish, {"PhoneNumber": "+15550100", "Message": "x"})]:
            refused("MissingAuthenticationToken", call, status=403, **parameters)
        known = {"known": "MissingAuthenticationToken", "strict": "AuthorizationError"}
        mode = "strict" if "auth: strict" in either.config_file.read_text() else "known"
        refused(known[mode], anonymous.publish, status=403, TopicArn=topic, Message="x")

    def test_links_need_no_signature(self, either):
        sns, address = client(either, ROOT), f"{uuid.uuid4()}@b.example"
        topic = topic_of(sns)
        arn = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=address,
                            ReturnSubscriptionArn=True)["SubscriptionArn"]
        with urllib.request.urlopen(either.url("admin", f"/v1/captured?recipient={address}"), timeout=10) as answer:
            link = json.load(answer)["captured"][0]["confirmation_url"]
        for path in (link[link.index("/?"):], f"/?Action=Unsubscribe&SubscriptionArn={arn}"):
            with urllib.request.urlopen(either.url("aws", path), timeout=10) as answer:
                assert answer.status == 200
        assert sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"] == []


class TestPolicies:
    def test_admit_another_account(self, strict):
        sns, theirs = client(strict, ROOT), client(strict, OTHER)
        topic, (sqs, url, queue) = topic_of(sns), queue_of(strict, ROOT)
        queue_policy(sqs, url, queue, topic)
        subscribed(sns, topic, queue)
        denied(theirs.publish, naming="SNS:Publish on resource: " + topic, TopicArn=topic, Message="no")
        sns.add_permission(TopicArn=topic, Label="share", AWSAccountId=[THEIRS], ActionName=["Publish"])
        theirs.publish(TopicArn=topic, Message="one")
        theirs.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[{"Id": "1", "Message": "two"}])
        denied(theirs.get_topic_attributes, TopicArn=topic)
        sns.remove_permission(TopicArn=topic, Label="share")
        denied(theirs.publish, TopicArn=topic, Message="no more")
        assert texts(sqs, url) == ["one", "two"]

    def test_some_actions_stay_the_owners(self, strict):
        sns, theirs = client(strict, ROOT), client(strict, OTHER)
        topic = topic_of(sns)
        allow(sns, topic, {"AWS": THEIRS}, ["sns:*"])
        assert theirs.get_topic_attributes(TopicArn=topic)["Attributes"]["Owner"] == MINE
        denied(theirs.tag_resource, ResourceArn=topic, Tags=[{"Key": "k", "Value": "v"}])

    def test_principals_and_conditions(self, strict):
        sns, topic = client(strict, ROOT), None
        topic = topic_of(sns)
        bob, other = client(strict, BOB), client(strict, OTHER)
        allow(sns, topic, {"AWS": f"arn:aws:iam::{THEIRS}:user/bob"}, "SNS:Publish")
        bob.publish(TopicArn=topic, Message="x")
        denied(other.publish, TopicArn=topic, Message="x")
        allow(sns, topic, "*", "sns:Publish", Condition={"StringEquals": {"aws:SourceOwner": THEIRS}})
        other.publish(TopicArn=topic, Message="x")
        allow(sns, topic, "*", "sns:Publish", Condition={"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}})
        denied(other.publish, TopicArn=topic, Message="x")
        denied(client(strict, None).publish, naming="User: anonymous", TopicArn=topic, Message="x")
        allow(sns, topic, "*", "sns:Publish", Condition={"IpAddress": {"aws:SourceIp": "127.0.0.0/8"}})
        client(strict, None).publish(TopicArn=topic, Message="open to everybody")

    def test_of_subscriptions(self, strict):
        sns, theirs = client(strict, ROOT), client(strict, OTHER)
        topic = topic_of(sns)
        sqs, url, queue = queue_of(strict, OTHER)
        allow(sns, topic, {"AWS": THEIRS}, "sns:Subscribe",
              Condition={"StringEquals": {"sns:Protocol": "sqs"}, "StringLike": {"sns:Endpoint": "arn:aws:sqs:*:q-*"}})
        denied(theirs.subscribe, TopicArn=topic, Protocol="email", Endpoint="a@b.example")
        arn = subscribed(theirs, topic, queue)
        assert attributes_of(theirs, arn)["Owner"] == THEIRS and attributes_of(sns, arn)["Owner"] == THEIRS
        # Without a policy of its own, a queue takes what its own account sends, and nothing that a topic does.
        sns.publish(TopicArn=topic, Message="not admitted")
        queue_policy(sqs, url, queue, topic)
        sns.publish(TopicArn=topic, Message="admitted")
        assert texts(sqs, url) == ["admitted"]
        theirs.set_subscription_attributes(SubscriptionArn=arn, AttributeName="RawMessageDelivery", AttributeValue="true")
        theirs.unsubscribe(SubscriptionArn=arn)

    def test_a_denial_holds_for_the_owner_too(self, strict):
        sns = client(strict, ROOT)
        topic = topic_of(sns)
        allow(sns, topic, "*", "sns:Publish", Effect="Deny")
        denied(sns.publish, naming="with an explicit deny in a resource-based policy", TopicArn=topic, Message="x")
        sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue="")
        sns.publish(TopicArn=topic, Message="x")

    def test_one_that_cannot_be_read_is_refused(self, strict):
        sns = client(strict, ROOT)
        topic = topic_of(sns)
        before = attributes_of(sns, topic)["Policy"]
        for more, why in [({"Nonsense": 1}, "the statement has the unknown member Nonsense"),
                          ({"Effect": "Maybe"}, "the Effect must be Allow or Deny"),
                          ({"Action": "sqs:SendMessage"}, "the action sqs:sendmessage is none of")]:
            refused("InvalidParameter", lambda: allow(sns, topic, "*", "sns:Publish", **more),  # noqa: B023
                    naming=f"Invalid parameter: Policy Reason: in statement 1, {why}")
            statement = {"Effect": "Allow", "Principal": "*", "Action": "sns:Publish", "Resource": "*"} | more
            refused("InvalidParameter", sns.create_topic, Name=f"t-{uuid.uuid4()}",
                    Attributes={"Policy": json.dumps({"Statement": [statement]})},
                    naming=f"Invalid parameter: Attributes Reason: Policy: in statement 1, {why}")
        assert attributes_of(sns, topic)["Policy"] == before
        sns.publish(TopicArn=topic, Message="x")


def ask(server, path, body):
    """What the admin port answers to a POST."""
    request = urllib.request.Request(server.url("admin", path), json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def queue_policy(sqs, url, queue, topic):
    """Lets one topic send into a queue, as AWS's guide has it."""
    statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
                 "Resource": queue, "Condition": {"ArnEquals": {"aws:SourceArn": topic}}}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Statement": [statement]})})


class TestPoliciesOfQueues:
    def test_admit_one_topic_only(self, strict):
        sns, (sqs, url, queue) = client(strict, ROOT), queue_of(strict, ROOT)
        admitted, other = topic_of(sns), topic_of(sns)
        _, letters_url, letters = queue_of(strict, ROOT)
        redrive = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": letters}), "RawMessageDelivery": "true"}
        for topic in (admitted, other):
            subscribed(sns, topic, queue, **redrive)
        queue_policy(sqs, url, queue, admitted)
        for topic in (admitted, other):
            sns.publish(TopicArn=topic, Message=f"from {topic}")
        assert texts(sqs, url) == [f"from {admitted}"]
        assert texts(sqs, letters_url) == [f"from {other}"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
        sns.publish(TopicArn=admitted, Message="without a policy")
        assert texts(sqs, url) == [] and texts(sqs, letters_url) == ["without a policy"]

    def test_a_dry_run_and_the_operator_see_them_too(self, strict):
        sns, (sqs, url, queue) = client(strict, ROOT), queue_of(strict, ROOT)
        topic = topic_of(sns)
        subscribed(sns, topic, queue)
        name = topic.split(":")[-1]

        def reasons():
            return ask(strict, f"/v1/topics/{name}/matches", {"message": "x"})["subscriptions"][0]["reasons"]
        assert reasons() == ["the queue's policy does not let the topic send to it"]
        assert ask(strict, f"/v1/topics/{name}/messages", {"message": "x"})["undeliverable"] == 1
        queue_policy(sqs, url, queue, topic)
        assert reasons() == []
        assert ask(strict, f"/v1/topics/{name}/messages", {"message": "y"})["deliveries"] == 1
        assert texts(sqs, url) == ["y"]

    def test_are_not_evaluated_in_mode_known(self):
        for known in served("known"):
            sns, (sqs, url, queue) = client(known, ROOT), queue_of(known, ROOT)
            topic = topic_of(sns)
            subscribed(sns, topic, queue)
            queue_policy(sqs, url, queue, topic + "-other")
            sns.publish(TopicArn=topic, Message="x")
            assert len(taken(sqs, url)) == 1
