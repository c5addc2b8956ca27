"""SQS over its JSON protocol, with boto3, which checks every MD5. What both protocols do stands in test_sqs_*.py."""

import hashlib
import json
import threading
import time
import uuid

import botocore.exceptions
import pytest

import aws_raw
from sqs_help import arn_of as arn, refused


class TestQueues:
    def test_create_is_idempotent_for_equal_attributes(self, tsugite, sqs):
        name = f"q-{uuid.uuid4()}"
        url = sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "45"})["QueueUrl"]
        assert url == tsugite.url("aws", f"/000000000000/{name}")
        assert sqs.create_queue(QueueName=name)["QueueUrl"] == url
        assert sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "45"})["QueueUrl"] == url
        refused("QueueAlreadyExists", sqs.create_queue, QueueName=name,
                Attributes={"VisibilityTimeout": "46"}, naming="VisibilityTimeout")

    @pytest.mark.parametrize("name", ["a b", "x" * 81, "a.b", "日本"])
    def test_bad_names(self, sqs, name):
        refused("InvalidParameterValue", sqs.create_queue, QueueName=name, naming="QueueName")

    @pytest.mark.parametrize("code,attributes", [
        ("InvalidAttributeName", {"Nonsense": "1"}),
        ("InvalidAttributeName", {"QueueArn": "x"}),
        ("InvalidAttributeValue", {"VisibilityTimeout": "43201"}),
        ("InvalidAttributeValue", {"VisibilityTimeout": "soon"}),
        ("InvalidAttributeValue", {"DelaySeconds": "-1"}),
        ("InvalidParameterValue", {"RedrivePolicy": "{"}),
    ])
    def test_bad_attributes(self, sqs, code, attributes):
        refused(code, sqs.create_queue, QueueName=f"q-{uuid.uuid4()}", Attributes=attributes,
                naming=next(iter(attributes)))

    def test_get_url_and_unknown_queue(self, sqs, queue):
        assert sqs.get_queue_url(QueueName=queue.rsplit("/", 1)[1])["QueueUrl"] == queue
        answer = refused("AWS.SimpleQueueService.NonExistentQueue", sqs.get_queue_url,
                         QueueName="missing", naming="missing")
        assert answer["Error"].get("Type", "Sender") == "Sender"
        with pytest.raises(sqs.exceptions.QueueDoesNotExist):
            sqs.get_queue_url(QueueName="missing")
        elsewhere = {"QueueName": queue.rsplit("/", 1)[1], "QueueOwnerAWSAccountId": "111111111111"}
        refused("AWS.SimpleQueueService.NonExistentQueue", sqs.get_queue_url, **elsewhere)

    def test_only_the_last_two_segments_of_a_url_count(self, sqs, queue):
        path = "/".join(queue.split("/")[-2:])
        for url in [f"https://sqs.us-east-1.amazonaws.com/{path}", f"http://elsewhere:1/any/{path}",
                    queue.rsplit("/", 1)[1]]:
            assert sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"] == {
                "QueueArn": arn(queue)}

    def test_list_with_prefix_and_pages(self, sqs):
        prefix = f"list-{uuid.uuid4().hex[:8]}-"
        urls = [sqs.create_queue(QueueName=f"{prefix}{n}")["QueueUrl"] for n in range(5)]
        assert sqs.list_queues(QueueNamePrefix=prefix)["QueueUrls"] == urls
        assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix="no-such-prefix")
        assert "NextToken" not in sqs.list_queues(QueueNamePrefix=prefix)
        pages = sqs.get_paginator("list_queues").paginate(
            QueueNamePrefix=prefix, PaginationConfig={"PageSize": 2})
        assert [page["QueueUrls"] for page in pages] == [urls[:2], urls[2:4], urls[4:]]
        refused("InvalidParameterValue", sqs.list_queues, MaxResults=1001, naming="MaxResults")
        refused("InvalidParameterValue", sqs.list_queues, NextToken="%%%", naming="NextToken")

    def test_delete(self, sqs, queue):
        sqs.delete_queue(QueueUrl=queue)
        refused("AWS.SimpleQueueService.NonExistentQueue", sqs.send_message, QueueUrl=queue, MessageBody="x")
        refused("AWS.SimpleQueueService.NonExistentQueue", sqs.delete_queue, QueueUrl=queue)

    def test_delete_ends_a_long_poll(self, sqs, queue):
        outcome = []

        def poll():
            try:
                outcome.append(sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20))
            except botocore.exceptions.ClientError as error:
                outcome.append(error.response["Error"]["Code"])

        waiter = threading.Thread(target=poll)
        waiter.start()
        time.sleep(0.3)
        sqs.delete_queue(QueueUrl=queue)
        waiter.join(5)
        assert outcome == ["AWS.SimpleQueueService.NonExistentQueue"]

    def test_accounts_and_regions_are_apart(self, tsugite, sqs, queue):
        import boto3

        def other(**overrides):
            options = {"region_name": "us-east-1", "aws_access_key_id": "test",
                       "aws_secret_access_key": "x"} | overrides
            return boto3.client("sqs", endpoint_url=tsugite.url("aws"), **options)

        name = queue.rsplit("/", 1)[1]
        for client in (other(region_name="eu-west-1"), other(aws_access_key_id="123456789012")):
            refused("AWS.SimpleQueueService.NonExistentQueue", client.get_queue_url, QueueName=name)
        own = other(aws_access_key_id="123456789012").create_queue(QueueName=name)["QueueUrl"]
        assert own.endswith(f"/123456789012/{name}")


