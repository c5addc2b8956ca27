"""SQS: FIFO queues, on a virtual clock: order, groups, deduplication. Runs in both protocols (see README.md)."""

import concurrent.futures
import hashlib
import json
import time
import uuid

import pytest

from sqs_help import arn_of, bodies, handle_of, refused

# Longer than the five minutes for which deduplication ids and receive attempts are remembered.
WINDOW = 301


@pytest.fixture(scope="module")
def tsugite(clocked):
    return clocked


def create(sqs, **attributes):
    """The URL of a new FIFO queue."""
    name = f"q-{uuid.uuid4()}.fifo"
    return sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"} | attributes)["QueueUrl"]


@pytest.fixture
def fifo(sqs):
    return create(sqs)


def send(sqs, url, body, group="g", dedup=None, **more):
    return sqs.send_message(QueueUrl=url, MessageBody=body, MessageGroupId=group,
                            MessageDeduplicationId=dedup or str(uuid.uuid4()), **more)


def send_all(sqs, url, *names):
    """Sends each `group-number` as the body of a message of `group`."""
    for name in names:
        send(sqs, url, name, name.split("-")[0])


def receive(sqs, url, most=10, **more):
    return sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=most, **more)


def take(sqs, url, most=10, **more):
    """Receives: receipt handles by body, in the order of the answer."""
    return {m["Body"]: m["ReceiptHandle"] for m in receive(sqs, url, most, **more).get("Messages", [])}


def got(sqs, url, most=10, **more):
    """Bodies of a receive."""
    return bodies(receive(sqs, url, most, **more))


def delete(sqs, url, *handles):
    for handle in handles:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)


def hide(sqs, url, handle, seconds):
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=seconds)


def counters(sqs, url):
    """(visible, in flight, delayed)"""
    names = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
    read = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return tuple(int(read[name]) for name in names)


class TestSend:
    def test_answers_with_a_sequence_number(self, sqs, fifo):
        answers = [send(sqs, fifo, f"{n}", group=f"g{n % 3}") for n in range(12)]
        numbers = [answer["SequenceNumber"] for answer in answers]
        assert all(len(number) == 20 and number.isdigit() for number in numbers), numbers
        assert numbers == sorted(set(numbers))
        assert answers[3]["MD5OfMessageBody"] == hashlib.md5(b"3").hexdigest()

    def test_needs_a_group(self, sqs, fifo):
        for more in ({}, {"MessageDeduplicationId": "d"}):
            refused("MissingParameter", sqs.send_message, QueueUrl=fifo, MessageBody="x", **more,
                    naming="MessageGroupId")

    def test_needs_a_deduplication_id_or_the_body_for_one(self, sqs, fifo):
        bare = dict(QueueUrl=fifo, MessageBody="x", MessageGroupId="g")
        refused("InvalidParameterValue", sqs.send_message, **bare, naming="ContentBasedDeduplication")
        sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"ContentBasedDeduplication": "true"})
        sqs.send_message(**bare)

    @pytest.mark.parametrize("which", ["MessageGroupId", "MessageDeduplicationId"])
    @pytest.mark.parametrize("value", ["a b", "x" * 129, "ä", "日本", "tab\t", ""])
    def test_ids_are_letters_digits_and_punctuation(self, sqs, fifo, which, value):
        ids = {"MessageGroupId": "g", "MessageDeduplicationId": "d"} | {which: value}
        refused("InvalidParameterValue", sqs.send_message, QueueUrl=fifo, MessageBody="x", **ids, naming=which)

    def test_ids_may_be_of_any_punctuation(self, sqs, fifo):
        odd = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~azAZ09"
        send(sqs, fifo, "x", group=odd, dedup="y" * 128)
        message = receive(sqs, fifo, AttributeNames=["All"])["Messages"][0]
        assert message["Attributes"]["MessageGroupId"] == odd
        assert message["Attributes"]["MessageDeduplicationId"] == "y" * 128

    def test_a_message_has_no_delay_of_its_own(self, sqs, fifo):
        refused("InvalidParameterValue", send, sqs=sqs, url=fifo, body="x", DelaySeconds=1, naming="DelaySeconds")
        send(sqs, fifo, "x", DelaySeconds=0)
        assert got(sqs, fifo) == ["x"]

    def test_zero_does_not_undo_the_delay_of_the_queue(self, tsugite, sqs):
        url = create(sqs, DelaySeconds="10")
        send(sqs, url, "x", DelaySeconds=0)
        assert got(sqs, url) == [] and counters(sqs, url) == (0, 0, 1)
        tsugite.advance(11)
        assert got(sqs, url) == ["x"]

    def test_a_change_of_the_queues_delay_times_delayed_messages_anew(self, tsugite, sqs):
        url = create(sqs, DelaySeconds="100")
        send_all(sqs, url, "a-1", "a-2", "b-1")
        tsugite.advance(10)
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "20"})
        assert got(sqs, url) == []
        tsugite.advance(11)
        assert sorted(got(sqs, url)) == ["a-1", "a-2", "b-1"]
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "0"})
        send(sqs, url, "c-1", "c")
        assert got(sqs, url) == ["c-1"]

    def test_a_longer_delay_holds_for_delayed_messages_too(self, tsugite, sqs):
        url = create(sqs, DelaySeconds="10")
        send(sqs, url, "x")
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "60"})
        tsugite.advance(30)
        assert got(sqs, url) == []
        tsugite.advance(31)
        assert got(sqs, url) == ["x"]


