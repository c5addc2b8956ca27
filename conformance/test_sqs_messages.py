"""SQS: sending, receiving, hiding and deleting messages. Runs in both protocols (see README.md)."""

import hashlib
import json
import threading
import time
import uuid

import pytest

from sqs_help import bodies, handle_of, refused

TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"


class TestBodies:
    @pytest.mark.parametrize("body", [
        '"&quot;&quot;\r', "{\r\n\"machine\": \"d35\"}", "Grüße, 日本 \U0001f600", "<a href=\"x\">&amp;&#13;</a>\t",
        "  leading and trailing  \n", "+%20&=;", json.dumps({"foo": "ba\rr"}), "\ufffd\ue000\ud7ff",
    ])
    def test_survive_as_they_are(self, sqs, queue, body):
        sent = sqs.send_message(QueueUrl=queue, MessageBody=body)
        assert sent["MD5OfMessageBody"] == hashlib.md5(body.encode()).hexdigest()
        message = sqs.receive_message(QueueUrl=queue)["Messages"][0]
        assert message["Body"] == body
        assert (message["MessageId"], message["MD5OfBody"]) == (sent["MessageId"], sent["MD5OfMessageBody"])
        assert "Attributes" not in message and "MessageAttributes" not in message

    @pytest.mark.parametrize("body", ["\x00", "a\x08", "\x13", "\uffff", "\x01"])
    def test_characters_that_are_not_allowed(self, sqs, queue, body):
        refused("InvalidMessageContents", sqs.send_message, QueueUrl=queue, MessageBody=body)

    def test_the_empty_body(self, sqs, queue):
        refused("MissingParameter", sqs.send_message, QueueUrl=queue, MessageBody="",
                naming="The request must contain the parameter MessageBody.")

    def test_the_limit_counts_attributes(self, sqs, queue):
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"MaximumMessageSize": "1024"})
        sqs.send_message(QueueUrl=queue, MessageBody="a" * 1024)
        attributes = {"k": {"DataType": "String", "StringValue": "x"}}
        sqs.send_message(QueueUrl=queue, MessageBody="a" * 1016, MessageAttributes=attributes)
        refused("InvalidParameterValue", sqs.send_message, QueueUrl=queue, MessageBody="a" * 1017,
                MessageAttributes=attributes, naming="essage must be shorter than 1024 bytes")

    def test_largest(self, sqs, queue):
        body = "é" * (512 * 1024)
        sqs.send_message(QueueUrl=queue, MessageBody=body)
        assert bodies(sqs.receive_message(QueueUrl=queue)) == [body]
        refused("InvalidParameterValue", sqs.send_message, QueueUrl=queue, MessageBody=body + "x")