class TestAttributes:
    def test_defaults(self, sqs, queue):
        attributes = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]
        assert attributes.pop("CreatedTimestamp") == attributes.pop("LastModifiedTimestamp")
        assert attributes == {
            "QueueArn": arn(queue),
            "ApproximateNumberOfMessages": "0",
            "ApproximateNumberOfMessagesNotVisible": "0",
            "ApproximateNumberOfMessagesDelayed": "0",
            "DelaySeconds": "0",
            "MaximumMessageSize": "1048576",
            "MessageRetentionPeriod": "345600",
            "ReceiveMessageWaitTimeSeconds": "0",
            "VisibilityTimeout": "30",
            "SqsManagedSseEnabled": "true",
        }

    def test_no_names_means_nothing(self, sqs, queue):
        assert "Attributes" not in sqs.get_queue_attributes(QueueUrl=queue)

    def test_unknown_name(self, sqs, queue):
        refused("InvalidAttributeName", sqs.get_queue_attributes, QueueUrl=queue,
                AttributeNames=["Nonsense"], naming="Nonsense")

    def test_set_is_all_or_nothing(self, sqs, queue):
        refused("InvalidAttributeValue", sqs.set_queue_attributes, QueueUrl=queue,
                Attributes={"DelaySeconds": "5", "VisibilityTimeout": "-1"}, naming="VisibilityTimeout")
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"MaximumMessageSize": "2048"})
        read = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["DelaySeconds", "MaximumMessageSize"])
        assert read["Attributes"] == {"DelaySeconds": "0", "MaximumMessageSize": "2048"}

    def test_counters(self, sqs, queue):
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible",
                 "ApproximateNumberOfMessagesDelayed"]
        for delay in (0, 0, 0, 60):
            sqs.send_message(QueueUrl=queue, MessageBody="x", DelaySeconds=delay)
        sqs.receive_message(QueueUrl=queue)
        read = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=names)["Attributes"]
        assert [read[name] for name in names] == ["2", "1", "1"]


