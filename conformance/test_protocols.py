"""SQS in both of its protocols: one story, told by the SDKs of either, and the Query protocol by hand."""

import difflib
import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree

import pytest

import aws_raw

HERE = pathlib.Path(__file__).resolve().parent
QUERY_PYTHON = os.environ.get("TSUGITE_QUERY_PYTHON", str(HERE.parent / ".cache/venv-query/bin/python"))
VERSION = "&Version=2012-11-05"


def told(tsugite, python, prefix):
    """The story as lines."""
    command = [python, str(HERE / "sqs_story.py"), tsugite.url("aws"), prefix]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_both_protocols_answer_the_same(tsugite):
    in_json = told(tsugite, sys.executable, "json")
    in_query = told(tsugite, QUERY_PYTHON, "query")
    difference = list(difflib.unified_diff(in_json, in_query, "JSON", "Query", lineterm="", n=1))
    assert not difference, "\n".join(difference)
    assert len(in_json) > 60


@pytest.fixture
def path(queue):
    """The path of a new queue's URL."""
    return "/" + "/".join(queue.split("/")[-2:])


def get(tsugite, path, query, **headers):
    status, answer, body = aws_raw.post(tsugite, path=f"{path}?{query}", method="GET",
                                        headers={"Content-Type": ""} | headers)
    return status, answer, body.decode()


