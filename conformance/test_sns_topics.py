"""SNS: topics, their attributes, tags, permissions and lists. Runs with two SDKs (see README.md)."""

import json
import uuid

import boto3
import pytest

from sns_help import ACCOUNT, attributes_of, new_queue, new_topic, says, subscribed
from sqs_help import refused

NO_TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:missing"
DELIVERY = {"http": {
    "defaultHealthyRetryPolicy": {
        "minDelayTarget": 20, "maxDelayTarget": 20, "numRetries": 3, "numMaxDelayRetries": 0, "numNoDelayRetries": 0,
        "numMinDelayRetries": 0, "backoffFunction": "linear"},
    "disableSubscriptionOverrides": False,
    "defaultRequestPolicy": {"headerContentType": "text/plain; charset=UTF-8"}}}


@pytest.fixture
def topic(sns):
    return new_topic(sns)


def tags_of(sns, topic):
    return {tag["Key"]: tag["Value"] for tag in sns.list_tags_for_resource(ResourceArn=topic)["Tags"]}


class TestLife:
    def test_create_is_idempotent_and_keeps_what_was_set(self, sns):
        name = f"t-{uuid.uuid4()}"
        topic = sns.create_topic(Name=name)["TopicArn"]
        assert topic == f"arn:aws:sns:us-east-1:{ACCOUNT}:{name}"
        sns.set_topic_attributes(TopicArn=topic, AttributeName="DisplayName", AttributeValue="kept")
        assert sns.create_topic(Name=name)["TopicArn"] == topic
        assert attributes_of(sns, topic)["DisplayName"] == "kept"

    @pytest.mark.parametrize("name", ["", "x" * 257, "a.b", "t.fifo", *(f"bad{c}name" for c in ":;!@|^% ")])
    def test_bad_names(self, sns, name):
        says("Invalid parameter: Topic Name", sns.create_topic, Name=name)

    def test_names_and_types_agree(self, sns):
        says("Invalid parameter: Topic Name", sns.create_topic, Name="plain", Attributes={"FifoTopic": "true"})
        assert sns.create_topic(Name="a" * 256)["TopicArn"].endswith("a" * 256)
        plain = sns.create_topic(Name=f"t-{uuid.uuid4()}", Attributes={"FifoTopic": "false"})["TopicArn"]
        assert "FifoTopic" not in attributes_of(sns, plain)

    def test_what_is_stated_must_agree(self, sns):
        call = {"Name": f"t-{uuid.uuid4()}"}
        tags = [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
        arn = sns.create_topic(**call, Attributes={"DisplayName": "x"}, Tags=tags)["TopicArn"]
        for same in ({}, {"Tags": tags}, {"Tags": tags[:1]}, {"Tags": []}, {"Attributes": {"DisplayName": "x"}}):
            assert sns.create_topic(**call, **same)["TopicArn"] == arn
        says("Invalid parameter: Attributes Reason: Topic already exists with different attributes",
             sns.create_topic, **call, Attributes={"DisplayName": "y"})
        says("Invalid parameter: Tags Reason: Topic already exists with different tags",
             sns.create_topic, **call, Tags=[{"Key": "c", "Value": "3"}])
        sns.delete_topic(TopicArn=arn)
        assert sns.create_topic(**call, Tags=[{"Key": "a", "Value": "other"}])["TopicArn"] == arn

    def test_unknown_attributes(self, sns):
        says("Invalid parameter: Attributes Reason: Unknown attribute Nonsense", sns.create_topic,
             Name=f"t-{uuid.uuid4()}", Attributes={"Nonsense": "x"})

    def test_delete_is_idempotent(self, sns, topic):
        for arn in (topic, topic, NO_TOPIC):
            sns.delete_topic(TopicArn=arn)
        says("Topic does not exist", sns.get_topic_attributes, "NotFound", 404, TopicArn=topic)

    def test_arns(self, sns):
        for arn, count in [("test-topic", 1), ("randomstring:1", 2), ("arn:aws:sns:us-east-1:random", 5)]:
            says(f"Invalid parameter: TopicArn Reason: An ARN must have at least 6 elements, not {count}",
                 sns.get_topic_attributes, TopicArn=arn)
        for arn in ["arn:aws:sqs:us-east-1:000000000000:q", "arn:aws:sns:eu-west-1:000000000000:elsewhere"]:
            for call, more in [(sns.get_topic_attributes, {}), (sns.delete_topic, {}), (sns.publish, {"Message": "x"}),
                               (sns.list_subscriptions_by_topic, {}),
                               (sns.set_topic_attributes, {"AttributeName": "DisplayName"}),
                               (sns.subscribe, {"Protocol": "sqs", "Endpoint": "x"})]:
                says("Invalid parameter: TopicArn", call, TopicArn=arn, **more)

    def test_regions_are_apart(self, tsugite):
        there = boto3.client(
            "sns", endpoint_url=tsugite.url("aws"), region_name="eu-west-1", aws_access_key_id="test",
            aws_secret_access_key="test")
        arn = there.create_topic(Name="same")["TopicArn"]
        assert arn == f"arn:aws:sns:eu-west-1:{ACCOUNT}:same"
        assert arn not in {t["TopicArn"] for t in tsugite.client("sns").list_topics()["Topics"]}

    def test_pages(self, tsugite):
        sns = boto3.client("sns", endpoint_url=tsugite.url("aws"), region_name="us-east-1",
                           aws_access_key_id="222222222222", aws_secret_access_key="x")
        assert sns.list_topics()["Topics"] == []
        arns = sorted(sns.create_topic(Name=f"t-{n:03}")["TopicArn"] for n in range(120))
        first = sns.list_topics()
        assert [t["TopicArn"] for t in first["Topics"]] == arns[:100]
        second = sns.list_topics(NextToken=first["NextToken"])
        assert [t["TopicArn"] for t in second["Topics"]] == arns[100:] and "NextToken" not in second
        for junk in ("junk", "anVuaw=="):
            says("Invalid parameter: NextToken", sns.list_topics, NextToken=junk)


class TestAttributes:
    def test_of_a_standard_topic(self, sns, topic):
        attributes = attributes_of(sns, topic)
        policy = json.loads(attributes.pop("Policy"))
        assert json.loads(attributes.pop("EffectiveDeliveryPolicy")) == DELIVERY
        assert attributes == {
            "DisplayName": "", "Owner": ACCOUNT, "SubscriptionsConfirmed": "0", "SubscriptionsDeleted": "0",
            "SubscriptionsPending": "0", "TopicArn": topic}
        [statement] = policy["Statement"]
        assert (policy["Id"], statement["Sid"]) == ("__default_policy_ID", "__default_statement_ID")
        assert statement["Condition"] == {"StringEquals": {"AWS:SourceOwner": ACCOUNT}}
        assert statement["Resource"] == topic and "SNS:Publish" in statement["Action"]

    def test_of_a_fifo_topic(self, sns):
        topic = new_topic(sns, fifo=True, DisplayName="TestTopic", SignatureVersion="2")
        attributes = attributes_of(sns, topic)
        assert set(attributes) == {
            "ContentBasedDeduplication", "DisplayName", "EffectiveDeliveryPolicy", "FifoTopic", "Owner", "Policy",
            "SignatureVersion", "SubscriptionsConfirmed", "SubscriptionsDeleted", "SubscriptionsPending", "TopicArn"}
        assert [attributes[name] for name in ("ContentBasedDeduplication", "FifoTopic", "SignatureVersion")] == [
            "false", "true", "2"]

    @pytest.mark.parametrize("name,value", [
        ("DisplayName", "Kitchen"), ("SignatureVersion", "2"), ("TracingConfig", "Active"),
        ("KmsMasterKeyId", "alias/aws/sns"), ("MaximumMessageSize", "1024"), ("SQSSuccessFeedbackSampleRate", "50"),
        ("LambdaSuccessFeedbackRoleArn", f"arn:aws:iam::{ACCOUNT}:role/log"),
        ("DeliveryPolicy", json.dumps({"http": {"defaultHealthyRetryPolicy": {
            "minDelayTarget": 5, "maxDelayTarget": 6, "numRetries": 1}}})),
        ("Policy", json.dumps({"Version": "2012-10-17", "Statement": []}))])
    def test_set_read_and_take_away(self, sns, topic, name, value):
        before = attributes_of(sns, topic)
        sns.set_topic_attributes(TopicArn=topic, AttributeName=name, AttributeValue=value)
        assert attributes_of(sns, topic)[name] == value
        if name not in ("SignatureVersion", "TracingConfig", "MaximumMessageSize"):
            sns.set_topic_attributes(TopicArn=topic, AttributeName=name, AttributeValue="")
            assert attributes_of(sns, topic) == before

    @pytest.mark.parametrize("name,value,message", [
        ("FifoTopic", "false", "Invalid parameter: AttributeName"),
        ("Nonsense", "x", "Invalid parameter: AttributeName"),
        ("TopicArn", "x", "Invalid parameter: AttributeName"),
    ])
    def test_what_cannot_be_set(self, sns, topic, name, value, message):
        says(message, sns.set_topic_attributes, TopicArn=topic, AttributeName=name, AttributeValue=value)

    @pytest.mark.parametrize("name,value", [
        ("SignatureVersion", "3"), ("TracingConfig", "Off"), ("MaximumMessageSize", "1023"), ("DisplayName", "x" * 101),
        ("ContentBasedDeduplication", "true"), ("FifoThroughputScope", "Topic"), ("Policy", "nonsense"),
        ("HTTPSuccessFeedbackSampleRate", "101"), ("DeliveryPolicy", '{"http":{"defaultHealthyRetryPolicy":{}}}')])
    def test_bad_values_are_named(self, sns, topic, name, value):
        before = attributes_of(sns, topic)
        refused("InvalidParameter", sns.set_topic_attributes, TopicArn=topic, AttributeName=name, AttributeValue=value,
                naming=f"Invalid parameter: {name}")
        refused("InvalidParameter", sns.create_topic, Name=f"t-{uuid.uuid4()}", Attributes={name: value},
                naming=f"Invalid parameter: Attributes Reason: {name}")
        assert attributes_of(sns, topic) == before

    def test_delivery_policies_are_effective(self, sns, topic):
        retry = {"minDelayTarget": 5, "maxDelayTarget": 6, "numRetries": 1}
        sns.set_topic_attributes(TopicArn=topic, AttributeName="DeliveryPolicy",
                                 AttributeValue=json.dumps({"http": {"defaultHealthyRetryPolicy": retry}}))
        effective = json.loads(attributes_of(sns, topic)["EffectiveDeliveryPolicy"])["http"]
        assert effective == DELIVERY["http"] | {
            "defaultHealthyRetryPolicy": DELIVERY["http"]["defaultHealthyRetryPolicy"] | retry}

    def test_throughput_scope_has_no_way_back(self, sns):
        topic = new_topic(sns, fifo=True)
        scope = {"TopicArn": topic, "AttributeName": "FifoThroughputScope"}
        sns.set_topic_attributes(**scope, AttributeValue="MessageGroup")
        refused("InvalidParameter", sns.set_topic_attributes, **scope, AttributeValue="Topic")
        assert attributes_of(sns, topic)["FifoThroughputScope"] == "MessageGroup"

    def test_subscriptions_are_counted(self, sns, sqs, topic):
        one = subscribed(sns, topic, new_queue(sqs)[1])
        subscribed(sns, topic, new_queue(sqs)[1])
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@b.example")
        sns.unsubscribe(SubscriptionArn=one)
        attributes = attributes_of(sns, topic)
        assert [attributes["Subscriptions" + state] for state in ("Confirmed", "Pending", "Deleted")] == ["1", "1", "1"]


class TestTags:
    def test_come_and_go(self, sns, topic):
        sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "k1", "Value": "v1"}, {"Key": "k2", "Value": "v2"}])
        assert tags_of(sns, topic) == {"k1": "v1", "k2": "v2"}
        sns.untag_resource(ResourceArn=topic, TagKeys=["k1", "unknown"])
        sns.tag_resource(ResourceArn=topic, Tags=[{"Key": "k2", "Value": "v2b"}])
        assert tags_of(sns, topic) == {"k2": "v2b"}

    def test_refusals(self, sns, topic):
        twice = [{"Key": "k", "Value": "v"}, {"Key": "k", "Value": "v"}]
        says("Invalid parameter: Duplicated keys are not allowed.", sns.tag_resource, ResourceArn=topic, Tags=twice)
        for reserved in ("aws:x", "AWS:cloudformation:stack-name"):
            says(f"Invalid parameter: Tags Reason: {reserved}: keys that begin with aws: are reserved", sns.tag_resource,
                 ResourceArn=topic, Tags=[{"Key": reserved, "Value": "v"}])
        many = [{"Key": str(n), "Value": ""} for n in range(50)]
        sns.tag_resource(ResourceArn=topic, Tags=many)
        refused("TagLimitExceeded", sns.tag_resource, ResourceArn=topic, Tags=[{"Key": "more", "Value": ""}])
        assert len(tags_of(sns, topic)) == 50

    def test_unknown_topics(self, sns):
        for call, more in [(sns.tag_resource, {"Tags": [{"Key": "k", "Value": "v"}]}),
                           (sns.untag_resource, {"TagKeys": ["k"]}), (sns.list_tags_for_resource, {})]:
            says("Resource does not exist", call, "ResourceNotFound", 404, ResourceArn=NO_TOPIC, **more)