class TestMessages:
    def test_send_receive_delete(self, sqs, queue):
        body = "Grüße, 日本 \"quoted\"\r\n\t<xml>&amp;\\"
        before = int(time.time() * 1000)
        sent = sqs.send_message(QueueUrl=queue, MessageBody=body)
        assert sent["MD5OfMessageBody"] == hashlib.md5(body.encode()).hexdigest()
        assert "MD5OfMessageAttributes" not in sent
        got = sqs.receive_message(QueueUrl=queue, MessageSystemAttributeNames=["All"])["Messages"]
        assert [m["Body"] for m in got] == [body]
        message = got[0]
        assert message["MessageId"] == sent["MessageId"]
        attributes = message["Attributes"]
        assert attributes["SenderId"] and attributes["ApproximateReceiveCount"] == "1"
        assert before - 1000 <= int(attributes["SentTimestamp"]) <= int(time.time() * 1000) + 1000
        assert int(attributes["ApproximateFirstReceiveTimestamp"]) >= int(attributes["SentTimestamp"])
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        assert "Messages" not in sqs.receive_message(QueueUrl=queue)

    def test_attributes_and_their_checksum(self, sqs, queue):
        attributes = {
            "city": {"DataType": "String", "StringValue": "Kyoto"},
            "n": {"DataType": "Number", "StringValue": "42"},
            "raw": {"DataType": "Binary", "BinaryValue": b"\x00\x01\x02"},
            "geo.lat": {"DataType": "Number.float", "StringValue": "35.0"},
        }
        first = dict(list(attributes.items())[:3])
        sent = sqs.send_message(QueueUrl=queue, MessageBody="x", MessageAttributes=first)
        assert sent["MD5OfMessageAttributes"] == "6b36f918f49349474b07d5cd64027042"
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=sqs.receive_message(
            QueueUrl=queue)["Messages"][0]["ReceiptHandle"])
        sqs.send_message(QueueUrl=queue, MessageBody="x", MessageAttributes=attributes)
        for names, expected in [
            (["All"], attributes), ([".*"], attributes), (["city", "absent"], ["city"]),
            (["geo.*"], ["geo.lat"]), (["ci"], []), ([], []),
        ]:
            message = sqs.receive_message(
                QueueUrl=queue, VisibilityTimeout=0, MessageAttributeNames=names)["Messages"][0]
            assert message.get("MessageAttributes", {}) == {name: attributes[name] for name in expected}
            assert ("MD5OfMessageAttributes" in message) == bool(expected)

    def test_trace_header(self, tsugite, sqs, queue):
        trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"
        system = {"AWSTraceHeader": {"DataType": "String", "StringValue": trace}}
        sent = sqs.send_message(QueueUrl=queue, MessageBody="a", MessageSystemAttributes=system)
        assert len(sent["MD5OfMessageSystemAttributes"]) == 32
        aws_raw.sqs(tsugite, "SendMessage", {"QueueUrl": queue, "MessageBody": "b"},
                    headers={"X-Amzn-Trace-Id": "Root=2"})
        got = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, AttributeNames=["AWSTraceHeader"])
        assert {m["Body"]: m["Attributes"] for m in got["Messages"]} == {
            "a": {"AWSTraceHeader": trace}, "b": {"AWSTraceHeader": "Root=2"}}
        other = {"Other": {"DataType": "String", "StringValue": "x"}}
        refused("InvalidParameterValue", sqs.send_message, QueueUrl=queue, MessageBody="x",
                MessageSystemAttributes=other, naming="Other")

    @pytest.mark.parametrize("code,naming,parameters", [
        ("InvalidMessageContents", "U+0000", {"MessageBody": "a\0"}),
        ("MissingParameter", "MessageBody", {"MessageBody": ""}),
        ("InvalidParameterValue", "DelaySeconds", {"MessageBody": "x", "DelaySeconds": 901}),
        ("InvalidParameterValue", "MessageDeduplicationId", {"MessageBody": "x", "MessageDeduplicationId": "d"}),
        ("InvalidParameterValue", "", {"MessageBody": "x" * (1024 * 1024 + 1)}),
        ("InvalidParameterValue", "a..b", {"MessageBody": "x", "MessageAttributes": {
            "a..b": {"DataType": "String", "StringValue": "v"}}}),
        ("InvalidParameterValue", "n", {"MessageBody": "x", "MessageAttributes": {
            "n": {"DataType": "Number", "StringValue": "many"}}}),
        ("InvalidParameterValue", "n", {"MessageBody": "x", "MessageAttributes": {
            "n": {"DataType": "Odd", "StringValue": "v"}}}),
        ("InvalidParameterValue", "n", {"MessageBody": "x", "MessageAttributes": {
            "n": {"DataType": "String", "StringValue": ""}}}),
        ("InvalidParameterValue", "n", {"MessageBody": "x", "MessageAttributes": {
            "n": {"DataType": "String", "BinaryValue": b"v"}}}),
        ("InvalidParameterValue", "MessageAttributes", {"MessageBody": "x", "MessageAttributes": {
            f"n{i}": {"DataType": "String", "StringValue": "v"} for i in range(11)}}),
    ])
    def test_bad_messages(self, sqs, queue, code, naming, parameters):
        refused(code, sqs.send_message, QueueUrl=queue, naming=naming, **parameters)
        assert "Messages" not in sqs.receive_message(QueueUrl=queue)

    def test_largest_message(self, sqs, queue):
        body = "x" * (1024 * 1024)
        sqs.send_message(QueueUrl=queue, MessageBody=body)
        assert sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"] == body

    def test_delay(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="later", DelaySeconds=1)
        assert "Messages" not in sqs.receive_message(QueueUrl=queue)
        begin = time.monotonic()
        got = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)
        assert got["Messages"][0]["Body"] == "later"
        assert 0.5 < time.monotonic() - begin < 3

    def test_long_poll_wakes_for_a_message(self, tsugite, sqs, queue):
        sender = tsugite.client("sqs")
        timer = threading.Timer(0.5, lambda: sender.send_message(QueueUrl=queue, MessageBody="wake"))
        begin = time.monotonic()
        timer.start()
        got = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)
        assert got["Messages"][0]["Body"] == "wake"
        assert 0.4 < time.monotonic() - begin < 3
        timer.join()

    def test_long_poll_ends_empty(self, sqs, queue):
        begin = time.monotonic()
        assert "Messages" not in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1)
        assert 0.9 < time.monotonic() - begin < 3

    def test_queue_default_wait(self, sqs, queue):
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"ReceiveMessageWaitTimeSeconds": "1"})
        begin = time.monotonic()
        sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=0)
        assert time.monotonic() - begin < 0.8
        sqs.receive_message(QueueUrl=queue)
        assert time.monotonic() - begin > 0.9

    def test_a_vanished_waiter_takes_no_message(self, tsugite, sqs, queue):
        body = json.dumps({"QueueUrl": queue, "WaitTimeSeconds": 20}).encode()
        head = (f"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()
        import socket
        for _ in range(5):
            connection = socket.create_connection(tsugite.address("aws"))
            connection.sendall(head + body)
            time.sleep(0.1)
            connection.close()
        time.sleep(0.1)
        sqs.send_message(QueueUrl=queue, MessageBody="mine")
        got = sqs.receive_message(QueueUrl=queue, AttributeNames=["ApproximateReceiveCount"])["Messages"]
        assert got[0]["Attributes"]["ApproximateReceiveCount"] == "1"

    @pytest.mark.parametrize("naming,value", [
        ("MaxNumberOfMessages", 0), ("MaxNumberOfMessages", 11), ("VisibilityTimeout", -1),
        ("VisibilityTimeout", 43201), ("WaitTimeSeconds", 21), ("WaitTimeSeconds", -1),
    ])
    def test_bad_receives(self, sqs, queue, naming, value):
        refused("InvalidParameterValue", sqs.receive_message, QueueUrl=queue, naming=naming, **{naming: value})

    def test_unknown_system_attribute(self, sqs, queue):
        refused("InvalidAttributeName", sqs.receive_message, QueueUrl=queue,
                MessageSystemAttributeNames=["Nonsense"], naming="Nonsense")

    def test_purge(self, sqs, queue):
        for n in range(3):
            sqs.send_message(QueueUrl=queue, MessageBody=str(n))
        sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)
        sqs.purge_queue(QueueUrl=queue)
        assert "Messages" not in sqs.receive_message(QueueUrl=queue)
        sqs.send_message(QueueUrl=queue, MessageBody="after")
        assert sqs.receive_message(QueueUrl=queue)["Messages"][0]["Body"] == "after"
        refused("AWS.SimpleQueueService.PurgeQueueInProgress", sqs.purge_queue, QueueUrl=queue, status=403)


