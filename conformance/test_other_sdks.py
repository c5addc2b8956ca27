"""SDKs of other languages, where their toolchains are on the machine: the same story in Go and Java, and AWS CLI v2."""

import json
import os
import pathlib
import shutil
import subprocess
import uuid

import pytest

from process import ROOT

HERE = pathlib.Path(__file__).resolve().parent
CACHE = ROOT / ".cache"
# Downloads and builds; a second run takes neither.
PATIENCE = 400


def tool(name, *arguments):
    """Path of a program that answers; the test is skipped, and says so, where there is none."""
    found = shutil.which(name)
    if not found or subprocess.run([found, *arguments], capture_output=True, check=False).returncode != 0:
        pytest.skip(f"no {name} on this machine: its SDK is not tried")
    return found


def run(command, env, folder=HERE):
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done.stdout


def test_go(tsugite):
    go = tool("go", "version")
    story = CACHE / "go-story"
    run([go, "build", "-o", str(story), "."], os.environ | {"GOFLAGS": "-mod=readonly"}, HERE / "go")
    assert run([str(story)], tsugite.aws_env()).strip() == "ok"


def test_java(tsugite):
    tool("java", "-version")
    maven = tool("mvn", "-v")
    told = run([maven, "-q", "-B", "-ntp", "compile", "exec:java", f"-DbuildFolder={CACHE / 'java-story'}"],
               tsugite.aws_env(), HERE / "java")
    assert "ok" in told, told  # Maven puts colours around it.


@pytest.mark.parametrize("aws", [1, 2], ids=["v1", "v2"], indirect=True)
class TestCommandLine:
    """The AWS CLI: version 1 is that of PyPI, version 2 Debian's."""

    @pytest.fixture
    def aws(self, tsugite, request):
        env = tsugite.aws_env()
        cli = shutil.which("aws")
        if request.param == 2:
            # Debian's runs on Debian's Python: the virtual environment has the libraries of version 1.
            cli, env["PATH"] = "/usr/bin/aws", "/usr/bin:/bin"
        version = subprocess.run([cli, "--version"], env=env, capture_output=True, text=True,
                                 check=False).stdout if os.path.exists(cli) else ""
        if f"aws-cli/{request.param}." not in version:
            pytest.skip(f"no AWS CLI v{request.param} on this machine (v2 is Debian's awscli): it is not tried")

        def call(*arguments, service="sqs", fails=None):
            done = subprocess.run([cli, "--endpoint-url", tsugite.url("aws"), "--output", "json", service, *arguments],
                                  env=env, capture_output=True, text=True, timeout=60, check=False)
            if fails:
                assert done.returncode != 0 and fails in done.stderr, (done.stdout, done.stderr)
                return None
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout) if done.stdout.strip() else None

        return call

    def test_standard(self, aws):
        url = aws("create-queue", "--queue-name", f"q-{uuid.uuid4()}")["QueueUrl"]
        attributes = json.dumps({"city": {"DataType": "String", "StringValue": "京都"}})
        sent = aws("send-message", "--queue-url", url, "--message-body", "ünï", "--message-attributes", attributes)
        got = aws("receive-message", "--queue-url", url, "--attribute-names", "All", "--message-attribute-names", "All",
                  "--wait-time-seconds", "1")["Messages"][0]
        assert (got["MessageId"], got["Body"]) == (sent["MessageId"], "ünï")
        assert got["MessageAttributes"]["city"]["StringValue"] == "京都"
        assert got["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
        aws("delete-message", "--queue-url", url, "--receipt-handle", got["ReceiptHandle"])
        assert aws("receive-message", "--queue-url", url) is None
        aws("delete-queue", "--queue-url", url)
        aws("get-queue-attributes", "--queue-url", url, fails="NonExistentQueue")

    def test_fifo(self, aws):
        url = aws("create-queue", "--queue-name", f"q-{uuid.uuid4()}.fifo", "--attributes",
                  "FifoQueue=true,ContentBasedDeduplication=true")["QueueUrl"]
        send = lambda body: aws("send-message", "--queue-url", url, "--message-body", body, "--message-group-id", "g")
        first, again = send("one"), send("one")
        assert first["SequenceNumber"] == again["SequenceNumber"]
        aws("send-message", "--queue-url", url, "--message-body", "x", fails="MissingParameter")
        send("two")
        got = aws("receive-message", "--queue-url", url, "--max-number-of-messages", "10")["Messages"]
        assert [message["Body"] for message in got] == ["one", "two"]

    def test_topics(self, aws):
        sns = lambda *arguments, **more: aws(*arguments, service="sns", **more)
        name = f"n-{uuid.uuid4()}"
        url = aws("create-queue", "--queue-name", name)["QueueUrl"]
        topic = sns("create-topic", "--name", name, "--attributes", "DisplayName=Kitchen",
                    "--tags", "Key=team,Value=blue")["TopicArn"]
        assert sns("get-topic-attributes", "--topic-arn", topic)["Attributes"]["DisplayName"] == "Kitchen"
        assert sns("list-tags-for-resource", "--resource-arn", topic)["Tags"] == [{"Key": "team", "Value": "blue"}]
        policy = json.dumps({"kind": ["order"]})
        subscription = sns("subscribe", "--topic-arn", topic, "--protocol", "sqs", "--notification-endpoint",
                           f"arn:aws:sqs:us-east-1:000000000000:{name}", "--return-subscription-arn",
                           "--attributes", json.dumps({"FilterPolicy": policy}))["SubscriptionArn"]
        kind = lambda value: json.dumps({"kind": {"DataType": "String", "StringValue": value}})
        sns("publish", "--topic-arn", topic, "--message", "no", "--message-attributes", kind("other"))
        entries = json.dumps([{"Id": "a", "Message": "ünï", "MessageAttributes": json.loads(kind("order"))}])
        answer = sns("publish-batch", "--topic-arn", topic, "--publish-batch-request-entries", entries)
        [message] = aws("receive-message", "--queue-url", url, "--wait-time-seconds", "1",
                        "--max-number-of-messages", "10")["Messages"]
        envelope = json.loads(message["Body"])
        assert (envelope["Message"], envelope["MessageId"]) == ("ünï", answer["Successful"][0]["MessageId"])
        sns("set-subscription-attributes", "--subscription-arn", subscription, "--attribute-name", "FilterPolicy",
            "--attribute-value", "nonsense", fails="FilterPolicy: failed to parse JSON.")
        sns("create-platform-application", "--name", "a", "--platform", "GCM", "--attributes", "PlatformCredential=x",
            fails="CreatePlatformApplication")
        sns("unsubscribe", "--subscription-arn", subscription)
        sns("delete-topic", "--topic-arn", topic)
        sns("publish", "--topic-arn", topic, "--message", "x", fails="Topic does not exist")