class TestPermissions:
    def test_a_statement_comes_and_goes(self, sns, topic):
        before = json.loads(attributes_of(sns, topic)["Policy"])
        sns.add_permission(TopicArn=topic, Label="share", AWSAccountId=["222222222222"], ActionName=["Publish"])
        added = json.loads(attributes_of(sns, topic)["Policy"])["Statement"][-1]
        assert added == {"Sid": "share", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::222222222222:root"},
                         "Action": "SNS:Publish", "Resource": topic}
        say = {"TopicArn": topic, "AWSAccountId": ["222222222222"]}
        says("Invalid parameter: Statement already exists", sns.add_permission, **say, Label="share",
             ActionName=["Publish"])
        says("Invalid parameter: Policy statement action out of service scope!", sns.add_permission, **say,
             Label="other", ActionName=["NotExistingAction"])
        for label in ("share", "unknown"):
            sns.remove_permission(TopicArn=topic, Label=label)
        assert json.loads(attributes_of(sns, topic)["Policy"]) == before

    def test_unknown_topics(self, sns):
        say = {"TopicArn": NO_TOPIC, "Label": "l"}
        says("Topic does not exist", sns.add_permission, "NotFound", 404, **say, AWSAccountId=["222222222222"],
             ActionName=["Publish"])
        says("Topic does not exist", sns.remove_permission, "NotFound", 404, **say)


class TestDataProtection:
    def test_is_kept(self, sns, topic):
        assert not sns.get_data_protection_policy(ResourceArn=topic).get("DataProtectionPolicy")
        policy = json.dumps({"Name": "p", "Version": "2021-06-01", "Statement": []})
        sns.put_data_protection_policy(ResourceArn=topic, DataProtectionPolicy=policy)
        assert sns.get_data_protection_policy(ResourceArn=topic)["DataProtectionPolicy"] == policy
        born = sns.create_topic(Name=f"t-{uuid.uuid4()}", DataProtectionPolicy=policy)["TopicArn"]
        assert sns.get_data_protection_policy(ResourceArn=born)["DataProtectionPolicy"] == policy

    def test_refusals(self, sns, topic):
        refused("InvalidParameter", sns.put_data_protection_policy, ResourceArn=topic, DataProtectionPolicy="junk",
                naming="DataProtectionPolicy")
        says("Topic does not exist", sns.get_data_protection_policy, "NotFound", 404, ResourceArn=NO_TOPIC)
