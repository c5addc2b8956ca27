"""A full disk: sends are refused, deletes go on, nothing acknowledged is lost, and service resumes by itself."""

import os
import subprocess
import time
import uuid

import boto3
import botocore.exceptions
import pytest
from botocore.config import Config

MEGABYTES = 48
BODY = 100_000


@pytest.fixture
def disk(tmp_path):
    """A small file system. Skips where none can be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(folder)],
                           capture_output=True, text=True, check=False)
    if mount.returncode != 0:
        pytest.skip(f"cannot mount a small file system here (needs root): {mount.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def client(server, attempts):
    return boto3.client("sqs", endpoint_url=server.url("aws"), region_name="us-east-1", aws_access_key_id="test",
                        aws_secret_access_key="test", config=Config(retries={"total_max_attempts": attempts}))


def status_of(error):
    return error.response["ResponseMetadata"]["HTTPStatusCode"]


def received(sqs, url):
    return sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=300).get("Messages", [])


def test_full_and_free_again(disk, start_tsugite):
    server = start_tsugite(data=disk / "data")
    sqs = client(server, 1)
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    kept, refusals = {}, []
    # What does not fit is refused, and the refusal is one that SDKs try again by themselves.
    while len(refusals) < 5:
        assert len(kept) * BODY < MEGABYTES << 20, "more was accepted than the disk can hold"
        body = f"{uuid.uuid4()}".ljust(BODY, "x")
        try:
            kept[sqs.send_message(QueueUrl=url, MessageBody=body)["MessageId"]] = body
        except botocore.exceptions.ClientError as error:
            refusals.append(error)
    assert {status_of(error) for error in refusals} <= {500, 503}, refusals
    assert len(kept) * BODY > MEGABYTES << 19, "more than half of the disk can be used"
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        client(server, 3).send_message(QueueUrl=url, MessageBody="x" * BODY)
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 2, "the SDK tried again"
    # Receives and deletes go on.
    gone = set()
    for _ in range(5):
        for message in received(sqs, url):
            assert kept[message["MessageId"]] == message["Body"]
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            gone.add(message["MessageId"])
    assert len(gone) >= 50 or len(gone) == len(kept)
    # A crash with a full disk, and everything that was acknowledged is there.
    server.restart(crash=True)
    sqs = client(server, 1)
    url = sqs.get_queue_url(QueueName="q")["QueueUrl"]
    found = {}
    while len(found) + len(gone) < len(kept) and (messages := received(sqs, url)):
        for message in messages:
            assert message["MessageId"] not in gone, "delivered after its delete"
            found[message["MessageId"]] = message["Body"]
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert found == {id: body for id, body in kept.items() if id not in gone}
    # All of it is deleted: there is room again, without a restart and without anybody's help.
    deadline = time.monotonic() + 60
    sent = 0
    while sent < 20:
        try:
            sqs.send_message(QueueUrl=url, MessageBody="y" * BODY)
            sent += 1
        except botocore.exceptions.ClientError as error:
            assert status_of(error) in (500, 503) and time.monotonic() < deadline, error
            time.sleep(0.2)
    assert len(received(sqs, url)) > 0


def test_somebody_else_fills_it_and_gives_it_back(disk, start_tsugite):
    server = start_tsugite(data=disk / "data")
    sqs = client(server, 1)
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    kept = sqs.send_message(QueueUrl=url, MessageBody="before")["MessageId"]
    ballast = disk / "ballast"
    with open(ballast, "wb") as file, pytest.raises(OSError):
        while True:
            os.write(file.fileno(), bytes(1 << 16))
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        for _ in range(MEGABYTES * 10):
            sqs.send_message(QueueUrl=url, MessageBody="z" * BODY)
    assert status_of(caught.value) in (500, 503)
    message = next(m for m in received(sqs, url) if m["MessageId"] == kept)
    assert message["Body"] == "before"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    ballast.unlink()
    deadline = time.monotonic() + 30
    while True:
        try:
            sqs.send_message(QueueUrl=url, MessageBody="after")
            break
        except botocore.exceptions.ClientError as error:
            assert status_of(error) in (500, 503) and time.monotonic() < deadline, error
            time.sleep(0.1)