class TestAttributes:
    ALL = {
        "Help.Me": {"DataType": "String", "StringValue": "Me"},
        "Hello": {"DataType": "String.greeting", "StringValue": "There\r\n"},
        "n": {"DataType": "Number", "StringValue": "1614717034367"},
        "raw": {"DataType": "Binary", "BinaryValue": b"traceparent\x1e00-77\x00\xff"},
        "attr.1øßä": {"DataType": "String", "StringValue": "letters of any script"},
    }

    def test_come_back_with_their_checksum(self, sqs, queue):
        sent = sqs.send_message(QueueUrl=queue, MessageBody="x", MessageAttributes=self.ALL)
        message = sqs.receive_message(QueueUrl=queue, MessageAttributeNames=["All"])["Messages"][0]
        assert message["MessageAttributes"] == self.ALL
        assert message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]

    @pytest.mark.parametrize("names,expected", [
        ([], []), (["All"], list(ALL)), (["*"], list(ALL)), ([".*"], list(ALL)), (["Foo", "Help"], []),
        (["Hello", "n"], ["Hello", "n"]), (["Foo", "Hello"], ["Hello"]), (["Help.*"], ["Help.Me"]),
        (["AWS."], []), (["..foo"], []),
    ])
    def test_filters(self, sqs, queue, names, expected):
        sqs.send_message(QueueUrl=queue, MessageBody="x", MessageAttributes=self.ALL)
        message = sqs.receive_message(QueueUrl=queue, MessageAttributeNames=names)["Messages"][0]
        assert message.get("MessageAttributes", {}) == {name: self.ALL[name] for name in expected}
        assert ("MD5OfMessageAttributes" in message) == bool(expected)

    def test_a_prefix_need_not_end_at_a_dot(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="x", MessageAttributes=self.ALL)
        message = sqs.receive_message(QueueUrl=queue, MessageAttributeNames=["Hel.*"])["Messages"][0]
        assert set(message["MessageAttributes"]) == {"Hello", "Help.Me"}

    @pytest.mark.parametrize("name", ["aWs.x", "AMAZON.x", ".x", "x.", "a!b", 'a"b', "a§b", "a(b", "a?b", "L" * 257])
    def test_bad_names(self, sqs, queue, name):
        refused("InvalidParameterValue", sqs.send_message, QueueUrl=queue, MessageBody="x",
                MessageAttributes={name: {"DataType": "String", "StringValue": "Valid"}})

    @pytest.mark.parametrize("value", [
        {"DataType": "String", "StringValue": ""},
        {"DataType": "String", "StringValue": "a\x08\x0b"},
        {"DataType": "Invalid", "StringValue": "x"},
        {"DataType": "Number." + "L" * 256, "StringValue": "1"},
        {"DataType": "Number", "StringValue": "many"},
        {"DataType": "", "StringValue": "x"},
        {"DataType": "String", "BinaryValue": b"x"},
    ])
    def test_bad_values(self, sqs, queue, value):
        refused("InvalidParameterValue", sqs.send_message, QueueUrl=queue, MessageBody="x",
                MessageAttributes={"ErrorDetails": value}, naming="ErrorDetails")

    def test_system_attributes_have_a_checksum_of_their_own(self, sqs, queue):
        own = {"timestamp": {"StringValue": "1493147359900", "DataType": "Number"}}
        system = {"AWSTraceHeader": {"StringValue": TRACE, "DataType": "String"}}
        plain = sqs.send_message(QueueUrl=queue, MessageBody="x", MessageAttributes=own)
        traced = sqs.send_message(QueueUrl=queue, MessageBody="x", MessageAttributes=own,
                                  MessageSystemAttributes=system)
        assert plain["MD5OfMessageAttributes"] == traced["MD5OfMessageAttributes"]
        assert "MD5OfMessageSystemAttributes" not in plain
        assert traced["MD5OfMessageSystemAttributes"] == "5ae4d5d7636402d80f4eb6d213245a88"
        assert "SequenceNumber" not in plain
        got = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, AttributeNames=["All"])["Messages"]
        assert {m["MessageId"]: m["Attributes"].get("AWSTraceHeader") for m in got} == {
            plain["MessageId"]: None, traced["MessageId"]: TRACE}

    def test_of_the_system_on_receive(self, sqs, queue):
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "0"})
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        usual = {"SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"}
        for count, (names, expected) in enumerate([
            (["All"], usual), (["SenderId"], {"SenderId"}), (["SenderId", "SequenceNumber"], {"SenderId"}),
        ], start=1):
            message = sqs.receive_message(QueueUrl=queue, AttributeNames=names)["Messages"][0]
            assert set(message["Attributes"]) == expected
            assert message["Attributes"].get("ApproximateReceiveCount", str(count)) == str(count)
        refused("InvalidAttributeName", sqs.receive_message, QueueUrl=queue, AttributeNames=["Foobar"], naming="Foobar")


class TestReceive:
    @pytest.mark.parametrize("name,value", [
        ("MaxNumberOfMessages", 0), ("MaxNumberOfMessages", 11), ("VisibilityTimeout", -1),
        ("VisibilityTimeout", 43201), ("WaitTimeSeconds", 21), ("WaitTimeSeconds", -1),
    ])
    def test_out_of_range(self, sqs, queue, name, value):
        refused("InvalidParameterValue", sqs.receive_message, QueueUrl=queue, **{name: value},
                naming=f"Value {value} for parameter {name} is invalid. Reason: Must be between")

    def test_an_empty_queue_answers_without_messages(self, sqs, queue):
        assert "Messages" not in sqs.receive_message(QueueUrl=queue)

    def test_waits_for_a_message_and_no_longer(self, tsugite, sqs, queue):
        sender = threading.Timer(0.5, tsugite.client("sqs").send_message,
                                 kwargs={"QueueUrl": queue, "MessageBody": "wake"})
        begin = time.monotonic()
        sender.start()
        assert bodies(sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=10, MaxNumberOfMessages=3)) == ["wake"]
        assert 0.4 < time.monotonic() - begin < 3
        sender.join()

    def test_the_queue_may_say_how_long_to_wait(self, sqs, queue):
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"ReceiveMessageWaitTimeSeconds": "1"})
        begin = time.monotonic()
        sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=0)
        assert time.monotonic() - begin < 0.8
        sqs.receive_message(QueueUrl=queue)
        assert time.monotonic() - begin > 0.9

    def test_delay(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="later", DelaySeconds=1)
        assert bodies(sqs.receive_message(QueueUrl=queue)) == []
        assert bodies(sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=3)) == ["later"]
        refused("InvalidParameterValue", sqs.send_message, QueueUrl=queue, MessageBody="x", DelaySeconds=901,
                naming="DelaySeconds")


