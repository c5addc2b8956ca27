"""Subscribers that others wrote for AWS: webhook packages of PyPI and npm, as they come, confirm and take what topics post."""

import http.server
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from sns_help import new_topic

HERE = pathlib.Path(__file__).resolve().parent
MODULES = HERE.parent / "examples/javascript/node_modules"
HOST = "sns.us-east-1.amazonaws.com"


class App:
    """A program that listens on the port that is its first line."""

    def __init__(self, command, env):
        self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                      env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | env)
        self.port = int(self.child.stdout.readline())
        self.lines = []
        threading.Thread(target=lambda: self.lines.extend(map(json.loads, self.child.stdout)), daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def stop(self):
        self.child.terminate()
        self.child.wait(10)


def wait(what, seconds=20):
    """The first result of `what` that is true."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return found


def confirmed(sns, topic, count=1):
    """Waits until so many subscriptions of the topic are confirmed."""
    def arns():
        listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
        return [s["SubscriptionArn"] for s in listed if s["SubscriptionArn"] != "PendingConfirmation"]
    return wait(lambda: len(arns()) == count and arns())


def post(url, message, kind="Notification"):
    """The status of a POST as SNS makes it, by somebody else."""
    request = urllib.request.Request(url, json.dumps(message).encode(),
                                     {"x-amz-sns-message-type": kind, "Content-Type": "text/plain; charset=UTF-8"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def test_a_django_view(tsugite, sns, tmp_path):
    journal = tmp_path / "journal"
    journal.touch()
    app = App([sys.executable, str(HERE / "apps/orders_django.py")],
              {"SNS_DOMAIN": r"^127\.0\.0\.1:\d+$", "SNS_JOURNAL": str(journal)})
    try:
        topic = new_topic(sns)
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=app.url("/hook"))
        confirmed(sns, topic)
        sns.publish(TopicArn=topic, Message='{"id": 1}', Subject="New order")
        sns.publish(TopicArn=topic, Message="two\nlines")
        notes = wait(lambda: len(journal.read_text().splitlines()) == 2 and journal.read_text().splitlines())
        assert sorted(map(json.loads, notes), key=lambda note: note["message"], reverse=True) == [
            {"message": '{"id": 1}', "subject": "New order"}, {"message": "two\nlines", "subject": None}]
    finally:
        app.stop()


def test_a_django_view_does_check(tsugite, sns, tmp_path):
    """The test above means something: with one letter changed, the same view refuses."""
    app = App([sys.executable, str(HERE / "apps/orders_django.py")],
              {"SNS_DOMAIN": r"^127\.0\.0\.1:\d+$", "SNS_JOURNAL": str(tmp_path / "journal")})
    sqs = tsugite.client("sqs")
    try:
        topic = new_topic(sns)
        url = sqs.create_queue(QueueName="webhooks-copy")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        sns.publish(TopicArn=topic, Message="genuine")
        message = json.loads(sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"][0]["Body"])
        assert post(app.url("/hook"), message) == 200
        assert post(app.url("/hook"), message | {"Message": "Genuine"}) == 400
    finally:
        app.stop()


@pytest.fixture
def certified(start_tsugite, tmp_path):
    """(Tsugite whose certificates are at AWS's host, port of TLS before it, authority of that)."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={HOST}",
                    "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", str(key), "-out", str(certificate)],
                   check=True, capture_output=True)
    tsugite = start_tsugite(config=f"aws: {{sns: {{certificate_url: 'https://{HOST}'}}}}")

    class Front(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            with urllib.request.urlopen(tsugite.url("aws", self.path), timeout=10) as answer:
                body = answer.read()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield tsugite, server.server_port, certificate
    server.shutdown()
    server.server_close()


def test_express_packages(certified):
    tsugite, port, authority = certified
    modules = os.environ.get("TSUGITE_NODE_MODULES", str(MODULES))
    assert os.path.isdir(modules), "run `npm ci` in examples/javascript"
    app = App([shutil.which("node") or "node", str(HERE / "js/sns_express.mjs")],
              {"TSUGITE_NODE_MODULES": modules, "SNS_TLS_PORT": str(port), "NODE_EXTRA_CA_CERTS": str(authority)})
    try:
        sns = tsugite.client("sns")
        topic = new_topic(sns)
        for path in ("/validator", "/middleware"):
            sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=app.url(path))
        confirmed(sns, topic, 2)
        sns.publish(TopicArn=topic, Message="Grüße, 世界", Subject="New order")
        # The middleware knows SHA-1 alone.
        for arn in [s["SubscriptionArn"] for s in sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
                    if s["Endpoint"].endswith("/middleware")]:
            wait(lambda: len([m for m in app.lines if m["Type"] == "Notification"]) == 2)
            sns.unsubscribe(SubscriptionArn=arn)
        sns.set_topic_attributes(TopicArn=topic, AttributeName="SignatureVersion", AttributeValue="2")
        sns.publish(TopicArn=topic, Message="with SHA-256")
        wait(lambda: len([m for m in app.lines if m["Type"] == "Notification"]) == 3)
        told = [(m["by"], m["Message"], m.get("Subject"), m["SignatureVersion"]) for m in app.lines
                if m["Type"] == "Notification"]
        assert sorted(told[:2]) == [("middleware", "Grüße, 世界", "New order", "1"),
                                    ("validator", "Grüße, 世界", "New order", "1")]
        assert told[2] == ("validator", "with SHA-256", None, "2")
        genuine = next(m for m in app.lines if m["Type"] == "Notification")
        for path in ("/validator", "/middleware"):
            assert post(app.url(path), genuine) == 204
            assert post(app.url(path), genuine | {"Message": "forged"}) == 403
    finally:
        app.stop()
