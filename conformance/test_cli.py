"""The AWS CLI, and dig."""

import json
import subprocess
import time

import pytest


def aws(tsugite, *arguments, refused=False):
    command = ["aws", *arguments, "--output", "json"]
    if arguments[0] == "sqs":
        # The CLI's version 1 has a table of old host names for SQS, which wins over AWS_ENDPOINT_URL.
        command += ["--endpoint-url", tsugite.url("aws")]
    done = subprocess.run(command, env=tsugite.aws_env(), capture_output=True, text=True, timeout=60)
    # A refusal is 255 in the CLI's version 1 and 254 in version 2.
    assert (done.returncode in (254, 255)) if refused else (done.returncode == 0), (arguments, done.stdout, done.stderr)
    if refused:
        return done.stderr
    return json.loads(done.stdout) if done.stdout.strip() else {}


def dig(tsugite, name, kind, *options):
    host, port = tsugite.address("dns")
    command = ["dig", f"@{host}", "-p", str(port), "+tries=1", "+time=3", *options, name, kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, (command, done.stdout)
    return done.stdout


def test_queue_round_trip(tsugite):
    url = aws(tsugite, "sqs", "create-queue", "--queue-name", "cli")["QueueUrl"]
    assert aws(tsugite, "sqs", "get-queue-url", "--queue-name", "cli")["QueueUrl"] == url
    # The CLI checks MD5OfMessageBody itself.
    aws(tsugite, "sqs", "send-message", "--queue-url", url, "--message-body", "héllo")
    (message,) = aws(tsugite, "sqs", "receive-message", "--queue-url", url)["Messages"]
    assert message["Body"] == "héllo"
    aws(tsugite, "sqs", "delete-message", "--queue-url", url, "--receipt-handle", message["ReceiptHandle"])
    attributes = aws(tsugite, "sqs", "get-queue-attributes", "--queue-url", url, "--attribute-names", "All")["Attributes"]
    assert attributes["ApproximateNumberOfMessages"] == "0"
    assert attributes["ApproximateNumberOfMessagesNotVisible"] == "0"


def test_topic_to_queue(tsugite):
    topic = aws(tsugite, "sns", "create-topic", "--name", "cli-topic")["TopicArn"]
    url = aws(tsugite, "sqs", "create-queue", "--queue-name", "cli-sub")["QueueUrl"]
    query = ["--query", "Attributes.QueueArn"]
    arn = aws(tsugite, "sqs", "get-queue-attributes", "--queue-url", url, "--attribute-names", "QueueArn", *query)
    aws(tsugite, "sns", "subscribe", "--topic-arn", topic, "--protocol", "sqs", "--notification-endpoint", arn)
    published = aws(tsugite, "sns", "publish", "--topic-arn", topic, "--message", "to all")
    (message,) = aws(tsugite, "sqs", "receive-message", "--queue-url", url, "--wait-time-seconds", "2")["Messages"]
    envelope = json.loads(message["Body"])
    assert envelope["Message"] == "to all"
    assert envelope["MessageId"] == published["MessageId"]


def test_identity(tsugite):
    identity = aws(tsugite, "sts", "get-caller-identity")
    assert identity["Account"] == "000000000000"


def test_errors_are_the_services_own(tsugite):
    told = aws(tsugite, "sqs", "get-queue-url", "--queue-name", "nowhere", refused=True)
    assert "AWS.SimpleQueueService.NonExistentQueue" in told or "QueueDoesNotExist" in told
    told = aws(tsugite, "sns", "list-platform-applications", refused=True)
    assert "InvalidParameter" in told and "ListPlatformApplications" in told, told


@pytest.mark.parametrize("tcp", [[], ["+tcp"]])
def test_dig_finds_what_cloud_map_registered(tsugite, tcp):
    name = "dug" + ("t" if tcp else "u")
    namespace = aws(tsugite, "servicediscovery", "create-private-dns-namespace", "--name", f"{name}.test", "--vpc", "vpc-1")
    operation = aws(tsugite, "servicediscovery", "get-operation", "--operation-id", namespace["OperationId"])["Operation"]
    assert operation["Status"] == "SUCCESS"
    for service, kind in (("web", "SRV"), ("plain", "A")):
        records = f"NamespaceId={operation['Targets']['NAMESPACE']},DnsRecords=[{{Type={kind},TTL=15}}]"
        created = aws(tsugite, "servicediscovery", "create-service", "--name", service, "--dns-config", records)["Service"]
        aws(
            tsugite, "servicediscovery", "register-instance",
            "--service-id", created["Id"], "--instance-id", "one",
            "--attributes", "AWS_INSTANCE_IPV4=192.0.2.7,AWS_INSTANCE_PORT=8443,color=blue",
        )
    found = aws(
        tsugite, "servicediscovery", "discover-instances",
        "--namespace-name", f"{name}.test", "--service-name", "web", "--query-parameters", "color=blue",
    )["Instances"]
    assert [(i["InstanceId"], i["Attributes"]["AWS_INSTANCE_PORT"]) for i in found] == [("one", "8443")]
    assert dig(tsugite, f"plain.{name}.test", "A", "+short", *tcp).split() == ["192.0.2.7"]
    srv = dig(tsugite, f"web.{name}.test", "SRV", "+short", *tcp).split()
    assert srv[2] == "8443" and srv[3].startswith("one."), srv
    assert dig(tsugite, srv[3], "A", "+short", *tcp).split() == ["192.0.2.7"]
    assert "status: NXDOMAIN" in dig(tsugite, f"absent.{name}.test", "A", *tcp)
    assert "status: REFUSED" in dig(tsugite, "example.com", "A", *tcp)


def test_a_lease_that_is_not_renewed_ends(tsugite):
    tsugite.register("shortlived", "one", 9, ttl_ms=1000)
    assert dig(tsugite, "shortlived.internal", "A", "+short").split() == ["127.0.0.1"]
    end = time.monotonic() + 3.0
    while dig(tsugite, "shortlived.internal", "A", "+short").split():
        assert time.monotonic() < end, "the instance outlived its lease"
        time.sleep(0.05)


@pytest.mark.parametrize("service", ["sqs", "sns", "servicediscovery"])
def test_unknown_actions_are_refused_over_raw_http(tsugite, service):
    targets = {"sqs": "AmazonSQS.Fly", "servicediscovery": "Route53AutoNaming_v20170314.Fly"}
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", tsugite.url("aws", "/")]
    if service in targets:
        command += ["-H", f"X-Amz-Target: {targets[service]}", "-H", "Content-Type: application/x-amz-json-1.0", "-d", "{}"]
    else:
        command += ["-d", "Action=Fly&Version=2010-03-31"]
    status = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout
    assert status == ("404" if service in targets else "400")


def test_cloud_map(tsugite):
    call = lambda *arguments, **more: aws(tsugite, "servicediscovery", *arguments, **more)
    made = call("create-public-dns-namespace", "--name", "cli.example.com", "--tags", "Key=team,Value=shop")
    operation = call("get-operation", "--operation-id", made["OperationId"])["Operation"]
    namespace = call("get-namespace", "--id", operation["Targets"]["NAMESPACE"])["Namespace"]
    tags = call("list-tags-for-resource", "--resource-arn", namespace["Arn"])["Tags"]
    assert tags == [{"Key": "team", "Value": "shop"}]
    service = call("create-service", "--name", "orders", "--namespace-id", namespace["Id"],
                   "--dns-config", "RoutingPolicy=WEIGHTED,DnsRecords=[{Type=CNAME,TTL=5}]")["Service"]
    call("update-service-attributes", "--service-id", service["Id"], "--attributes", "owner=me")
    call("register-instance", "--service-id", service["Id"], "--instance-id", "i",
         "--attributes", "AWS_INSTANCE_CNAME=elsewhere.example")
    found = call("discover-instances", "--namespace-name", "cli.example.com", "--service-name", "orders")["Instances"]
    assert [instance["InstanceId"] for instance in found] == ["i"]
    assert dig(tsugite, "orders.cli.example.com", "A", "+short").strip() == "elsewhere.example."
    assert "ServiceNotFound" in call("get-service", "--id", "srv-none", refused=True)
