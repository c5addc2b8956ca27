"""SNS: FIFO topics, on a virtual clock: order, repeats, numbers. Runs with two SDKs (see README.md)."""

import hashlib
import json

import pytest

from sns_help import attributes_of, new_queue, new_topic, says, subscribed, taken, texts
from sqs_help import refused

# Longer than the five minutes for which deduplication ids are remembered.
WINDOW = 301
RAW = {"RawMessageDelivery": "true"}


@pytest.fixture(scope="module")
def tsugite(clocked):
    return clocked


@pytest.fixture
def topic(sns):
    return new_topic(sns, fifo=True)


@pytest.fixture
def by_content(sns):
    return new_topic(sns, fifo=True, ContentBasedDeduplication="true")


@pytest.fixture
def queue(sqs):
    return new_queue(sqs, fifo=True)


def publish(sns, topic, text, group="g", dedup=None, **more):
    dedup = {"MessageDeduplicationId": dedup} if dedup else {}
    return sns.publish(TopicArn=topic, Message=text, MessageGroupId=group, **dedup, **more)


@pytest.mark.parametrize("content", [True, False])
def test_a_message_comes_with_group_id_and_number(sns, sqs, by_content, topic, queue, content):
    to, dedup = (by_content, None) if content else (topic, "message-deduplication-id-1")
    subscribed(sns, to, queue[1])
    published = publish(sns, to, "Test", dedup=dedup)
    [message] = taken(sqs, queue[0])
    assert message["Attributes"]["MessageGroupId"] == "g"
    assert message["Attributes"]["MessageDeduplicationId"] == (dedup or hashlib.sha256(b"Test").hexdigest())
    envelope = json.loads(message["Body"])
    assert list(envelope) == ["Type", "MessageId", "SequenceNumber", "TopicArn", "Message", "Timestamp",
                              "UnsubscribeURL"]
    assert (envelope["MessageId"], envelope["SequenceNumber"]) == (published["MessageId"], published["SequenceNumber"])
    assert len(published["SequenceNumber"]) == 20
    again = publish(sns, to, "Test" if content else "other text", dedup=dedup)
    assert (again["MessageId"], again["SequenceNumber"]) == (published["MessageId"], published["SequenceNumber"])
    assert taken(sqs, queue[0], wait=0) == []


def test_content_based_queues_take_the_id_of_the_topic(sns, sqs, by_content):
    url, arn = new_queue(sqs, fifo=True)
    subscribed(sns, by_content, arn, **RAW)
    publish(sns, by_content, "Test single")
    sns.publish_batch(TopicArn=by_content, PublishBatchRequestEntries=[
        {"Id": "1", "Message": "Test batched", "MessageGroupId": "g"}])
    seen = [(m["Body"], m["Attributes"]["MessageDeduplicationId"]) for m in taken(sqs, url)]
    assert seen == [(text, hashlib.sha256(text.encode()).hexdigest()) for text in ("Test single", "Test batched")]


def test_order_and_numbers(sns, sqs, topic, queue):
    subscribed(sns, topic, queue[1], **RAW)
    numbers = []
    for n in range(12):
        numbers.append(int(publish(sns, topic, f"{n}", group=f"g{n % 3}", dedup=str(n))["SequenceNumber"]))
    batch = [{"Id": str(n), "Message": str(n), "MessageGroupId": "g0", "MessageDeduplicationId": str(n)}
             for n in range(12, 20)]
    answer = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=batch)
    assert answer["Failed"] == [] and [entry["Id"] for entry in answer["Successful"]] == [e["Id"] for e in batch]
    numbers += [int(entry["SequenceNumber"]) for entry in answer["Successful"]]
    assert numbers == sorted(set(numbers))
    got = taken(sqs, queue[0])
    for group in ("g0", "g1", "g2"):
        of_group = [int(m["Body"]) for m in got if m["Attributes"]["MessageGroupId"] == group]
        assert of_group == sorted(of_group)
    assert sorted(int(m["Body"]) for m in got) == list(range(20))
    again = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=batch)
    assert again["Successful"] == answer["Successful"] and taken(sqs, queue[0], wait=0) == []


def test_the_window_of_repeats(tsugite, sns, sqs, topic, queue):
    subscribed(sns, topic, queue[1], **RAW)
    first = publish(sns, topic, "one", dedup="d")
    assert publish(sns, topic, "two", group="other", dedup="d")["MessageId"] == first["MessageId"]
    tsugite.advance(WINDOW)
    assert publish(sns, topic, "three", dedup="d")["MessageId"] != first["MessageId"]
    assert texts(sqs, queue[0]) == ["one", "three"]