class TestByHand:
    def test_get_and_post_to_the_url_of_a_queue(self, tsugite, path):
        for version in ("", VERSION):
            status, _, body = get(tsugite, path, f"Action=SendMessage&MessageBody=a%20b+c{version}")
            assert status == 200 and "<MD5OfMessageBody>" in body, body
            status, _, body = aws_raw.form(tsugite, f"Action=ReceiveMessage{version}", path=path)
            assert status == 200 and "<Body>a b c</Body>" in body, body

    def test_versions_and_actions_that_are_not(self, tsugite, path):
        for version, served in [("2012-11-05", True), ("2009-02-01", True), ("2012-11-06", False), ("", False)]:
            status, _, body = aws_raw.form(
                tsugite, f"Action=ReceiveMessage&Version={version}", path=path)
            assert (status == 200) == served, body
            assert served or "<Code>NoSuchVersion</Code>" in body, body
        for twice in ("Action=PurgeQueue", "Version=2012-11-05"):
            status, _, body = aws_raw.form(
                tsugite, f"Action=ReceiveMessage{VERSION}&{twice}", path=path)
            assert status == 400 and "given more than once" in body, body

    def test_a_number_has_no_plus_sign(self, tsugite, path):
        call = f"Action=ReceiveMessage{VERSION}&MaxNumberOfMessages="
        assert aws_raw.form(tsugite, call + "5", path=path)[0] == 200
        status, _, body = aws_raw.form(tsugite, call + "%2B5", path=path)
        assert status == 400 and "MaxNumberOfMessages" in body, body

    def test_to_the_root_with_the_url_as_a_parameter(self, tsugite, queue):
        for url in (queue, queue.rsplit("/", 1)[1]):
            status, headers, body = aws_raw.form(
                tsugite, f"Action=GetQueueAttributes&QueueUrl={url}&AttributeName.1=QueueArn")
            assert status == 200 and headers["Content-Type"] == "text/xml"
            assert "<Attribute><Name>QueueArn</Name><Value>arn:aws:sqs:" in body
            assert "VisibilityTimeout" not in body

    def test_the_parameter_wins_over_the_path(self, tsugite, sqs, queue, path):
        other = sqs.create_queue(QueueName=queue.rsplit("/", 1)[1] + "-other")["QueueUrl"]
        _, _, body = get(tsugite, path, f"Action=GetQueueAttributes&QueueUrl={other}&AttributeName.1=QueueArn")
        assert "-other</Value>" in body

    def test_an_empty_result_is_an_empty_element(self, tsugite, path):
        _, _, body = get(tsugite, path, "Action=ReceiveMessage")
        assert "<ReceiveMessageResult/>" in body
        root = xml.etree.ElementTree.fromstring(body)
        assert root.tag == "{http://queue.amazonaws.com/doc/2012-11-05/}ReceiveMessageResponse"

    def test_without_a_result(self, tsugite, path):
        status, headers, body = get(tsugite, path, "Action=DeleteQueue")
        assert status == 200 and "Result" not in body
        assert f"<RequestId>{headers['x-amzn-RequestId']}</RequestId>" in body

    @pytest.mark.parametrize("spelling", [
        "Attribute.1.Name=DelaySeconds&Attribute.1.Value=7", "Attribute.Name=DelaySeconds&Attribute.Value=7",
        "Attributes.entry.1.key=DelaySeconds&Attributes.entry.1.value=7",
        "Attribute.member.9.Name=DelaySeconds&Attribute.member.9.Value=7"])
    def test_spellings_of_maps(self, tsugite, sqs, queue, path, spelling):
        status, _, body = aws_raw.form(tsugite, f"Action=SetQueueAttributes&{spelling}", path=path)
        assert status == 200, body
        read = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["DelaySeconds"])["Attributes"]
        assert read == {"DelaySeconds": "7"}

    @pytest.mark.parametrize("query,code,naming", [
        ("Action=FooBar", "InvalidAction", "The action FooBar is not valid for this endpoint."),
        ("Action=ListQueues", "InvalidAction", "The action ListQueues is not valid for this endpoint."),
        ("Action=CreateQueue&QueueName=x", "InvalidAction", "CreateQueue"),
        ("Action=SendMessage", "MissingParameter", "The request must contain the parameter MessageBody."),
        ("Action=GetQueueAttributes&AttributeName.1=Foobar", "InvalidAttributeName", "Foobar"),
        ("Action=ReceiveMessage&MaxNumberOfMessages=many", "InvalidParameterValue", "many"),
        ("Action=ReceiveMessage&Colour=red", "MalformedInput", "Colour"),
        ("Action=ReceiveMessage&AttributeName.x=All", "MalformedInput", "AttributeName.x"),
        ("Action=ReceiveMessage&WaitTimeSeconds=0&WaitTimeSeconds=1", "MalformedInput", "WaitTimeSeconds"),
        ("Action=SendMessage&MessageBody=x&MessageAttribute.1.Name=n&MessageAttribute.1.Value.DataType=Binary"
         "&MessageAttribute.1.Value.BinaryValue=*", "MalformedInput", "base64"),
        ("Action=SendMessage&MessageBody=%ff", "MalformedQueryString", "MessageBody"),
    ])
    def test_refusals(self, tsugite, path, query, code, naming):
        status, headers, body = get(tsugite, path, query)
        assert status == 400
        for part in (f"<Type>Sender</Type><Code>{code}</Code>", naming,
                     f"<RequestId>{headers['x-amzn-RequestId']}</RequestId>"):
            assert part in body, body
        assert "x-amzn-query-error" not in headers

    def test_a_missing_queue(self, tsugite, path):
        status, _, body = get(tsugite, path + "-missing", "Action=GetQueueAttributes&AttributeName.1=QueueArn")
        assert status == 400
        assert "<Code>AWS.SimpleQueueService.NonExistentQueue</Code>" in body
        assert "<Message>The specified queue does not exist for this wsdl version" in body

    def test_no_action(self, tsugite, path):
        status, _, body = get(tsugite, path, "", Accept="application/json")
        assert status == 404 and "<UnknownOperationException" in body

    def test_the_url_of_another_queue_can_be_asked_for(self, tsugite, queue, path):
        name = queue.rsplit("/", 1)[1]
        query = f"Action=GetQueueUrl&QueueName={name}&QueueOwnerAWSAccountId=000000000000"
        status, _, body = get(tsugite, path + "-any", query, Host=queue.split("/")[2])
        assert status == 200 and f"<QueueUrl>{queue}</QueueUrl>" in body

    def test_json_to_the_url_of_a_queue(self, tsugite, queue, path):
        status, headers, body = aws_raw.sqs(tsugite, "ReceiveMessage", {"QueueUrl": queue}, path=path)
        assert (status, headers["Content-Type"], body) == (200, "application/x-amz-json-1.0", {})
