"""`kill -9` amid fan-out and amid retries: every subscription gets every acknowledged publish that it matches, no other.

The endpoints are a plain HTTP server of Python's library that answers as it likes: 200, 500, 429, nothing, a closed
connection. It outlives the server under test, which is killed at random moments and started again on its data.
"""

import collections
import http.server
import json
import pathlib
import random
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree

import pytest

from kill9 import Server
from kill9_load import ACCOUNT, Client, Gone, Refused
from process import binary

COLOURS = ["red", "green", "blue"]
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:news"
ROUNDS = 12
# Name and the colours that it wants; the filters say the same.
QUEUES = {"all": set(COLOURS), "red": {"red"}, "cold": {"green", "blue"}}
ENDPOINTS = {"/all": set(COLOURS), "/red": {"red"}, "/cold": {"green", "blue"}}
# As many and as quick retries as a policy may have, so that the test need not wait long.
RETRIES = {"healthyRetryPolicy": {"numRetries": 100, "minDelayTarget": 1, "maxDelayTarget": 1, "numNoDelayRetries": 90}}


class Endpoints:
    """What the endpoints got, and the server that they are."""

    def __init__(self):
        self.lock = threading.Lock()
        self.got = {path: collections.Counter() for path in ENDPOINTS}
        self.tokens, self.moody = {}, True
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.answer(self, self.headers["x-amz-sns-message-type"], body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, handler, kind, body):
        if kind == "SubscriptionConfirmation":
            self.tokens[handler.path] = body["Token"]
            mood = 200
        else:
            mood = random.choice([200, 200, 200, 200, 500, 429, "close", "sulk"]) if self.moody else 200
        if mood == "close":
            handler.close_connection = True
            return
        if mood == "sulk":
            time.sleep(0.3)
            mood = 503
        if mood == 200 and kind == "Notification":
            with self.lock:
                self.got[handler.path][body["Message"]] += 1
        handler.send_response(mood)
        handler.send_header("Content-Length", "0")
        handler.end_headers()


def subscribe(client, protocol, endpoint, colours, **attributes):
    if colours != set(COLOURS):
        attributes["FilterPolicy"] = json.dumps({"colour": sorted(colours)})
    form = {}
    for number, (name, value) in enumerate(attributes.items(), 1):
        form |= {f"Attributes.entry.{number}.key": name, f"Attributes.entry.{number}.value": value}
    client.sns("Subscribe", TopicArn=TOPIC, Protocol=protocol, Endpoint=endpoint, **form)


def furnish(client, endpoints):
    client.sns("CreateTopic", Name="news")
    for name, colours in QUEUES.items():
        client.sqs("CreateQueue", QueueName=name)
        arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
        subscribe(client, "sqs", arn, colours, RawMessageDelivery="true")
    for path, colours in ENDPOINTS.items():
        subscribe(client, "http", endpoints.url + path, colours, DeliveryPolicy=json.dumps(RETRIES))
    until = time.monotonic() + 30
    while len(endpoints.tokens) < len(ENDPOINTS) and time.monotonic() < until:
        time.sleep(0.02)
    for path in ENDPOINTS:
        client.sns("ConfirmSubscription", TopicArn=TOPIC, Token=endpoints.tokens[path])


class Publishers:
    """Threads that publish until the server is gone."""

    def __init__(self):
        self.lock, self.number = threading.Lock(), 0
        self.told, self.asked, self.refused = {}, {}, []

    def text(self):
        with self.lock:
            self.number += 1
            return f"news {self.number}"

    def attributes(self, prefix, colour):
        prefix += "MessageAttributes.entry.1."
        return {prefix + "Name": "colour", prefix + "Value.DataType": "String", prefix + "Value.StringValue": colour}

    def one(self, client):
        text, colour = self.text(), random.choice(COLOURS)
        self.asked[text] = colour
        client.sns("Publish", TopicArn=TOPIC, Message=text, **self.attributes("", colour))
        self.told[text] = colour

    def batch(self, client):
        form, entries = {}, []
        for number in range(1, 6):
            text, colour = self.text(), random.choice(COLOURS)
            prefix = f"PublishBatchRequestEntries.member.{number}."
            form |= {prefix + "Id": str(number), prefix + "Message": text} | self.attributes(prefix, colour)
            entries.append((text, colour))
        self.asked |= dict(entries)
        answer = ElementTree.fromstring(client.sns("PublishBatch", TopicArn=TOPIC, **form))
        accepted = answer.findall(".//{*}Successful/{*}member/{*}Id")
        assert len(accepted) == 5, "none of them breaks a rule"
        self.told |= dict(entries)

    def run(self, ports, seconds, kill):
        stop = threading.Event()

        def loop():
            client = Client(ports)
            while not stop.is_set():
                try:
                    random.choice([self.one, self.one, self.batch])(client)
                except Gone:
                    return
                except (Refused, AssertionError) as error:
                    self.refused.append(str(error))
                    return

        threads = [threading.Thread(target=loop) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        kill()
        stop.set()
        for thread in threads:
            thread.join()


def drain(client, queue):
    got = collections.Counter()
    empty = 0
    while empty < 3:
        answer = client.sqs("ReceiveMessage", queue, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        messages = answer.get("Messages", [])
        empty = 0 if messages else empty + 1
        got.update(message["Body"] for message in messages)
        if messages:
            entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
            client.sqs("DeleteMessageBatch", queue, Entries=entries)
    return got


@pytest.fixture
def server():
    with tempfile.TemporaryDirectory(prefix="tsugite-sns-kill9-") as directory:
        server = Server(binary(), directory)
        # A message that a killed server was posting is free again soon.
        pathlib.Path(server.config).write_text("aws: {sns: {timeout: 1s}}\n", encoding="utf-8")
        yield server
        if server.process is not None and server.process.poll() is None:
            server.kill()


def test_every_match_arrives_and_nothing_else(server):
    endpoints, publishers = Endpoints(), Publishers()
    server.start()
    furnish(Client(server.wait_ready()), endpoints)
    server.kill()
    for _ in range(ROUNDS):
        server.start()
        ports = server.wait_ready()
        publishers.run(ports, random.uniform(0.05, 0.4), server.kill)
        assert not publishers.refused, publishers.refused[:3]
    told = publishers.told
    assert len(told) > 100, f"only {len(told)} publishes were acknowledged"

    endpoints.moody = False
    server.start()
    client = Client(server.wait_ready())
    wanted = {path: {text for text, colour in told.items() if colour in colours} for path, colours in ENDPOINTS.items()}
    until = time.monotonic() + 60
    while time.monotonic() < until and any(wanted[path] - endpoints.got[path].keys() for path in ENDPOINTS):
        time.sleep(0.1)
    for path, colours in ENDPOINTS.items():
        got = endpoints.got[path]
        assert not wanted[path] - got.keys(), f"{path} did not get {len(wanted[path] - got.keys())} of {len(told)}"
        strange = {text for text in got if publishers.asked.get(text) not in colours}
        assert not strange, f"{path} got {sorted(strange)[:3]}, which its filter excludes"
    for queue, colours in QUEUES.items():
        got = drain(client, queue)
        missing = {text for text, colour in told.items() if colour in colours} - got.keys()
        assert not missing, f"{queue} did not get {sorted(missing)[:3]}"
        strange = {text for text in got if publishers.asked.get(text) not in colours}
        assert not strange, f"{queue} got {sorted(strange)[:3]}, which its filter excludes"
        assert max(got.values()) == 1, "a message lies in a queue once"
    assert server.kill(15) == 0