class TestBatches:
    def entries(self, *names):
        return [{"Id": f"e{n}", "MessageBody": name, "MessageGroupId": name.split("-")[0],
                 "MessageDeduplicationId": str(uuid.uuid4())} for n, name in enumerate(names)]

    def test_keep_the_order_of_their_entries(self, sqs, fifo):
        names = ["a-1", "b-1", "a-2", "a-3", "b-2"]
        sent = sqs.send_message_batch(QueueUrl=fifo, Entries=self.entries(*names))["Successful"]
        assert [entry["Id"] for entry in sent] == [f"e{n}" for n in range(5)]
        numbers = [entry["SequenceNumber"] for entry in sent]
        assert numbers == sorted(set(numbers)) and all(len(number) == 20 for number in numbers)
        assert got(sqs, fifo) == ["a-1", "a-2", "a-3", "b-1", "b-2"]

    @pytest.mark.parametrize("lacking,code", [
        ("MessageGroupId", "MissingParameter"), ("MessageDeduplicationId", "InvalidParameterValue")])
    def test_are_refused_whole_when_an_entry_lacks_an_id(self, sqs, fifo, lacking, code):
        entries = self.entries("a-1", "a-2", "a-3")
        del entries[1][lacking]
        refused(code, sqs.send_message_batch, QueueUrl=fifo, Entries=entries)
        assert got(sqs, fifo) == []

    def test_fail_by_entry_for_anything_else(self, sqs, fifo):
        entries = self.entries("a-1", "a-2", "a-3", "a-4")
        entries[0]["MessageBody"] = "\x00"
        entries[2]["DelaySeconds"] = 3
        answer = sqs.send_message_batch(QueueUrl=fifo, Entries=entries)
        assert [entry["Id"] for entry in answer["Successful"]] == ["e1", "e3"]
        failed = {entry["Id"]: (entry["Code"], entry["SenderFault"]) for entry in answer["Failed"]}
        assert failed == {"e0": ("InvalidMessageContents", True), "e2": ("InvalidParameterValue", True)}
        assert got(sqs, fifo) == ["a-2", "a-4"]

    def test_repeats_within_one(self, sqs, fifo):
        entries = self.entries("a-1", "a-2", "a-3")
        entries[2]["MessageDeduplicationId"] = entries[0]["MessageDeduplicationId"]
        sent = sqs.send_message_batch(QueueUrl=fifo, Entries=entries)["Successful"]
        assert len(sent) == 3 and sent[2]["MessageId"] == sent[0]["MessageId"]
        assert got(sqs, fifo) == ["a-1", "a-2"]

    def test_of_deletes_and_changes(self, tsugite, sqs, fifo):
        send_all(sqs, fifo, "a-1", "b-1", "c-1")
        handles = take(sqs, fifo, VisibilityTimeout=10)
        changes = [{"Id": "x", "ReceiptHandle": handles["a-1"], "VisibilityTimeout": 100}]
        assert sqs.change_message_visibility_batch(QueueUrl=fifo, Entries=changes)["Successful"] == [{"Id": "x"}]
        delete(sqs, fifo, handles["b-1"])
        tsugite.advance(11)
        entries = [{"Id": name[0], "ReceiptHandle": handle} for name, handle in handles.items()]
        answer = sqs.delete_message_batch(QueueUrl=fifo, Entries=entries)
        assert [entry["Id"] for entry in answer["Successful"]] == ["a", "b"]
        assert [(entry["Id"], entry["Code"]) for entry in answer["Failed"]] == [("c", "InvalidParameterValue")]
        assert got(sqs, fifo) == ["c-1"]


