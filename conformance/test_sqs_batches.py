"""SQS: batches, what fails alone and what fails the whole. Runs in both protocols (see README.md)."""

import pytest

from sqs_help import bodies, refused

PREFIX = "AWS.SimpleQueueService."
TOO_MANY = PREFIX + "TooManyEntriesInBatchRequest"


def entries_of(call, count):
    more = {"send": {"MessageBody": "x"}, "delete": {"ReceiptHandle": "h"},
            "change": {"ReceiptHandle": "h", "VisibilityTimeout": 1}}[call]
    return [{"Id": str(n)} | more for n in range(count)]


@pytest.fixture(params=["send", "delete", "change"])
def batch(request, sqs):
    """One of the three batch operations and how to build entries for it."""
    call = {"send": sqs.send_message_batch, "delete": sqs.delete_message_batch,
            "change": sqs.change_message_visibility_batch}[request.param]
    return call, lambda count: entries_of(request.param, count)


class TestTheWhole:
    def test_empty(self, batch, queue):
        refused(PREFIX + "EmptyBatchRequest", batch[0], QueueUrl=queue, Entries=[])

    def test_more_than_ten(self, batch, queue):
        refused(TOO_MANY, batch[0], QueueUrl=queue, Entries=batch[1](20),
                naming="Maximum number of entries per request are 10. You have sent 20.")

    def test_ids_twice(self, batch, queue):
        refused(PREFIX + "BatchEntryIdsNotDistinct", batch[0], QueueUrl=queue, Entries=batch[1](1) * 2)

    @pytest.mark.parametrize("bad", ["", "testLongId" * 10, "invalid:id", "a b"])
    def test_bad_ids(self, batch, queue, bad):
        entries = [batch[1](1)[0] | {"Id": bad}]
        refused(PREFIX + "InvalidBatchEntryId", batch[0], QueueUrl=queue, Entries=entries,
                naming="A batch entry id can only contain alphanumeric characters, hyphens and underscores.")

    def test_the_queue_is_looked_for_first(self, batch, queue):
        refused(PREFIX + "NonExistentQueue", batch[0], QueueUrl=queue + "-missing", Entries=[])

    @pytest.mark.parametrize("sizes", [(1024 * 1024 - 8, 1, 8), (1024 * 1024 + 1,)])
    def test_too_long(self, sqs, queue, sizes):
        entries = [{"Id": str(n), "MessageBody": "a" * size} for n, size in enumerate(sizes)]
        refused(PREFIX + "BatchRequestTooLong", sqs.send_message_batch, QueueUrl=queue, Entries=entries,
                naming="You have sent 1048577 bytes.")
        assert bodies(sqs.receive_message(QueueUrl=queue)) == []


class TestEntries:
    def test_all_good(self, sqs, queue):
        entries = [{"Id": f"e{n}", "MessageBody": f"body {n}"} for n in range(10)]
        entries[3]["MessageAttributes"] = {"k": {"DataType": "String", "StringValue": "v"}}
        sent = sqs.send_message_batch(QueueUrl=queue, Entries=entries)
        assert [e["Id"] for e in sent["Successful"]] == [e["Id"] for e in entries]
        assert ["MD5OfMessageAttributes" in e for e in sent["Successful"]] == [n == 3 for n in range(10)]
        assert "Failed" not in sent
        got = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
        assert {m["MessageId"]: m["Body"] for m in got} == {
            e["MessageId"]: f"body {n}" for n, e in enumerate(sent["Successful"])}
        deleted = sqs.delete_message_batch(QueueUrl=queue, Entries=[
            {"Id": m["MessageId"], "ReceiptHandle": m["ReceiptHandle"]} for m in got])
        assert [e["Id"] for e in deleted["Successful"]] == [m["MessageId"] for m in got]
        assert "Failed" not in deleted
        read = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["ApproximateNumberOfMessagesNotVisible"])
        assert read["Attributes"] == {"ApproximateNumberOfMessagesNotVisible": "0"}

    def test_bad_messages_fail_alone(self, sqs, queue):
        entries = [{"Id": str(n), "MessageBody": str(n)} for n in range(9)] + [{"Id": "9", "MessageBody": "\x01"}]
        sent = sqs.send_message_batch(QueueUrl=queue, Entries=entries)
        assert [(e["Id"], e["Code"], e["SenderFault"]) for e in sent["Failed"]] == [("9", "InvalidMessageContents", True)]
        assert len(sent["Successful"]) == 9
        assert sorted(bodies(sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10))) == list("012345678")

    def test_one_over_the_limit_of_the_queue_fails_alone(self, sqs, queue):
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"MaximumMessageSize": "1024"})
        sent = sqs.send_message_batch(QueueUrl=queue, Entries=[
            {"Id": "fits", "MessageBody": "a" * 1024}, {"Id": "large", "MessageBody": "a" * 1025}])
        assert [e["Id"] for e in sent["Successful"]] == ["fits"]
        assert [(e["Id"], e["Code"], e["SenderFault"]) for e in sent["Failed"]] == [
            ("large", "InvalidParameterValue", True)]
        assert "1024" in sent["Failed"][0]["Message"]

    def test_handles_fail_alone(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        handle = sqs.receive_message(QueueUrl=queue)["Messages"][0]["ReceiptHandle"]
        changed = sqs.change_message_visibility_batch(QueueUrl=queue, Entries=[
            {"Id": "junk", "ReceiptHandle": "junk", "VisibilityTimeout": 1},
            {"Id": "long", "ReceiptHandle": handle, "VisibilityTimeout": 43201},
            {"Id": "good", "ReceiptHandle": handle, "VisibilityTimeout": 0}])
        assert [e["Id"] for e in changed["Successful"]] == ["good"]
        assert [(e["Id"], e["Code"]) for e in changed["Failed"]] == [
            ("junk", "ReceiptHandleIsInvalid"), ("long", "InvalidParameterValue")]
        deleted = sqs.delete_message_batch(QueueUrl=queue, Entries=[
            {"Id": "junk", "ReceiptHandle": "junk"}, {"Id": "good", "ReceiptHandle": handle}])
        assert [e["Id"] for e in deleted["Successful"]] == ["good"]
        assert [e["Id"] for e in deleted["Failed"]] == ["junk"]

    def test_a_timeout_that_is_left_out_releases_nothing(self, sqs, queue):
        sqs.send_message(QueueUrl=queue, MessageBody="x")
        handle = sqs.receive_message(QueueUrl=queue, VisibilityTimeout=30)["Messages"][0]["ReceiptHandle"]
        with pytest.raises(sqs.exceptions.ClientError) as refused:
            sqs.change_message_visibility_batch(QueueUrl=queue, Entries=[{"Id": "a", "ReceiptHandle": handle}])
        assert refused.value.response["Error"]["Code"] == "MissingParameter"
        assert "ChangeMessageVisibilityBatchRequestEntry.VisibilityTimeout" in str(refused.value)
        assert "Messages" not in sqs.receive_message(QueueUrl=queue)

    def test_none_good(self, sqs, queue):
        answer = sqs.delete_message_batch(QueueUrl=queue, Entries=[{"Id": "a", "ReceiptHandle": "junk"}])
        assert "Successful" not in answer and len(answer["Failed"]) == 1