def test_a_topic_remembers_without_subscribers_too(sns, sqs, topic, queue):
    publish(sns, topic, "before", dedup="d")
    subscribed(sns, topic, queue[1], **RAW)
    publish(sns, topic, "repeat", dedup="d")
    publish(sns, topic, "news", dedup="e")
    assert texts(sqs, queue[0]) == ["news"]


def test_groups_deduplicate_for_themselves(sns, sqs):
    topic = new_topic(sns, fifo=True, FifoThroughputScope="MessageGroup")
    url, arn = new_queue(sqs, fifo=True, DeduplicationScope="messageGroup")
    subscribed(sns, topic, arn, **RAW)
    for group in ("a", "b", "a"):
        publish(sns, topic, f"of {group}", group=group, dedup="same")
    assert texts(sqs, url) == ["of a", "of b"]


@pytest.mark.parametrize("raw", ["true", "false"])
def test_to_a_standard_queue(sns, sqs, by_content, raw):
    url, arn = new_queue(sqs)
    subscribed(sns, by_content, arn, RawMessageDelivery=raw)
    for _ in range(2):
        publish(sns, by_content, "Test")
    [message] = taken(sqs, url)
    assert not {"MessageGroupId", "MessageDeduplicationId", "SequenceNumber"} & set(message["Attributes"])


@pytest.mark.parametrize("raw", ["true", "false"])
def test_dead_letters(sns, sqs, topic, queue, raw):
    letters = new_queue(sqs, fifo=True)
    subscribed(sns, topic, queue[1], RawMessageDelivery=raw,
               RedrivePolicy=json.dumps({"deadLetterTargetArn": letters[1]}))
    sqs.delete_queue(QueueUrl=queue[0])
    for n in range(3):
        publish(sns, topic, f"m{n}", dedup=str(n))
    got = taken(sqs, letters[0])
    assert [(m["Attributes"]["MessageGroupId"], m["Attributes"]["MessageDeduplicationId"]) for m in got] == [
        ("g", str(n)) for n in range(3)]
    found = [m["Body"] if raw == "true" else json.loads(m["Body"])["Message"] for m in got]
    assert found == ["m0", "m1", "m2"]


class TestRefusals:
    def test_ids(self, sns, topic, by_content):
        no_group = "Invalid parameter: The MessageGroupId parameter is required for FIFO topics"
        no_id = "Invalid parameter: The topic should either have ContentBasedDeduplication enabled or " \
                "MessageDeduplicationId provided explicitly"
        says(no_group, sns.publish, TopicArn=by_content, Message="x")
        says(no_id, sns.publish, TopicArn=topic, Message="x", MessageGroupId="g")
        good = {"Id": "1", "Message": "x", "MessageGroupId": "g", "MessageDeduplicationId": "d"}
        batch = lambda **change: {"TopicArn": topic, "PublishBatchRequestEntries": [good, {"Id": "2", "Message": "y"} | change]}
        says(no_group, sns.publish_batch, **batch(MessageDeduplicationId="d"))
        says(no_id, sns.publish_batch, **batch(MessageGroupId="g"))
        for name in ("MessageGroupId", "MessageDeduplicationId"):
            bad = {"MessageGroupId": "g", "MessageDeduplicationId": "d"} | {name: "with space"}
            refused("InvalidParameter", sns.publish, TopicArn=topic, Message="x", **bad, naming=name)

    def test_subscriptions(self, sns, sqs, topic, queue):
        for protocol, endpoint in [("http", "http://e.example"), ("email", "a@b.example"), ("sms", "+15550100")]:
            refused("InvalidParameter", sns.subscribe, TopicArn=topic, Protocol=protocol, Endpoint=endpoint,
                    naming=protocol)
        arn, plain = subscribed(sns, topic, queue[1]), new_queue(sqs)[1]
        redrive = {"AttributeName": "RedrivePolicy",
                   "AttributeValue": json.dumps({"deadLetterTargetArn": plain})}
        says("Invalid parameter: RedrivePolicy: must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic.",
             sns.set_subscription_attributes, SubscriptionArn=arn, **redrive)
        standard = subscribed(sns, topic, new_queue(sqs)[1])
        sns.set_subscription_attributes(SubscriptionArn=standard, **redrive)
        assert attributes_of(sns, standard)["RedrivePolicy"] == redrive["AttributeValue"]


def test_an_archive_keeps_its_topic(sns, topic):
    policy = {"TopicArn": topic, "AttributeName": "ArchivePolicy"}
    sns.set_topic_attributes(**policy, AttributeValue='{"MessageRetentionPeriod": "7"}')
    assert attributes_of(sns, topic)["BeginningArchiveTime"]
    refused("InvalidState", sns.delete_topic, TopicArn=topic)
    sns.set_topic_attributes(**policy, AttributeValue="{}")
    sns.delete_topic(TopicArn=topic)