class TestBlocking:
    """Walk a group in order, deliver what is visible, stop at the first that is in flight or delayed."""

    def test_one_call_takes_all_it_can_of_a_group_and_goes_on_to_the_next(self, sqs, fifo):
        send_all(sqs, fifo, "a-1", "b-1", "a-2", "c-1", "b-2", "a-3")
        assert got(sqs, fifo, 4) == ["a-1", "a-2", "a-3", "b-1"]
        assert got(sqs, fifo) == ["c-1"]

    def test_a_group_in_flight_hides_its_later_messages(self, sqs, fifo):
        send_all(sqs, fifo, "a-1", "a-2", "b-1")
        assert got(sqs, fifo, 1) == ["a-1"]
        assert got(sqs, fifo) == ["b-1"]
        assert got(sqs, fifo) == []

    def test_a_later_send_unblocks_nothing(self, sqs, fifo):
        send_all(sqs, fifo, "a-1")
        first = take(sqs, fifo)
        send_all(sqs, fifo, "a-2")
        assert got(sqs, fifo) == []
        hide(sqs, fifo, first["a-1"], 0)
        assert got(sqs, fifo) == ["a-1", "a-2"]

    def test_a_delete_of_one_of_several_frees_nothing_behind_the_others(self, sqs, fifo):
        send_all(sqs, fifo, "a-1", "a-2", "a-3", "a-4")
        held = take(sqs, fifo, 2)
        delete(sqs, fifo, held["a-1"])
        assert got(sqs, fifo) == []
        delete(sqs, fifo, held["a-2"])
        assert got(sqs, fifo) == ["a-3", "a-4"]

    def test_a_delete_of_the_last_one_first(self, sqs, fifo):
        send_all(sqs, fifo, "a-1", "a-2", "a-3")
        held = take(sqs, fifo, 2)
        delete(sqs, fifo, held["a-2"])
        assert got(sqs, fifo) == []
        delete(sqs, fifo, held["a-1"])
        assert got(sqs, fifo) == ["a-3"]

    def test_a_release_frees_what_lies_before_the_next_one_in_flight(self, sqs, fifo):
        send_all(sqs, fifo, "a-1", "a-2", "a-3", "a-4")
        held = take(sqs, fifo, 3)
        hide(sqs, fifo, held["a-2"], 0)
        assert got(sqs, fifo) == []
        hide(sqs, fifo, held["a-1"], 0)
        assert got(sqs, fifo) == ["a-1", "a-2"]
        delete(sqs, fifo, held["a-3"])
        assert got(sqs, fifo) == []

    def test_one_that_is_extended_blocks_itself_and_all_after_it(self, tsugite, sqs, fifo):
        send_all(sqs, fifo, "a-1", "a-2", "a-3")
        held = take(sqs, fifo, VisibilityTimeout=10)
        hide(sqs, fifo, held["a-2"], 100)
        tsugite.advance(11)
        again = take(sqs, fifo, VisibilityTimeout=10)
        assert list(again) == ["a-1"]
        delete(sqs, fifo, again["a-1"])
        assert got(sqs, fifo) == []
        tsugite.advance(90)
        assert got(sqs, fifo) == ["a-2", "a-3"]

    def test_a_lease_that_ends_gives_the_group_back_in_order(self, tsugite, sqs, fifo):
        send_all(sqs, fifo, "a-1", "a-2", "a-3")
        assert got(sqs, fifo, 2, VisibilityTimeout=10) == ["a-1", "a-2"]
        tsugite.advance(9)
        assert got(sqs, fifo) == []
        tsugite.advance(2)
        assert got(sqs, fifo) == ["a-1", "a-2", "a-3"]

    def test_a_timeout_of_zero_leaves_the_group_as_it_was(self, sqs, fifo):
        send_all(sqs, fifo, "a-1", "a-2")
        for count in ("1", "2", "3"):
            message = receive(sqs, fifo, 1, VisibilityTimeout=0, AttributeNames=["All"])["Messages"][0]
            assert (message["Body"], message["Attributes"]["ApproximateReceiveCount"]) == ("a-1", count)
        assert got(sqs, fifo) == ["a-1", "a-2"]

    def test_groups_are_served_longest_waiting_first_and_then_go_to_the_back(self, sqs, fifo):
        send_all(sqs, fifo, "a-1", "a-2", "b-1", "c-1", "b-2")
        served = []
        for _ in range(5):
            [(body, handle)] = take(sqs, fifo, 1).items()
            delete(sqs, fifo, handle)
            served.append(body)
        assert served == ["a-1", "b-1", "c-1", "a-2", "b-2"]

    @pytest.mark.parametrize("how", ["delete", "release"])
    def test_a_waiter_wakes_when_its_group_is_free(self, tsugite, sqs, fifo, how):
        send_all(sqs, fifo, "a-1", "a-2")
        held = take(sqs, fifo, 1)
        with concurrent.futures.ThreadPoolExecutor() as pool:
            begin = time.monotonic()
            waiting = pool.submit(got, tsugite.client("sqs"), fifo, WaitTimeSeconds=10)
            time.sleep(0.3)
            assert not waiting.done()
            if how == "delete":
                delete(sqs, fifo, held["a-1"])
            else:
                hide(sqs, fifo, held["a-1"], 0)
            assert waiting.result() == (["a-2"] if how == "delete" else ["a-1", "a-2"])
            assert time.monotonic() - begin < 3

    def test_waiters_are_served_first_come_first_served(self, tsugite, sqs, fifo):
        with concurrent.futures.ThreadPoolExecutor() as pool:
            waiting = []
            for _ in range(3):
                waiting.append(pool.submit(got, tsugite.client("sqs"), fifo, 1, WaitTimeSeconds=10))
                time.sleep(0.3)
            for n, waiter in enumerate(waiting):
                send_all(sqs, fifo, f"{n}-1")
                assert waiter.result() == [f"{n}-1"]
                assert not any(other.done() for other in waiting[n + 1:])

    def test_a_delayed_head_holds_its_group(self, tsugite, sqs):
        url = create(sqs, DelaySeconds="10")
        send_all(sqs, url, "a-1")
        tsugite.advance(5)
        send_all(sqs, url, "a-2", "b-1")
        tsugite.advance(6)
        assert got(sqs, url) == ["a-1"]
        tsugite.advance(5)
        assert got(sqs, url) == ["b-1"], "a-2 waits for a-1"

    def test_consumers_at_the_same_time_never_share_a_group(self, tsugite, sqs, fifo):
        names = [f"{group}-{n:03}" for n in range(40) for group in "abcd"]
        for start in range(0, len(names), 10):
            sqs.send_message_batch(QueueUrl=fifo, Entries=TestBatches().entries(*names[start:start + 10]))
        order = []

        def consume():
            client = tsugite.client("sqs")
            while held := take(client, fifo, 3):
                order.extend(held)
                delete(client, fifo, *held.values())

        with concurrent.futures.ThreadPoolExecutor() as pool:
            for done in [pool.submit(consume) for _ in range(4)]:
                done.result()
        # A consumer that found every group held has left; the rest is there for the next one.
        consume()
        for group in "abcd":
            own = [name for name in order if name[0] == group]
            assert own == sorted(own) and len(own) == 40


