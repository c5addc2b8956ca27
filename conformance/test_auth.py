"""Signatures, keys and accounts on the AWS port, with stock clients; botocore's signer is the oracle."""

import json
import random
import string
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

import boto3
import botocore.exceptions
import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

ALICE = ("AKIAALICE", "alice-secret-0123456789")
ROOT = ("AKIAROOT", "root-secret-0123456789+/=")
OTHER = ("AKIAOTHER", "other-secret-0123456789")
CONFIG = f"""
aws:
  account: "111111111111"
  auth: MODE
  keys:
    - {{id: {ROOT[0]}, secret: "{ROOT[1]}"}}
    - {{id: {ALICE[0]}, secret: {ALICE[1]}, user: alice}}
    - {{id: {OTHER[0]}, secret_env: OTHER_SECRET, account: "222222222222"}}
"""
CLOUD_MAP = "Route53AutoNaming_v20170314"


@pytest.fixture(scope="module")
def known():
    yield from _served("known")


@pytest.fixture(scope="module", params=["known", "strict"])
def either(request):
    yield from _served(request.param)


def _served(mode):
    from process import Tsugite

    one = Tsugite(config=CONFIG.replace("MODE", mode), env={"OTHER_SECRET": OTHER[1]})
    one.start()
    yield one
    code = one.stop()
    assert code == 0, one.log()
    one.remove()


def client(server, service, key, region="us-east-1", token=None):
    return boto3.client(
        service, endpoint_url=server.url("aws"), region_name=region, aws_access_key_id=key[0],
        aws_secret_access_key=key[1], aws_session_token=token,
        config=Config(retries={"max_attempts": 1}, inject_host_prefix=False),
    )


def refused(code, status, call, **parameters):
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, status), answer
    return answer["Error"]["Message"]


def fetch(request):
    """(status, headers, body) of a prepared botocore request, sent by another HTTP client."""
    data = getattr(request, "body", None) or getattr(request, "data", None) or None
    raw = urllib.request.Request(request.url, data=data, method=request.method,
                                 headers=dict(request.headers.items()))
    try:
        with urllib.request.urlopen(raw, timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read().decode()


def test_everybody_is_who_the_key_says(either):
    who = client(either, "sts", ALICE).get_caller_identity()
    assert (who["Account"], who["Arn"]) == ("111111111111", "arn:aws:iam::111111111111:user/alice")
    assert who["UserId"].startswith("AIDA")
    root = client(either, "sts", ROOT).get_caller_identity()
    assert (root["Arn"], root["UserId"]) == ("arn:aws:iam::111111111111:root", "111111111111")
    assert client(either, "sts", OTHER).get_caller_identity()["Account"] == "222222222222"


def test_every_service_is_served_with_a_key_and_names_the_sender(either):
    sqs, sns = client(either, "sqs", ALICE), client(either, "sns", ALICE, token="a-session")
    name = f"q-{uuid.uuid4()}"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    assert url.endswith(f"/111111111111/{name}")
    topic = sns.create_topic(Name=f"t-{uuid.uuid4()}")["TopicArn"]
    # As at AWS, a queue takes nothing from a topic that its policy does not admit; only `strict` holds us to it.
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Statement": [{
        "Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage",
        "Resource": "*", "Condition": {"ArnEquals": {"aws:SourceArn": topic}}}]})})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:us-east-1:111111111111:{name}",
                  Attributes={"RawMessageDelivery": "true"})
    sns.publish(TopicArn=topic, Message="ünïcode & + = %20\r\n")
    sqs.send_message(QueueUrl=url, MessageBody="plain")
    me = client(either, "sts", ALICE).get_caller_identity()["UserId"]
    got = []
    while len(got) < 2:
        got += sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5, MaxNumberOfMessages=10,
                                   AttributeNames=["SenderId"]).get("Messages", [])
    assert {message["Body"] for message in got} == {"plain", "ünïcode & + = %20\r\n"}
    plain = next(message for message in got if message["Body"] == "plain")
    assert plain["Attributes"]["SenderId"] == me
    client(either, "servicediscovery", ALICE).list_namespaces()