class TestVisibility:
    def test_timeout_brings_it_back(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        first = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=1)["Messages"][0]
        assert "Messages" not in sqs.receive_message(QueueUrl=queue)
        again = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5,
                                    AttributeNames=["ApproximateReceiveCount"])["Messages"][0]
        assert again["MessageId"] == first["MessageId"]
        assert again["ReceiptHandle"] != first["ReceiptHandle"]
        assert again["Attributes"]["ApproximateReceiveCount"] == "2"

    def test_change_to_zero_releases(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        handle = sqs.receive_message(QueueUrl=queue)["Messages"][0]["ReceiptHandle"]
        sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=0)
        assert sqs.receive_message(QueueUrl=queue)["Messages"]

    def test_extension(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        handle = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=1)["Messages"][0]["ReceiptHandle"]
        sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=60)
        assert "Messages" not in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=2)

    def test_refusals(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        handle = sqs.receive_message(QueueUrl=queue)["Messages"][0]["ReceiptHandle"]
        change = sqs.change_message_visibility
        refused("InvalidParameterValue", change, QueueUrl=queue, ReceiptHandle=handle,
                VisibilityTimeout=43201, naming="43201")
        refused("ReceiptHandleIsInvalid", change, QueueUrl=queue, ReceiptHandle="junk",
                VisibilityTimeout=1, naming="junk")
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=handle)
        refused("InvalidParameterValue", change, QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=1)

    def test_handles_belong_to_their_queue(self, sqs, queue):
        other = sqs.create_queue(QueueName=f"q-{uuid.uuid4()}")["QueueUrl"]
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        handle = sqs.receive_message(QueueUrl=queue)["Messages"][0]["ReceiptHandle"]
        for bad in (handle[:-1], handle + "A", "junk"):
            refused("ReceiptHandleIsInvalid", sqs.delete_message, QueueUrl=queue, ReceiptHandle=bad)
        refused("ReceiptHandleIsInvalid", sqs.delete_message, QueueUrl=other, ReceiptHandle=handle)