class TestHandles:
    def test_a_delete_after_the_time_is_refused(self, tsugite, sqs, fifo):
        send_all(sqs, fifo, "a-1")
        handle = handle_of(receive(sqs, fifo, VisibilityTimeout=10))
        tsugite.advance(11)
        refused("InvalidParameterValue", sqs.delete_message, QueueUrl=fifo, ReceiptHandle=handle, naming="expired")
        assert got(sqs, fifo) == ["a-1"]

    def test_a_delete_within_an_extended_time(self, tsugite, sqs, fifo):
        send_all(sqs, fifo, "a-1")
        handle = handle_of(receive(sqs, fifo, VisibilityTimeout=10))
        hide(sqs, fifo, handle, 30)
        tsugite.advance(20)
        delete(sqs, fifo, handle)
        tsugite.advance(20)
        assert got(sqs, fifo) == [] and counters(sqs, fifo) == (0, 0, 0)

    def test_a_handle_of_an_earlier_delivery_deletes_nothing(self, tsugite, sqs, fifo):
        send_all(sqs, fifo, "a-1")
        old = handle_of(receive(sqs, fifo, VisibilityTimeout=10))
        tsugite.advance(11)
        new = handle_of(receive(sqs, fifo, VisibilityTimeout=10))
        assert old != new
        refused("InvalidParameterValue", sqs.delete_message, QueueUrl=fifo, ReceiptHandle=old)
        tsugite.advance(11)
        assert got(sqs, fifo) == ["a-1"]

    def test_deleted_twice(self, sqs, fifo):
        send_all(sqs, fifo, "a-1")
        handle = handle_of(receive(sqs, fifo))
        delete(sqs, fifo, handle, handle)
        refused("InvalidParameterValue", sqs.change_message_visibility, QueueUrl=fifo, ReceiptHandle=handle,
                VisibilityTimeout=1)

    def test_of_another_queue(self, sqs, fifo):
        send_all(sqs, fifo, "a-1")
        handle = handle_of(receive(sqs, fifo))
        refused("ReceiptHandleIsInvalid", sqs.delete_message, QueueUrl=create(sqs), ReceiptHandle=handle)

    def test_no_lease_is_longer_than_twelve_hours(self, tsugite, sqs, fifo):
        send_all(sqs, fifo, "a-1")
        handle = handle_of(receive(sqs, fifo, VisibilityTimeout=43200))
        tsugite.advance(100)
        refused("InvalidParameterValue", sqs.change_message_visibility, QueueUrl=fifo, ReceiptHandle=handle,
                VisibilityTimeout=43200)
        tsugite.advance(43101)
        assert got(sqs, fifo) == ["a-1"]