@pytest.mark.parametrize("service,call,unknown,wrong", [
    ("sqs", "list_queues", "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ("sns", "list_topics", "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ("sts", "get_caller_identity", "InvalidClientTokenId", "SignatureDoesNotMatch"),
    ("servicediscovery", "list_namespaces", "UnrecognizedClientException", "InvalidSignatureException"),
])
def test_strangers_are_refused(either, service, call, unknown, wrong):
    message = refused(unknown, 403, getattr(client(either, service, ("AKIANOBODY", "x" * 20)), call))
    assert "AKIANOBODY" in message
    refused(wrong, 403, getattr(client(either, service, (ALICE[0], "wrong-secret-0123456789")), call))


@pytest.mark.parametrize("service,parameters,code", [
    ("sqs", "Action=ListQueues&Version=2012-11-05", "MissingAuthenticationToken"),
    ("sns", "Action=ListTopics&Version=2010-03-31", "MissingAuthenticationToken"),
])
def test_unsigned_requests(either, service, parameters, code):
    status, _, body = fetch(AWSRequest("GET", either.url("aws", f"/?{parameters}")))
    assert status == 403 and f"<Code>{code}</Code>" in body, body
    for headers, expected in [({"Authorization": "Bearer x"}, "IncompleteSignature"),
                              ({"Authorization": "AWS4-HMAC-SHA256 Credential=x"}, "IncompleteSignature")]:
        status, _, body = fetch(AWSRequest("GET", either.url("aws", f"/?{parameters}"), headers=headers))
        assert status == 400 and f"<Code>{expected}</Code>" in body, body


def test_unsigned_json(either):
    for target, header in [("AmazonSQS.ListQueues", "MissingAuthenticationToken;Sender"),
                           (f"{CLOUD_MAP}.ListNamespaces", None)]:
        status, headers, body = fetch(AWSRequest("POST", either.url("aws", "/"), data=b"{}",
                                                 headers={"X-Amz-Target": target}))
        assert status == 403 and headers.get("x-amzn-query-error") == header
        assert json.loads(body)["__type"].endswith("#MissingAuthenticationTokenException")


class At(SigV4Auth):
    """Signs as if it were another time."""

    def __init__(self, offset, *args, **more):
        super().__init__(*args, **more)
        self.offset = offset

    def add_auth(self, request):
        import botocore.auth as auth
        import datetime
        real = auth.get_current_datetime
        auth.get_current_datetime = lambda *args, **more: real(*args, **more) + datetime.timedelta(seconds=self.offset)
        try:
            super().add_auth(request)
        finally:
            auth.get_current_datetime = real


@pytest.mark.parametrize("offset,good", [(-800, True), (800, True), (-1000, False), (1000, False)])
def test_clocks_may_differ_by_a_quarter_of_an_hour(known, offset, good):
    request = AWSRequest("POST", known.url("aws", "/"), data=b"{}",
                         headers={"X-Amz-Target": "AmazonSQS.ListQueues",
                                  "Content-Type": "application/x-amz-json-1.0"})
    At(offset, Credentials(*ROOT), "sqs", "us-east-1").add_auth(request)
    status, headers, body = fetch(request)
    assert status == (200 if good else 403), body
    if not good:
        assert headers["x-amzn-query-error"] == "SignatureDoesNotMatch;Sender"
        assert ("Signature expired" if offset < 0 else "not yet current") in body


def test_presigned_urls(known):
    sqs = client(known, "sqs", ROOT)
    url = sqs.create_queue(QueueName="presigned")["QueueUrl"]
    parameters = urllib.parse.urlencode(
        {"Action": "SendMessage", "Version": "2012-11-05", "QueueUrl": url, "MessageBody": "a b+c/ü=%"},
        quote_via=urllib.parse.quote)
    request = AWSRequest("GET", known.url("aws", f"/?{parameters}"))
    SigV4QueryAuth(Credentials(*ROOT), "sqs", "us-east-1", expires=60).add_auth(request)
    curl = subprocess.run(["curl", "-sS", "-o", "-", "-w", "%{http_code}", request.url],
                          capture_output=True, text=True, check=True).stdout
    assert curl.endswith("200"), curl
    got = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"][0]["Body"]
    assert got == "a b+c/ü=%"
    for changed in [request.url.replace("SendMessage", "PurgeQueue"), request.url + "&Extra=1",
                    request.url.replace("X-Amz-Expires=60", "X-Amz-Expires=600000")]:
        status, _, body = fetch(AWSRequest("GET", changed))
        assert status == 403 and "<Code>SignatureDoesNotMatch</Code>" in body, body
    brief = AWSRequest("GET", known.url("aws", "/?Action=ListQueues&Version=2012-11-05"))
    SigV4QueryAuth(Credentials(*ROOT), "sqs", "us-east-1", expires=1).add_auth(brief)
    brief.prepare()
    assert fetch(brief)[0] == 200
    deadline = time.monotonic() + 10
    while (answer := fetch(brief))[0] == 200 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert answer[0] == 403 and "Signature expired" in answer[2]


def test_botocore_signs_and_we_agree(known):
    """Random requests in every protocol and both places of a signature; one change in each, and it counts no more."""
    rng = random.Random(4)
    alphabet = string.printable + "üß漢字 %+&=/~'()*!"
    text = lambda most: "".join(rng.choice(alphabet) for _ in range(rng.randrange(1, most)))
    for n in range(240):
        key, region = rng.choice([ROOT, ALICE, OTHER]), rng.choice(["us-east-1", "eu-west-3"])
        service, version = rng.choice([("sqs", "2012-11-05"), ("sns", "2010-03-31"), ("sts", "2011-06-15")])
        parameters = {"Action": "Nothing", "Version": version} | {
            f"P{i}{rng.choice(['', '.1', '-x', '_', '~', 'ä'])}": text(30) for i in range(rng.randrange(5))}
        form = urllib.parse.urlencode(parameters, quote_via=urllib.parse.quote)
        headers = {f"X-Amz-Meta-{i}": f"  {rng.randrange(99)}   {rng.randrange(99)} " for i in range(rng.randrange(3))}
        kind = rng.choice(["get", "form", "json", "presigned"])
        signer = SigV4QueryAuth if kind == "presigned" else SigV4Auth
        if kind in ("get", "presigned"):
            path = rng.choice(["/", "/111111111111/some-queue.fifo", "/a/../b//c/", "/with%20space/x"])
            request = AWSRequest("GET", known.url("aws", f"{path}?{form}"), headers=headers)
            if kind == "presigned":
                request.headers = AWSRequest().headers
        elif kind == "form":
            headers["Content-Type"] = "application/x-www-form-urlencoded; charset=utf-8"
            request = AWSRequest("POST", known.url("aws", "/"), data=form.encode(), headers=headers)
        else:
            target = rng.choice(["AmazonSQS", CLOUD_MAP])
            service = "sqs" if target == "AmazonSQS" else "servicediscovery"
            key = ROOT if service == "servicediscovery" else key
            body = json.dumps({"Value": text(50)}).encode()
            request = AWSRequest("POST", known.url("aws", "/"), data=body,
                                 headers=headers | {"X-Amz-Target": f"{target}.Nothing"})
        signer(Credentials(*key), service, region).add_auth(request)
        status, _, answer = fetch(request.prepare())
        # Verified, and then found to ask for nothing that there is.
        assert status in (400, 404) and "Signature" not in answer, (n, kind, request.url, dict(request.headers), answer)
        if kind in ("form", "json"):
            request.data += b" "
        else:
            request.url += "&Q=1"
        status, _, answer = fetch(request.prepare())
        assert status == 403 and "The request signature we calculated" in answer, (n, kind, status, answer)


def test_accounts_do_not_see_each_other(either):
    mine, theirs = client(either, "sqs", ROOT), client(either, "sqs", OTHER)
    name = f"q-{uuid.uuid4()}"
    url = mine.create_queue(QueueName=name)["QueueUrl"]
    mine.send_message(QueueUrl=url, MessageBody="mine")
    assert url not in theirs.list_queues().get("QueueUrls", [])
    refused("AWS.SimpleQueueService.NonExistentQueue", 400, theirs.get_queue_url, QueueName=name)
    for call, parameters in [
        (theirs.receive_message, {}), (theirs.send_message, {"MessageBody": "x"}), (theirs.purge_queue, {}),
        (theirs.delete_queue, {}), (theirs.get_queue_attributes, {"AttributeNames": ["All"]}),
        (theirs.set_queue_attributes, {"Attributes": {"VisibilityTimeout": "1"}}),
        (theirs.send_message_batch, {"Entries": [{"Id": "a", "MessageBody": "x"}]}),
    ]:
        assert name in refused("AccessDenied", 403, call, QueueUrl=url, **parameters)
    refused("AWS.SimpleQueueService.NonExistentQueue", 400, theirs.receive_message, QueueUrl=url + "-absent")
    topic = client(either, "sns", ROOT).create_topic(Name=f"t-{uuid.uuid4()}")["TopicArn"]
    sns = client(either, "sns", OTHER)
    refused("AuthorizationError", 403, sns.publish, TopicArn=topic, Message="x")
    own = sns.create_topic(Name=f"t-{uuid.uuid4()}")["TopicArn"]
    refused("AuthorizationError", 403, sns.subscribe, TopicArn=own, Protocol="sqs",
            Endpoint=f"arn:aws:sqs:us-east-1:111111111111:{name}")
    refused("AccessDeniedException", 403, client(either, "servicediscovery", OTHER).list_namespaces)
    assert mine.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "mine"


def test_the_command_line(known):
    env = known.aws_env() | {"AWS_ACCESS_KEY_ID": ALICE[0], "AWS_SECRET_ACCESS_KEY": ALICE[1]}
    run = lambda *args, **more: subprocess.run(
        ["aws", "--endpoint-url", known.url("aws"), *args], env=env | more, capture_output=True, text=True, check=False)
    who = run("sts", "get-caller-identity")
    assert json.loads(who.stdout)["Arn"].endswith(":user/alice"), who.stderr
    assert run("sqs", "create-queue", "--queue-name", "of-cli").returncode == 0
    wrong = run("sqs", "list-queues", AWS_SECRET_ACCESS_KEY="wrong-secret-0123456789")
    assert "SignatureDoesNotMatch" in wrong.stderr, wrong.stderr


def test_curl_signs_too(known):
    curl = subprocess.run(
        ["curl", "-sS", "--aws-sigv4", "aws:amz:us-east-1:sqs", "--user", ":".join(ROOT),
         known.url("aws", "/?Action=ListQueues&Version=2012-11-05")],
        capture_output=True, text=True, check=True).stdout
    assert "ListQueuesResponse" in curl, curl


def test_keys_come_and_go_without_a_restart(start_tsugite, tmp_path):
    keys = tmp_path / "keys.yaml"
    keys.write_text(f"- {{id: {ROOT[0]}, secret: \"{ROOT[1]}\"}}\n")
    server = start_tsugite(config=f"aws: {{auth: known, keys_file: {keys}}}\n")
    client(server, "sqs", ROOT).list_queues()
    refused("InvalidClientTokenId", 403, client(server, "sqs", ALICE).list_queues)
    keys.write_text(f"- {{id: {ALICE[0]}, secret: {ALICE[1]}}}\n")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            client(server, "sqs", ALICE).list_queues()
            break
        except botocore.exceptions.ClientError:
            time.sleep(0.1)
    refused("InvalidClientTokenId", 403, client(server, "sqs", ROOT).list_queues)
    keys.write_text("- {id: A}\n")
    while "the old one stays in force" not in server.log() and time.monotonic() < deadline + 10:
        time.sleep(0.1)
    client(server, "sqs", ALICE).list_queues()
    assert ALICE[1] not in server.log() and ROOT[1] not in server.log()


def test_off_takes_any_key_and_maps_the_ones_it_knows(start_tsugite):
    server = start_tsugite(config=CONFIG.replace("MODE", "off"), env={"OTHER_SECRET": OTHER[1]})
    for key, account in [(("test", "test"), "111111111111"), ((OTHER[0], "anything"), "222222222222"),
                         (("333333333333", "x"), "333333333333")]:
        assert client(server, "sts", key).get_caller_identity()["Account"] == account
