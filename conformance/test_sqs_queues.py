"""SQS: creating, finding, listing, emptying and deleting queues. Runs in both protocols (see README.md)."""

import uuid

import pytest

from sqs_help import NAMES_OF_QUEUES, name_of, refused


class TestCreate:
    def test_the_url_ends_in_account_and_name(self, tsugite, sqs):
        name = f"q-{uuid.uuid4()}"
        url = sqs.create_queue(QueueName=name)["QueueUrl"]
        assert url == tsugite.url("aws", f"/000000000000/{name}")
        assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == url
        owned = sqs.get_queue_url(QueueName=name, QueueOwnerAWSAccountId="000000000000")
        assert owned["QueueUrl"] == url

    def test_again_with_nothing_stated_or_the_same(self, sqs):
        name = f"q-{uuid.uuid4()}"
        stated = {"VisibilityTimeout": "69", "ReceiveMessageWaitTimeSeconds": "1"}
        url = sqs.create_queue(QueueName=name, Attributes=stated)["QueueUrl"]
        for attributes in (stated, {}, {"VisibilityTimeout": "69"}):
            assert sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"] == url

    def test_again_with_another_value_is_refused_and_names_it(self, sqs):
        name = f"q-{uuid.uuid4()}"
        first = {"ReceiveMessageWaitTimeSeconds": "1", "DelaySeconds": "1"}
        url = sqs.create_queue(QueueName=name, Attributes=first)["QueueUrl"]
        second = first | {"DelaySeconds": "2"}
        refused("QueueAlreadyExists", sqs.create_queue, QueueName=name, Attributes=second, naming="DelaySeconds")
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "2"})
        assert sqs.create_queue(QueueName=name, Attributes=second)["QueueUrl"] == url
        refused("QueueAlreadyExists", sqs.create_queue, QueueName=name, Attributes=first, naming="DelaySeconds")

    def test_messages_in_it_do_not_matter(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="a")
        sqs.send_message(QueueUrl=queue, MessageBody="b", DelaySeconds=1)
        assert sqs.create_queue(QueueName=name_of(queue))["QueueUrl"] == queue

    @pytest.mark.parametrize("name", ["a b", "x" * 81, "a.b", "日本", "a/b/"])
    def test_bad_names(self, sqs, name):
        refused("InvalidParameterValue", sqs.create_queue, QueueName=name)

    def test_the_empty_name(self, sqs):
        refused("MissingParameter", sqs.create_queue, QueueName="", naming="QueueName")


class TestFind:
    def test_unknown_queues(self, sqs, queue):
        code = "AWS.SimpleQueueService.NonExistentQueue"
        answer = refused(code, sqs.get_queue_url, QueueName="missing", naming="The specified queue does not exist")
        assert answer["Error"]["Type"] == "Sender"
        with pytest.raises(sqs.exceptions.QueueDoesNotExist):
            sqs.get_queue_url(QueueName="missing")
        refused(code, sqs.get_queue_attributes, QueueUrl=queue + "-missing")
        sqs.delete_queue(QueueUrl=queue)
        for call in (sqs.get_queue_attributes, sqs.receive_message, sqs.purge_queue, sqs.delete_queue):
            refused(code, call, QueueUrl=queue)

    def test_by_bare_name_and_on_other_hosts(self, sqs, queue):
        path = "/".join(queue.split("/")[-2:])
        for url in (name_of(queue), f"https://sqs.us-east-1.amazonaws.com/{path}"):
            sqs.send_message(QueueUrl=url, MessageBody="x")
        assert len(sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]) == 2


class TestList:
    def test_prefix(self, sqs):
        mark = uuid.uuid4().hex[:8]
        urls = {prefix: [sqs.create_queue(QueueName=f"{prefix}-{mark}-{n}")["QueueUrl"] for n in range(2)]
                for prefix in "ab"}
        for prefix, expected in urls.items():
            assert sqs.list_queues(QueueNamePrefix=f"{prefix}-{mark}")["QueueUrls"] == expected
        everything = sqs.list_queues()["QueueUrls"]
        assert set(urls["a"] + urls["b"]) <= set(everything)
        assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=f"none-{mark}")

    def test_pages(self, sqs):
        prefix = f"page-{uuid.uuid4().hex[:8]}-"
        urls = [sqs.create_queue(QueueName=f"{prefix}{n}")["QueueUrl"] for n in range(5)]
        assert "NextToken" not in sqs.list_queues(QueueNamePrefix=prefix)
        seen, more = [], {}
        while True:
            page = sqs.list_queues(QueueNamePrefix=prefix, MaxResults=2, **more)
            seen += page["QueueUrls"]
            assert len(page["QueueUrls"]) <= 2
            if "NextToken" not in page:
                break
            more = {"NextToken": page["NextToken"]}
        assert seen == urls
        refused("InvalidParameterValue", sqs.list_queues, MaxResults=1001, naming="MaxResults")