class TestDeduplication:
    def test_a_repeat_tells_of_the_first_one_and_stores_nothing(self, sqs, fifo):
        first = send(sqs, fifo, "one", dedup="d")
        again = send(sqs, fifo, "another body", dedup="d")
        assert (again["MessageId"], again["SequenceNumber"]) == (first["MessageId"], first["SequenceNumber"])
        assert got(sqs, fifo) == ["one"]

    def test_the_window_counts_from_the_first_one(self, tsugite, sqs, fifo):
        first = send(sqs, fifo, "one", dedup="d")
        tsugite.advance(200)
        assert send(sqs, fifo, "two", dedup="d")["MessageId"] == first["MessageId"]
        tsugite.advance(99)
        assert send(sqs, fifo, "three", dedup="d")["MessageId"] == first["MessageId"]
        tsugite.advance(WINDOW - 299)
        assert send(sqs, fifo, "four", dedup="d")["MessageId"] != first["MessageId"]
        assert got(sqs, fifo) == ["one", "four"]

    def test_goes_on_after_the_message_is_deleted(self, sqs, fifo):
        first = send(sqs, fifo, "one", dedup="d")
        delete(sqs, fifo, *take(sqs, fifo).values())
        assert send(sqs, fifo, "two", dedup="d")["MessageId"] == first["MessageId"]
        assert got(sqs, fifo) == []

    def test_is_forgotten_by_a_purge(self, tsugite, sqs, fifo):
        first = send(sqs, fifo, "one", dedup="d")
        sqs.purge_queue(QueueUrl=fifo)
        assert got(sqs, fifo) == []
        assert send(sqs, fifo, "two", dedup="d")["MessageId"] != first["MessageId"]
        assert got(sqs, fifo) == ["two"]
        refused("AWS.SimpleQueueService.PurgeQueueInProgress", sqs.purge_queue, status=403, QueueUrl=fifo)
        tsugite.advance(61)
        sqs.purge_queue(QueueUrl=fifo)
        assert counters(sqs, fifo) == (0, 0, 0)

    def test_by_content(self, sqs):
        url = create(sqs, ContentBasedDeduplication="true")
        plain = dict(QueueUrl=url, MessageGroupId="g")
        attributes = {"n": {"DataType": "Number", "StringValue": "1"}}
        first = sqs.send_message(**plain, MessageBody="Grüße")
        again = sqs.send_message(**plain, MessageBody="Grüße", MessageAttributes=attributes)
        assert again["MessageId"] == first["MessageId"]
        assert again["MD5OfMessageAttributes"]
        other = sqs.send_message(**plain, MessageBody="Grüße", MessageDeduplicationId="of-its-own")
        assert other["MessageId"] != first["MessageId"], "an explicit id goes before the content"
        messages = receive(sqs, url, AttributeNames=["MessageDeduplicationId"])["Messages"]
        digest = hashlib.sha256("Grüße".encode()).hexdigest()
        assert [m["Attributes"]["MessageDeduplicationId"] for m in messages] == [digest, "of-its-own"]
        third = sqs.send_message(**plain, MessageBody="something else", MessageDeduplicationId=digest)
        assert third["MessageId"] == first["MessageId"], "it is an id like any other"

    @pytest.mark.parametrize("scope", ["queue", "messageGroup"])
    def test_scope(self, sqs, scope):
        url = create(sqs, DeduplicationScope=scope)
        first = send(sqs, url, "one", group="a", dedup="d")
        other = send(sqs, url, "two", group="b", dedup="d")
        assert (other["MessageId"] == first["MessageId"]) == (scope == "queue")
        assert send(sqs, url, "three", group="a", dedup="d")["MessageId"] == first["MessageId"]
        assert got(sqs, url) == (["one"] if scope == "queue" else ["one", "two"])

    def test_a_change_of_scope_is_listed_and_the_queue_goes_on_as_it_was_made(self, sqs, fifo):
        first = send(sqs, fifo, "one", group="a", dedup="d")
        scope = {"DeduplicationScope": "messageGroup"}
        sqs.set_queue_attributes(QueueUrl=fifo, Attributes=scope)
        assert sqs.get_queue_attributes(QueueUrl=fifo, AttributeNames=list(scope))["Attributes"] == scope
        assert send(sqs, fifo, "two", group="b", dedup="d")["MessageId"] == first["MessageId"]
        assert got(sqs, fifo) == ["one"]

    def test_content_may_count_from_later_on(self, sqs, fifo):
        sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"ContentBasedDeduplication": "true"})
        ids = [sqs.send_message(QueueUrl=fifo, MessageBody="x", MessageGroupId="g")["MessageId"] for _ in range(2)]
        assert ids[0] == ids[1]
        sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"ContentBasedDeduplication": "false"})
        refused("InvalidParameterValue", sqs.send_message, QueueUrl=fifo, MessageBody="x", MessageGroupId="g")

    def test_high_throughput(self, sqs):
        url = create(sqs, DeduplicationScope="messageGroup", FifoThroughputLimit="perMessageGroupId")
        for group in "abc":
            send(sqs, url, group, group=group, dedup="same")
        assert got(sqs, url) == ["a", "b", "c"]
        refused("InvalidAttributeValue", sqs.set_queue_attributes, QueueUrl=url,
                Attributes={"DeduplicationScope": "queue"})

    def test_of_a_queue_that_was_made_anew(self, sqs, fifo):
        first = send(sqs, fifo, "one", dedup="d")
        sqs.delete_queue(QueueUrl=fifo)
        again = sqs.create_queue(QueueName=fifo.rsplit("/", 1)[1], Attributes={"FifoQueue": "true"})["QueueUrl"]
        assert send(sqs, again, "two", dedup="d")["MessageId"] != first["MessageId"]
        assert got(sqs, again) == ["two"]