class TestVisibility:
    def test_comes_back_with_a_new_handle(self, sqs, queue):
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "1"})
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        first = handle_of(sqs.receive_message(QueueUrl=queue))
        assert bodies(sqs.receive_message(QueueUrl=queue)) == []
        assert handle_of(sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)) != first

    def test_zero_leaves_it_visible(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        first = handle_of(sqs.receive_message(QueueUrl=queue, VisibilityTimeout=0))
        assert handle_of(sqs.receive_message(QueueUrl=queue)) != first
        assert bodies(sqs.receive_message(QueueUrl=queue)) == []

    def test_change_to_zero_holds_for_this_delivery_only(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        handle = handle_of(sqs.receive_message(QueueUrl=queue))
        sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=0)
        assert bodies(sqs.receive_message(QueueUrl=queue)) == ["x"]
        assert bodies(sqs.receive_message(QueueUrl=queue)) == []

    def test_can_be_extended_and_after_its_end(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        handle = handle_of(sqs.receive_message(QueueUrl=queue, VisibilityTimeout=1))
        for _ in range(2):
            time.sleep(0.7)
            sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=1)
            assert bodies(sqs.receive_message(QueueUrl=queue)) == []
        time.sleep(1.2)
        sqs.change_message_visibility(QueueUrl=queue, ReceiptHandle=handle, VisibilityTimeout=30)
        assert bodies(sqs.receive_message(QueueUrl=queue)) == []

    def test_of_a_deleted_message(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        handle = handle_of(sqs.receive_message(QueueUrl=queue))
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=handle)
        refused("InvalidParameterValue", sqs.change_message_visibility, QueueUrl=queue, ReceiptHandle=handle,
                VisibilityTimeout=42, naming=f"Value {handle} for parameter ReceiptHandle is invalid. Reason: "
                "Message does not exist or is not available for visibility timeout change.")

    def test_out_of_range(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        handle = handle_of(sqs.receive_message(QueueUrl=queue))
        for timeout in (-1, 43201):
            refused("InvalidParameterValue", sqs.change_message_visibility, QueueUrl=queue, ReceiptHandle=handle,
                    VisibilityTimeout=timeout, naming=str(timeout))


class TestDelete:
    def test_any_number_of_times(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        handle = handle_of(sqs.receive_message(QueueUrl=queue))
        for _ in range(3):
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=handle)
        assert bodies(sqs.receive_message(QueueUrl=queue)) == []

    def test_with_a_handle_whose_time_is_over(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        handle = handle_of(sqs.receive_message(QueueUrl=queue, VisibilityTimeout=1))
        time.sleep(1.2)
        sqs.delete_message(QueueUrl=queue, ReceiptHandle=handle)
        read = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessages"])
        assert read["Attributes"] == {"ApproximateNumberOfMessages": "0"}

    def test_with_no_handle_at_all(self, sqs, queue):
        for call, more in ((sqs.delete_message, {}), (sqs.change_message_visibility, {"VisibilityTimeout": 1})):
            refused("ReceiptHandleIsInvalid", call, QueueUrl=queue, ReceiptHandle="garbage", **more,
                    naming='The input receipt handle "garbage" is not a valid receipt handle.')

    def test_with_a_handle_of_another_queue(self, sqs, queue):
        other = sqs.create_queue(QueueName=f"q-{uuid.uuid4()}")["QueueUrl"]
        sqs.send_message(QueueUrl=other, MessageBody="x")
        handle = handle_of(sqs.receive_message(QueueUrl=other))
        refused("ReceiptHandleIsInvalid", sqs.delete_message, QueueUrl=queue, ReceiptHandle=handle)