class TestAttributes:
    def test_defaults(self, sqs, queue):
        attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        assert set(attributes) == NAMES_OF_QUEUES
        assert attributes["VisibilityTimeout"] == "30" and attributes["SqsManagedSseEnabled"] == "true"

    def test_stated_and_changed(self, sqs):
        stated = {"MessageRetentionPeriod": "604800", "ReceiveMessageWaitTimeSeconds": "10", "VisibilityTimeout": "20"}
        url = sqs.create_queue(QueueName=f"q-{uuid.uuid4()}", Attributes=stated)["QueueUrl"]
        changed = {"MaximumMessageSize": "2048", "VisibilityTimeout": "69", "DelaySeconds": "420"}
        sqs.set_queue_attributes(QueueUrl=url, Attributes=changed)
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        assert attributes.items() >= (stated | changed).items()
        assert set(attributes) == NAMES_OF_QUEUES

    def test_only_what_is_asked_for(self, sqs, queue):
        wanted = ["QueueArn", "CreatedTimestamp", "VisibilityTimeout"]
        attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=wanted)["Attributes"]
        assert set(attributes) == set(wanted)
        assert attributes["QueueArn"] == f"arn:aws:sqs:us-east-1:000000000000:{name_of(queue)}"
        assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=queue)
        assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])

    @pytest.mark.parametrize("code,name,value", [
        ("InvalidAttributeName", "Nonsense", "1"),
        ("InvalidAttributeName", "QueueArn", "x"),
        ("InvalidAttributeName", "FifoQueue", "true"),
        ("InvalidAttributeName", "FifoQueue", "false"),
        ("InvalidAttributeValue", "VisibilityTimeout", "43201"),
        ("InvalidAttributeValue", "VisibilityTimeout", "soon"),
        ("InvalidAttributeValue", "DelaySeconds", "-1"),
        ("InvalidAttributeValue", "MaximumMessageSize", "1023"),
        ("InvalidAttributeValue", "MessageRetentionPeriod", "59"),
        ("InvalidAttributeValue", "ReceiveMessageWaitTimeSeconds", "21"),
    ])
    def test_refusals(self, sqs, queue, code, name, value):
        good_and_bad = {"DelaySeconds": "5"} | {name: value}
        refused(code, sqs.set_queue_attributes, QueueUrl=queue, Attributes=good_and_bad, naming=name)
        read = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["DelaySeconds"])["Attributes"]
        assert read == {"DelaySeconds": "0"}, "all or nothing"

    def test_unknown_name_on_read(self, sqs, queue):
        refused("InvalidAttributeName", sqs.get_queue_attributes, QueueUrl=queue, AttributeNames=["Foobar"],
                naming="Foobar")


class TestPurge:
    def test_takes_visible_delayed_and_in_flight(self, sqs, queue):
        for delay in (0, 0, 1):
            sqs.send_message(QueueUrl=queue, MessageBody="x", DelaySeconds=delay)
        sqs.receive_message(QueueUrl=queue, VisibilityTimeout=1)
        sqs.purge_queue(QueueUrl=queue)
        assert "Messages" not in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=2)
        sqs.send_message(QueueUrl=queue, MessageBody="after")
        assert sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "after"

    def test_twice_in_a_minute_is_refused(self, sqs, queue):
        sqs.purge_queue(QueueUrl=queue)
        refused("AWS.SimpleQueueService.PurgeQueueInProgress", sqs.purge_queue, QueueUrl=queue, status=403,
                naming=f"Only one PurgeQueue operation on {name_of(queue)} is allowed every 60 seconds.")