class TestAttempts:
    def repeat(self, sqs, url, attempt="attempt-1", most=10, **more):
        return take(sqs, url, most, ReceiveRequestAttemptId=attempt, **more)

    def test_a_repeat_gives_the_same_messages_and_handles(self, tsugite, sqs, fifo):
        send_all(sqs, fifo, "a-1", "a-2", "b-1")
        first = self.repeat(sqs, fifo, most=2, VisibilityTimeout=20)
        assert list(first) == ["a-1", "a-2"]
        tsugite.advance(15)
        assert self.repeat(sqs, fifo, most=2, VisibilityTimeout=20) == first
        tsugite.advance(15)
        assert got(sqs, fifo, 1) == ["b-1"], "the repeat began the lease anew"
        delete(sqs, fifo, *first.values())
        assert counters(sqs, fifo) == (0, 1, 0)

    def test_another_attempt_is_another_receive(self, sqs, fifo):
        send_all(sqs, fifo, "a-1")
        assert list(self.repeat(sqs, fifo)) == ["a-1"]
        assert self.repeat(sqs, fifo, attempt="attempt-2") == {}

    @pytest.mark.parametrize("what", ["delete", "change", "expiry", "window"])
    def test_is_a_fresh_receive_once_something_happened(self, tsugite, sqs, fifo, what):
        send_all(sqs, fifo, "a-1", "a-2", "b-1")
        first = self.repeat(sqs, fifo, most=2, VisibilityTimeout=1000 if what == "window" else 20)
        if what == "delete":
            delete(sqs, fifo, first["a-1"])
        elif what == "change":
            hide(sqs, fifo, first["a-1"], 100)
        else:
            tsugite.advance(WINDOW if what == "window" else 21)
        again = self.repeat(sqs, fifo, most=2)
        # The group that was served stands behind the one that waited all the while.
        expected = ["b-1", "a-1"] if what == "expiry" else ["b-1"]
        assert list(again) == expected and not set(again.values()) & set(first.values())

    def test_an_attempt_that_got_nothing_is_no_answer_for_later(self, sqs, fifo):
        assert self.repeat(sqs, fifo) == {}
        send_all(sqs, fifo, "a-1")
        assert list(self.repeat(sqs, fifo)) == ["a-1"]

    def test_a_purge_ends_it(self, sqs, fifo):
        send_all(sqs, fifo, "a-1")
        first = self.repeat(sqs, fifo)
        sqs.purge_queue(QueueUrl=fifo)
        send_all(sqs, fifo, "b-1")
        again = self.repeat(sqs, fifo)
        assert list(again) == ["b-1"] and not set(again.values()) & set(first.values())

    @pytest.mark.parametrize("value", ["a b", "x" * 129, "ä"])
    def test_bad_ids(self, sqs, fifo, value):
        refused("InvalidParameterValue", sqs.receive_message, QueueUrl=fifo, ReceiveRequestAttemptId=value,
                naming="ReceiveRequestAttemptId")


