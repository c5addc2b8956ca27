"""SNS by hand: forms, links, actions that are not there, and STS beside it. Runs with two SDKs (see README.md)."""

import pytest

import aws_raw
from sns_help import ACCOUNT, new_topic
from sqs_help import refused

VERSION = "&Version=2010-03-31"


@pytest.fixture
def topic(sns):
    return new_topic(sns)


def get(tsugite, query, path="/"):
    status, headers, body = aws_raw.post(tsugite, method="GET", path=f"{path}?{query}", headers={
        "Content-Type": "text/plain"})
    assert headers["Content-Type"] == "text/xml"
    return status, body.decode()


@pytest.mark.parametrize("version", ["", VERSION])
def test_actions_find_their_service_without_a_signature(tsugite, topic, version):
    for query, part in [
        (f"Action=CreateTopic&Name=by-get{version}", f"<TopicArn>arn:aws:sns:us-east-1:{ACCOUNT}:by-get</TopicArn>"),
        (f"Action=Publish&TopicArn={topic}&Message=a%20b{version}", "<MessageId>"),
        (f"Action=PublishBatch&TopicArn={topic}&PublishBatchRequestEntries.member.1.Id=a"
         f"&PublishBatchRequestEntries.member.1.Message=x{version}", "<Failed></Failed>"),
        (f"Action=AddPermission&TopicArn={topic}&Label=l&AWSAccountId.member.1=222222222222"
         f"&ActionName.member.1=Publish{version}", "<AddPermissionResponse "),
        (f"Action=TagResource&ResourceArn={topic}&Tags.member.1.Key=k&Tags.member.1.Value=v{version}",
         "<TagResourceResult/>"),
        (f"Action=ListTagsForResource&ResourceArn={topic}{version}",
         "<Tags><member><Key>k</Key><Value>v</Value></member></Tags>"),
    ]:
        status, body = get(tsugite, query)
        assert status == 200 and part in body, body
        assert 'xmlns="http://sns.amazonaws.com/doc/2010-03-31/"' in body


def test_a_post_with_its_parameters_in_the_url(tsugite, topic):
    status, _, body = aws_raw.form(tsugite, "", path=f"/?Action=Publish&TopicArn={topic}&Message=direct{VERSION}")
    assert status == 200 and "<PublishResponse" in body


def test_hostile_forms(tsugite, topic):
    status, headers, body = aws_raw.form(tsugite, "Action=Nonsense" + VERSION)
    assert status == 400 and headers["Content-Type"] == "text/xml"
    assert "<Code>InvalidAction</Code>" in body and "Nonsense" in body
    call = f"Action=Publish{VERSION}&TopicArn={topic}&Message=x"
    hostile = "&MessageAttributes.entry.999999999.Name=a&MessageAttributes.entry.999999999.Value.DataType=String" \
              "&MessageAttributes.entry.999999999.Value.StringValue=v"
    assert aws_raw.form(tsugite, call + hostile)[0] == 200
    for more, part in [("&MessageAttributes.entry.x.Name=a", "MalformedQueryString"), ("&Subject=%ff", "Subject")]:
        status, _, body = aws_raw.form(tsugite, call + more)
        assert status == 400 and part in body
    status, _, body = aws_raw.form(tsugite, "a=b&" * 20_000)
    assert status == 400 and "10000 parameters" in body


def test_an_attribute_without_a_value(tsugite, topic):
    queue = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"
    for call in ("CreateTopic&Name=x", f"Subscribe&TopicArn={topic}&Protocol=sqs&Endpoint={queue}"):
        status, _, body = aws_raw.form(tsugite, f"Action={call}{VERSION}&Attributes.entry.1.key=DisplayName")
        assert status == 400 and "The entry DisplayName of Attributes.entry has no value." in body, body


def test_sns_has_no_json(tsugite):
    status, _, body = aws_raw.post(tsugite, b"{}", target="AmazonSimpleNotificationService.ListTopics")
    assert status == 404 and b"UnknownOperationException" in body and b"ListTopics" in body


@pytest.mark.parametrize("action,parameters", [
    ("create_platform_application", {"Name": "a", "Platform": "GCM", "Attributes": {"PlatformCredential": "x"}}),
    ("list_platform_applications", {}), ("get_endpoint_attributes", {"EndpointArn": "x"}),
    ("get_sms_attributes", {}), ("check_if_phone_number_is_opted_out", {"phoneNumber": "+15550100"}),
    ("list_phone_numbers_opted_out", {}), ("get_sms_sandbox_account_status", {})])
def test_what_tsugite_does_not_have_is_named(sns, action, parameters):
    name = "".join(word.upper() if word == "sms" else word.capitalize() for word in action.split("_"))
    refused("InvalidParameter", getattr(sns, action), **parameters, naming=name)


def test_sts(tsugite):
    sts = tsugite.client("sts")
    identity = sts.get_caller_identity()
    assert (identity["Account"], identity["UserId"]) == (ACCOUNT, ACCOUNT)
    assert identity["Arn"] == f"arn:aws:iam::{ACCOUNT}:root"
    refused("InvalidAction", sts.get_session_token, naming="GetSessionToken")