class TestBatches:
    def test_send_receive_change_delete(self, sqs, queue):
        entries = [{"Id": f"e{n}", "MessageBody": f"body {n}"} for n in range(10)]
        entries[3]["MessageAttributes"] = {"k": {"DataType": "String", "StringValue": "v"}}
        sent = sqs.send_message_batch(QueueUrl=queue, Entries=entries)
        assert [e["Id"] for e in sent["Successful"]] == [e["Id"] for e in entries]
        assert "Failed" not in sent
        got = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        assert [m["Body"] for m in got["Messages"]] == [e["MessageBody"] for e in entries]
        assert [m["MessageId"] for m in got["Messages"]] == [e["MessageId"] for e in sent["Successful"]]
        handles = [m["ReceiptHandle"] for m in got["Messages"]]
        released = sqs.change_message_visibility_batch(QueueUrl=queue, Entries=[
            {"Id": "good", "ReceiptHandle": handles[0], "VisibilityTimeout": 0},
            {"Id": "bad", "ReceiptHandle": handles[1], "VisibilityTimeout": 99999},
            {"Id": "junk", "ReceiptHandle": "junk", "VisibilityTimeout": 1},
        ])
        assert [e["Id"] for e in released["Successful"]] == ["good"]
        assert [(e["Id"], e["Code"], e["SenderFault"]) for e in released["Failed"]] == [
            ("bad", "InvalidParameterValue", True), ("junk", "ReceiptHandleIsInvalid", True)]
        deleted = sqs.delete_message_batch(QueueUrl=queue, Entries=[
            {"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(handles[:9] + ["junk"])])
        assert [e["Id"] for e in deleted["Successful"]] == [str(n) for n in range(9)]
        assert [(e["Id"], e["Code"]) for e in deleted["Failed"]] == [("9", "ReceiptHandleIsInvalid")]

    def test_bad_entries_fail_alone(self, sqs, queue):
        sent = sqs.send_message_batch(QueueUrl=queue, Entries=[
            {"Id": "good", "MessageBody": "fine"},
            {"Id": "control", "MessageBody": "\u0001"},
            {"Id": "empty", "MessageBody": ""},
            {"Id": "late", "MessageBody": "x", "DelaySeconds": 901},
        ])
        assert [e["Id"] for e in sent["Successful"]] == ["good"]
        assert {e["Id"]: e["Code"] for e in sent["Failed"]} == {
            "control": "InvalidMessageContents", "empty": "MissingParameter", "late": "InvalidParameterValue"}
        assert len(sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]) == 1

    def test_entry_over_the_queue_limit_fails_alone(self, sqs, queue):
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"MaximumMessageSize": "1024"})
        sent = sqs.send_message_batch(QueueUrl=queue, Entries=[
            {"Id": "a", "MessageBody": "x" * 1024}, {"Id": "b", "MessageBody": "x" * 1025}])
        assert [e["Id"] for e in sent["Successful"]] == ["a"]
        assert [(e["Id"], e["Code"]) for e in sent["Failed"]] == [("b", "InvalidParameterValue")]

    @pytest.mark.parametrize("code,entries", [
        ("EmptyBatchRequest", []),
        ("TooManyEntriesInBatchRequest", [{"Id": str(n), "MessageBody": "x"} for n in range(11)]),
        ("BatchEntryIdsNotDistinct", [{"Id": "a", "MessageBody": "x"}] * 2),
        ("InvalidBatchEntryId", [{"Id": "a b", "MessageBody": "x"}]),
        ("InvalidBatchEntryId", [{"Id": "x" * 81, "MessageBody": "x"}]),
        ("BatchRequestTooLong", [{"Id": str(n), "MessageBody": "x" * 600_000} for n in range(2)]),
    ])
    def test_bad_batches(self, sqs, queue, code, entries):
        refused(f"AWS.SimpleQueueService.{code}", sqs.send_message_batch, QueueUrl=queue, Entries=entries)
        assert "Messages" not in sqs.receive_message(QueueUrl=queue)

    def test_the_queue_is_looked_for_before_the_batch(self, sqs, queue):
        refused("AWS.SimpleQueueService.NonExistentQueue", sqs.send_message_batch,
                QueueUrl=queue + "-missing", Entries=[])