class TestReceive:
    def test_attributes_of_the_system(self, sqs, fifo):
        sent = send(sqs, fifo, "x", group="g", dedup="d")
        usual = {"SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp",
                 "MessageGroupId", "MessageDeduplicationId", "SequenceNumber"}
        message = receive(sqs, fifo, VisibilityTimeout=0, AttributeNames=["All"])["Messages"][0]
        assert set(message["Attributes"]) == usual
        own = {"MessageGroupId": "g", "MessageDeduplicationId": "d", "SequenceNumber": sent["SequenceNumber"]}
        assert message["Attributes"].items() >= own.items()
        assert message["MessageId"] == sent["MessageId"]
        for name, value in own.items():
            message = receive(sqs, fifo, VisibilityTimeout=0, AttributeNames=[name])["Messages"][0]
            assert message["Attributes"] == {name: value}
        assert "Attributes" not in receive(sqs, fifo)["Messages"][0]

    def test_retention(self, tsugite, sqs):
        url = create(sqs, MessageRetentionPeriod="60")
        send_all(sqs, url, "a-1", "a-2", "b-1")
        assert got(sqs, url, 1, VisibilityTimeout=1000) == ["a-1"]
        tsugite.advance(59)
        send_all(sqs, url, "a-3")
        assert got(sqs, url, 1) == ["b-1"]
        tsugite.advance(2)
        assert got(sqs, url) == ["a-3"], "those that expired, in flight or not, hold nobody up"
        tsugite.advance(121)
        assert got(sqs, url) == [] and counters(sqs, url) == (0, 0, 0)

    def test_an_id_outlives_its_message(self, tsugite, sqs):
        url = create(sqs, MessageRetentionPeriod="60")
        first = send(sqs, url, "one", dedup="d")
        tsugite.advance(200)
        assert got(sqs, url) == []
        assert send(sqs, url, "two", dedup="d")["MessageId"] == first["MessageId"]
        assert got(sqs, url) == []

    def test_a_change_of_retention_holds_for_stored_messages(self, tsugite, sqs, fifo):
        send_all(sqs, fifo, "a-1")
        tsugite.advance(100)
        send_all(sqs, fifo, "a-2")
        sqs.set_queue_attributes(QueueUrl=fifo, Attributes={"MessageRetentionPeriod": "60"})
        assert got(sqs, fifo) == ["a-2"]

    def test_counters(self, tsugite, sqs, fifo):
        send_all(sqs, fifo, "a-1", "a-2", "b-1", "b-2")
        held = take(sqs, fifo, 1, VisibilityTimeout=50)
        assert counters(sqs, fifo) == (3, 1, 0)
        delete(sqs, fifo, *held.values())
        assert counters(sqs, fifo) == (3, 0, 0)


class TestDeadLetters:
    def with_dead(self, sqs, receives=1, **attributes):
        dead = create(sqs)
        policy = json.dumps({"deadLetterTargetArn": arn_of(dead), "maxReceiveCount": receives})
        return create(sqs, RedrivePolicy=policy, **attributes), dead

    def test_must_be_fifo_too(self, sqs, queue, fifo):
        for url, target in ((fifo, queue), (queue, fifo)):
            policy = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": arn_of(target), "maxReceiveCount": 1})}
            refused("InvalidParameterValue", sqs.set_queue_attributes, QueueUrl=url, Attributes=policy)

    def test_keep_their_id_and_group_and_take_it_for_deduplication(self, tsugite, sqs):
        url, dead = self.with_dead(sqs)
        sent = send(sqs, url, "poison", group="g", dedup="d")
        first = receive(sqs, url, VisibilityTimeout=10, AttributeNames=["All"])["Messages"][0]
        tsugite.advance(11)
        send_all(sqs, url, "g-2")
        assert got(sqs, url) == ["g-2"], "the receive that moves the head goes on with the group"
        moved = receive(sqs, dead, AttributeNames=["All"])["Messages"][0]
        assert (moved["MessageId"], moved["Body"]) == (sent["MessageId"], "poison")
        expected = {"MessageGroupId": "g", "MessageDeduplicationId": sent["MessageId"],
                    "DeadLetterQueueSourceArn": arn_of(url), "ApproximateReceiveCount": "2"}
        assert moved["Attributes"].items() >= expected.items()
        assert len(moved["Attributes"]["SequenceNumber"]) == 20
        since = int(moved["Attributes"]["SentTimestamp"]) - int(first["Attributes"]["SentTimestamp"])
        assert since >= 10_000, "a FIFO queue counts from the move"

    def test_are_never_dropped_as_repeats(self, tsugite, sqs):
        url, dead = self.with_dead(sqs)
        sent = send(sqs, url, "poison", dedup="d")
        send(sqs, dead, "before", group="g", dedup=sent["MessageId"])
        send(sqs, dead, "before too", group="g", dedup="d")
        got(sqs, url, VisibilityTimeout=0)
        assert got(sqs, url) == []
        assert got(sqs, dead) == ["before", "before too", "poison"]

    def test_in_order(self, tsugite, sqs):
        url, dead = self.with_dead(sqs, receives=2)
        names = ["a-1", "b-1", "a-2", "b-2", "a-3"]
        send_all(sqs, url, *names)
        for _ in range(2):
            assert sorted(got(sqs, url, VisibilityTimeout=0)) == sorted(names)
        assert got(sqs, url) == []
        taken = got(sqs, dead)
        assert [name for name in taken if name[0] == "a"] == ["a-1", "a-2", "a-3"]
        assert [name for name in taken if name[0] == "b"] == ["b-1", "b-2"]

    def test_the_original_id_still_counts_in_the_source(self, sqs):
        url, dead = self.with_dead(sqs)
        first = send(sqs, url, "poison", dedup="d")
        got(sqs, url, VisibilityTimeout=0)
        assert got(sqs, url) == []
        assert send(sqs, url, "again", dedup="d")["MessageId"] == first["MessageId"]
        assert got(sqs, url) == [] and got(sqs, dead) == ["poison"]


@pytest.mark.parametrize("crash", [False, True], ids=["stop", "kill -9"])
def test_all_of_it_outlives_the_process(start_tsugite, crash):
    server = start_tsugite()
    sqs = server.client("sqs")
    url = create(sqs)
    name = url.rsplit("/", 1)[1]
    first = send(sqs, url, "a-1", "a", dedup="d1")
    send_all(sqs, url, "a-2", "b-1", "c-1")
    held = take(sqs, url, 2, ReceiveRequestAttemptId="attempt", VisibilityTimeout=60)
    [(body, gone)] = take(sqs, url, 1, VisibilityTimeout=60).items()
    assert (list(held), body) == (["a-1", "a-2"], "b-1")
    delete(sqs, url, gone)
    server.restart(crash=crash)
    sqs = server.client("sqs")
    url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
    again = send(sqs, url, "other", "a", dedup="d1")
    assert (again["MessageId"], again["SequenceNumber"]) == (first["MessageId"], first["SequenceNumber"])
    later = send(sqs, url, "a-3", "a")
    assert later["SequenceNumber"] > first["SequenceNumber"]
    assert take(sqs, url, 2, ReceiveRequestAttemptId="attempt", VisibilityTimeout=60) == held
    assert got(sqs, url) == ["c-1"], "leases of FIFO queues and what they block are durable"
    delete(sqs, url, *held.values())
    assert got(sqs, url) == ["a-3"]


def test_at_the_cap_of_messages_in_flight(start_tsugite):
    """A FIFO queue then gives nothing, and no error; a standard queue refuses short polls."""
    sqs = start_tsugite(config="aws: {in_flight_limit: 3}\n").client("sqs")
    url = create(sqs)
    send_all(sqs, url, "a-1", "b-1", "c-1", "d-1")
    held = take(sqs, url, 2) | take(sqs, url, 2)
    assert len(held) == 3
    assert got(sqs, url) == [] and got(sqs, url, WaitTimeSeconds=1) == []
    assert counters(sqs, url) == (1, 3, 0)
    delete(sqs, url, held["a-1"])
    assert got(sqs, url) == ["d-1"]

    plain = sqs.create_queue(QueueName="plain")["QueueUrl"]
    for n in range(4):
        sqs.send_message(QueueUrl=plain, MessageBody=f"{n}")
    messages = receive(sqs, plain)["Messages"]
    assert len(messages) == 3
    refused("OverLimit", sqs.receive_message, status=403, QueueUrl=plain, naming="3")
    assert got(sqs, plain, WaitTimeSeconds=1) == [], "a long poll waits"
    hide(sqs, plain, messages[0]["ReceiptHandle"], 0)
    assert len(got(sqs, plain)) == 1