class TestDeadLetters:
    def test_move_after_max_receives(self, sqs, queue):
        dead = sqs.create_queue(QueueName=f"dead-{uuid.uuid4()}")["QueueUrl"]
        policy = json.dumps({"deadLetterTargetArn": arn(dead), "maxReceiveCount": "2"})
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": policy})
        read = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["RedrivePolicy"])["Attributes"]
        assert read == {"RedrivePolicy": policy}
        attributes = {"k": {"DataType": "String", "StringValue": "v"}}
        sent = sqs.send_message(QueueUrl=queue, MessageBody="poison", MessageAttributes=attributes)
        for _ in range(2):
            assert sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0)["Messages"]
        assert "Messages" not in sqs.receive_message(QueueUrl=queue)
        message = sqs.receive_message(QueueUrl=dead, MessageSystemAttributeNames=["All"],
                                      MessageAttributeNames=["All"])["Messages"][0]
        assert (message["MessageId"], message["Body"]) == (sent["MessageId"], "poison")
        assert message["MessageAttributes"] == attributes
        assert message["Attributes"]["DeadLetterQueueSourceArn"] == arn(queue)
        assert message["Attributes"]["ApproximateReceiveCount"] == "3"

    @pytest.mark.parametrize("policy", [
        {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:missing", "maxReceiveCount": 1},
        {"deadLetterTargetArn": "nonsense", "maxReceiveCount": 1},
    ])
    def test_bad_targets(self, sqs, queue, policy):
        with pytest.raises(botocore.exceptions.ClientError) as caught:
            sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": json.dumps(policy)})
        code = caught.value.response["Error"]["Code"]
        assert code in ("InvalidParameterValue", "InvalidAttributeValue")


class TestProtocol:
    def test_every_answer_has_a_request_id(self, tsugite, sqs, queue):
        for status, headers, _ in [
            aws_raw.sqs(tsugite, "ReceiveMessage", {"QueueUrl": queue}),
            aws_raw.sqs(tsugite, "ReceiveMessage", {}),
            aws_raw.post(tsugite, b"", "Nonsense.Nothing"),
            aws_raw.form(tsugite, "Action=Nothing"),
        ]:
            assert uuid.UUID(headers["x-amzn-RequestId"]), status
        assert "Content-Length" in headers

    def test_error_shape(self, tsugite):
        status, headers, body = aws_raw.sqs(tsugite, "GetQueueUrl", {"QueueName": "missing"})
        assert status == 400
        assert headers["Content-Type"] == "application/x-amz-json-1.0"
        assert headers["x-amzn-query-error"] == "AWS.SimpleQueueService.NonExistentQueue;Sender"
        assert body["__type"] == "com.amazonaws.sqs#QueueDoesNotExist"
        assert "missing" in body["message"]

    @pytest.mark.parametrize("body,naming", [
        (b"{", "not valid JSON"),
        (b"[]", "JSON object"),
        (b'{"QueueUrl": 5}', "QueueUrl"),
        (b'{"QueueUrl": "q", "MaxNumberOfMessages": "5"}', "MaxNumberOfMessages"),
        (b'{"QueueUrl": "q", "AttributeNames": "All"}', "AttributeNames"),
        (b'{"QueueUrl": "\xff"}', "UTF-8"),
        (b'{"QueueUrl": "q"} trailing', "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"a":[' + b"0," * 50_000 + b"0]}", "values"),
    ])
    def test_malformed_bodies(self, tsugite, sqs, body, naming):
        # The number of the wrong type is only looked at once the queue is known to exist.
        url = sqs.create_queue(QueueName="q")["QueueUrl"]
        assert url
        status, headers, answer = aws_raw.sqs(tsugite, "ReceiveMessage", body)
        assert status == 400, answer
        assert answer["__type"].endswith("#SerializationException"), answer
        assert headers["x-amzn-query-error"] == "SerializationException;Sender"
        assert naming in answer["message"], answer

    @pytest.mark.parametrize("action,parameters,naming", [
        ("SendMessage", {}, "QueueUrl"),
        ("SendMessage", {"QueueUrl": ""}, "QueueUrl"),
        ("CreateQueue", {}, "QueueName"),
        ("GetQueueUrl", {}, "QueueName"),
    ])
    def test_missing_parameters(self, tsugite, action, parameters, naming):
        status, headers, answer = aws_raw.sqs(tsugite, action, parameters)
        assert (status, headers["x-amzn-query-error"]) == (400, "MissingParameter;Sender")
        assert answer["__type"].endswith("#MissingRequiredParameterException")
        assert naming in answer["message"]

    def test_unknown_actions(self, tsugite):
        for target in ("AmazonSQS.Nonsense", "Nonsense", "DynamoDB_20120810.ListTables"):
            status, _, body = aws_raw.post(tsugite, b"{}", target)
            assert status == 404
            assert json.loads(body)["__type"].endswith("#UnknownOperationException"), body
            assert target.split(".")[-1] in json.loads(body)["message"]

    def test_no_action_explains_the_port(self, tsugite):
        status, _, body = aws_raw.post(tsugite, b"", method="GET", headers={"Content-Type": "text/plain"})
        assert status == 400 and b"<Code>MissingAction</Code>" in body and b"AWS_ENDPOINT_URL" in body
        status, _, body = aws_raw.post(tsugite, b"{}")
        assert b"X-Amz-Target" in body
        assert aws_raw.post(tsugite, b"{}", "AmazonSQS.ListQueues", method="PUT")[0] == 405

    def test_large_bodies(self, tsugite, sqs, queue):
        two_mib = {"QueueUrl": queue, "MessageBody": "x" * (2 * 1024 * 1024)}
        status, headers, _ = aws_raw.sqs(tsugite, "SendMessage", two_mib)
        assert (status, headers["x-amzn-query-error"]) == (400, "InvalidParameterValue;Sender")
        status, _, answer = aws_raw.sqs(tsugite, "SendMessage", b" " * (9 * 1024 * 1024))
        assert status == 413 and answer["__type"].endswith("#RequestEntityTooLarge")
        # Announced and not sent: the refusal comes at once.
        begin = time.monotonic()
        received = aws_raw.exchange(
            tsugite, b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.SendMessage\r\n"
                     b"Expect: 100-continue\r\nContent-Length: 1000000000\r\n\r\n")
        assert received.startswith(b"HTTP/1.1 413") and time.monotonic() - begin < 2
        assert tsugite.rss_bytes() < 200 << 20

    def test_expect_continue_and_chunks(self, tsugite, queue):
        body = json.dumps({"QueueUrl": queue, "MessageBody": "chunked"}).encode()
        head = (b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.SendMessage\r\n"
                b"Connection: close\r\n")
        received = aws_raw.exchange(
            tsugite, head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK"), received
        chunks = b"".join(b"%x\r\n%s\r\n" % (1, body[i:i + 1]) for i in range(len(body))) + b"0\r\n\r\n"
        received = aws_raw.exchange(tsugite, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
        assert received.startswith(b"HTTP/1.1 200 OK"), received

    def test_header_floods_are_refused(self, tsugite):
        many = b"".join(b"X-%d: y\r\n" % n for n in range(5000))
        received = aws_raw.exchange(tsugite, b"POST / HTTP/1.1\r\nHost: localhost\r\n" + many + b"\r\n")
        assert received.startswith(b"HTTP/1.1 431"), received[:100]
        received = aws_raw.exchange(
            tsugite, b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Big: " + b"y" * 200_000 + b"\r\n\r\n")
        assert received.startswith(b"HTTP/1.1 431") or received == b"", received[:100]

    def test_slow_heads_are_cut(self, tsugite):
        begin = time.monotonic()
        received = aws_raw.exchange(tsugite, b"POST / HTTP/1.1\r\nHost: loc", timeout=20)
        assert received == b"" and 5 < time.monotonic() - begin < 15

    def test_keep_alive(self, tsugite, queue):
        body = json.dumps({"QueueUrl": queue}).encode()
        one = (b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\n"
               b"Content-Length: %d\r\n\r\n" % len(body)) + body
        assert aws_raw.exchange(tsugite, one * 3, timeout=1).count(b"HTTP/1.1 200 OK") == 3

    @pytest.mark.parametrize("headers", [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Host": "evil.example:4566"},
        {"Sec-Fetch-Site": "cross-site"},
    ])
    def test_web_pages_cannot_use_the_port(self, tsugite, sqs, queue, headers):
        call = {"QueueUrl": queue, "MessageBody": "x"}
        status, _, answer = aws_raw.sqs(tsugite, "SendMessage", call, headers=headers)
        assert status == 403 and answer["__type"].endswith("#AccessDeniedException")
        status, _, body = aws_raw.form(tsugite, "Action=CreateTopic&Name=t&Version=2010-03-31", headers=headers)
        assert status == 403 and "<Code>AccessDenied</Code>" in body
        assert "Messages" not in sqs.receive_message(QueueUrl=queue)

    def test_pages_of_this_machine_can(self, tsugite, queue):
        call = {"QueueUrl": queue, "MessageBody": "x"}
        status, _, _ = aws_raw.sqs(tsugite, "SendMessage", call, headers={
            "Origin": "http://localhost:3000", "Host": "sqs.us-east-1.localhost:4566"})
        assert status == 200


class TestStop:
    def test_long_polls_end_empty_and_messages_survive(self, start_tsugite):
        tsugite = start_tsugite()
        sqs = tsugite.client("sqs", retries={"total_max_attempts": 1})
        queue = sqs.create_queue(QueueName="q")["QueueUrl"]
        other = sqs.create_queue(QueueName="other")["QueueUrl"]
        sqs.send_message(QueueUrl=other, MessageBody="kept")
        answers = []
        poll = threading.Thread(
            target=lambda: answers.append(sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=20)))
        poll.start()
        time.sleep(0.3)
        begin = time.monotonic()
        assert tsugite.stop() == 0
        poll.join(5)
        assert time.monotonic() - begin < 5
        assert len(answers) == 1 and "Messages" not in answers[0]
        tsugite.start()
        sqs = tsugite.client("sqs")
        got = sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName="other")["QueueUrl"])
        assert [m["Body"] for m in got["Messages"]] == ["kept"]
