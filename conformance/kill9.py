#!/usr/bin/env python3
"""Kills a loaded Tsugite at random moments and checks that it keeps its promises.

A recorder outside of the process notes every request and every reply. Each round starts the binary on the same
data directory, loads it from several threads (SQS sends, batches, receives and deletes, SNS publishes, Cloud Map
and admin registrations), and kills it with SIGKILL after a random time, sometimes before it is even ready. After
each start, and after the last one in full, the recorder's notes are held against what the store says:

* a message whose send was acknowledged is delivered, unless its delete was asked for;
* a message whose delete was acknowledged is never delivered again;
* a published message is in both subscribed queues or in none;
* every registered instance is in the version that was acknowledged last, or in one whose request had no reply.

Requests without a reply are unknown, never failures. Only the standard library is used.

    python3 conformance/kill9.py --rounds 200 --binary target/release/tsugite
"""

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
QUEUES = ["orders", "mail-a", "mail-b"]
TOPIC = "arn:aws:sns:us-east-1:000000000000:mail"
# Longer than any round, so that a handle is never outlived by its lease; shorter than patience at the end.
VISIBILITY = 8
INSTANCES = [f"i{n}" for n in range(6)]


class Gone(Exception):
    """The request got no reply: what it did is unknown."""


class Refused(Exception):
    """The request got an error as its reply."""


class Client:
    """One keep-alive connection to each port."""

    def __init__(self, ports):
        self.ports = ports
        self.connections = {}

    def call(self, door, method, path, body, headers):
        address = self.ports[door]
        try:
            connection = self.connections.get(door)
            if connection is None:
                host, port = address.rsplit(":", 1)
                connection = self.connections[door] = http.client.HTTPConnection(host, int(port), timeout=30)
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            content = reply.read()
        except (OSError, http.client.HTTPException) as error:
            self.connections.pop(door, None)
            raise Gone(str(error)) from error
        if reply.status >= 300:
            raise Refused(f"{method} {path} {body!r}: {reply.status} {content[:300]!r}")
        return content

    def json(self, target, body):
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": target}
        content = self.call("aws", "POST", "/", json.dumps(body), headers)
        return json.loads(content or b"{}")

    def sqs(self, action, queue=None, **body):
        if queue is not None:
            body["QueueUrl"] = f"http://{self.ports['aws']}/000000000000/{queue}"
        return self.json("AmazonSQS." + action, body)

    def sns(self, action, **form):
        form |= {"Action": action, "Version": "2010-03-31"}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.call("aws", "POST", "/", urllib.parse.urlencode(form), headers)

    def cloudmap(self, action, **body):
        headers = {"Content-Type": "application/x-amz-json-1.1",
                   "X-Amz-Target": "Route53AutoNaming_v20170314." + action}
        return json.loads(self.call("aws", "POST", "/", json.dumps(body), headers) or b"{}")

    def admin(self, method, path, body=None):
        content = self.call("admin", method, path, None if body is None else json.dumps(body),
                            {"Content-Type": "application/json"})
        return json.loads(content or b"{}")


class Recorder:
    """What clients asked and were told, over all rounds."""

    def __init__(self):
        self.lock = threading.Lock()
        self.number = 0
        # (queue, body) -> "asked" | "there" | "deleting" | "gone"
        self.messages = {}
        # (queue, body) -> the moment at which its delete was acknowledged.
        self.gone = {}
        # Published bodies, and the queues in which each body was ever seen.
        self.published = []
        self.seen = {}
        # (kind, instance) -> versions that it may have; None is absent. The first is the acknowledged one.
        self.versions = {}
        self.counts = dict.fromkeys(
            ["sent", "published", "received", "deleted", "registered", "unknown", "refused"], 0)
        self.violations = []

    def count(self, what, by=1):
        with self.lock:
            self.counts[what] += by

    def violation(self, text):
        with self.lock:
            self.violations.append(text)
            print("VIOLATION", text, flush=True)

    def text(self):
        with self.lock:
            self.number += 1
            return f"m{self.number}-" + "x" * random.choice([0, 10, 200, 3000])

    def asked(self, keys):
        with self.lock:
            for key in keys:
                self.messages[key] = "asked"

    def acknowledged(self, keys):
        with self.lock:
            for key in keys:
                # A consumer may have been quicker than this reply.
                if self.messages[key] == "asked":
                    self.messages[key] = "there"

    def moment(self):
        """Told apart from moments before and after: what was deleted before one must not be delivered later."""
        with self.lock:
            self.number += 1
            return self.number

    def delivered(self, queue, body, asked):
        with self.lock:
            self.counts["received"] += 1
            self.seen.setdefault(body, set()).add(queue)
            state = self.messages.get((queue, body))
            gone = self.gone.get((queue, body), asked)
            if state == "asked":
                self.messages[(queue, body)] = "there"
        if state is None:
            self.violation(f"{queue} delivered {body[:20]}, which nobody sent")
        elif gone < asked:
            self.violation(f"{queue} delivered {body[:20]} after its delete was acknowledged")

    def deleting(self, queue, bodies):
        with self.lock:
            for body in bodies:
                self.messages[(queue, body)] = "deleting"

    def deleted(self, queue, bodies):
        with self.lock:
            self.counts["deleted"] += len(bodies)
            self.number += 1
            for body in bodies:
                self.messages[(queue, body)] = "gone"
                self.gone[(queue, body)] = self.number

    def crashed(self):
        """Deletes without a reply: the message may be there or not, and no delivery of it is wrong."""
        with self.lock:
            for key, state in self.messages.items():
                if state == "deleting":
                    self.messages[key] = "asked"

    def putting(self, key, version):
        with self.lock:
            self.versions.setdefault(key, [None]).append(version)

    def put(self, key, version):
        with self.lock:
            self.counts["registered"] += 1
            self.versions[key] = [version]

    def found(self, key, version):
        with self.lock:
            possible = self.versions.setdefault(key, [None])
            self.versions[key] = [version]
        if version not in possible:
            self.violation(f"instance {key} is in version {version}, possible are {possible}")


def furnish(client):
    """Queues, topic, services: created if absent, as a deployment does at each start."""
    for queue in QUEUES:
        client.sqs("CreateQueue", QueueName=queue)
    client.sns("CreateTopic", Name="mail")
    for queue in QUEUES[1:]:
        client.sns("Subscribe", TopicArn=TOPIC, Protocol="sqs",
                   Endpoint=f"arn:aws:sqs:us-east-1:000000000000:{queue}",
                   **{"Attributes.entry.1.key": "RawMessageDelivery", "Attributes.entry.1.value": "true"})
    names = {n["Name"]: n["Id"] for n in client.cloudmap("ListNamespaces")["Namespaces"]}
    if "shop" not in names:
        client.cloudmap("CreateHttpNamespace", Name="shop")
        names = {n["Name"]: n["Id"] for n in client.cloudmap("ListNamespaces")["Namespaces"]}
    services = {s["Name"]: s["Id"] for s in client.cloudmap("ListServices")["Services"]}
    if "till" not in services:
        return client.cloudmap("CreateService", Name="till", NamespaceId=names["shop"])["Service"]["Id"]
    return services["till"]


def sender(recorder, client, _service):
    if random.random() < 0.3:
        bodies = [recorder.text() for _ in range(10)]
        recorder.asked(("orders", body) for body in bodies)
        entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)]
        reply = client.sqs("SendMessageBatch", "orders", Entries=entries)
        done = [bodies[int(entry["Id"])] for entry in reply["Successful"]]
    else:
        done = [recorder.text()]
        recorder.asked([("orders", done[0])])
        client.sqs("SendMessage", "orders", MessageBody=done[0])
    recorder.acknowledged([("orders", body) for body in done])
    recorder.count("sent", len(done))


def publisher(recorder, client, _service):
    body = recorder.text()
    keys = [(queue, body) for queue in QUEUES[1:]]
    recorder.asked(keys)
    recorder.published.append(body)
    client.sns("Publish", TopicArn=TOPIC, Message=body)
    recorder.acknowledged(keys)
    recorder.count("published")


def receive(recorder, client, queue, visibility=VISIBILITY):
    asked = recorder.moment()
    reply = client.sqs("ReceiveMessage", queue, MaxNumberOfMessages=10, VisibilityTimeout=visibility)
    messages = reply.get("Messages", [])
    for message in messages:
        recorder.delivered(queue, message["Body"], asked)
    return messages


def delete(recorder, client, queue, messages):
    bodies = [message["Body"] for message in messages]
    recorder.deleting(queue, bodies)
    if len(messages) == 1:
        client.sqs("DeleteMessage", queue, ReceiptHandle=messages[0]["ReceiptHandle"])
    else:
        entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
        reply = client.sqs("DeleteMessageBatch", queue, Entries=entries)
        bodies = [bodies[int(entry["Id"])] for entry in reply["Successful"]]
    recorder.deleted(queue, bodies)


def consumer(recorder, client, _service):
    queue = random.choice(QUEUES)
    messages = receive(recorder, client, queue)
    random.shuffle(messages)
    keep = random.randrange(3)
    if len(messages) > keep:
        delete(recorder, client, queue, messages[keep:])


def registrar(kind):
    """One thread for each kind, so that an instance has one writer and its requests have an order."""

    def work(recorder, client, service):
        instance = random.choice(INSTANCES)
        key = (kind, instance)
        remove = random.random() < 0.25 and recorder.versions.get(key, [None]) != [None]
        with recorder.lock:
            recorder.number += 1
            version = None if remove else str(recorder.number)
        recorder.putting(key, version)
        if kind == "admin":
            path = f"/v1/instances/internal/kitchen/{instance}"
            if remove:
                client.admin("DELETE", path)
            else:
                client.admin("PUT", path, {"address": "127.0.0.1", "port": 9, "ttl_ms": 0,
                                           "attributes": {"version": version}})
        elif remove:
            client.cloudmap("DeregisterInstance", ServiceId=service, InstanceId=instance)
        else:
            client.cloudmap("RegisterInstance", ServiceId=service, InstanceId=instance,
                            CreatorRequestId=version, Attributes={"version": version})
        recorder.put(key, version)

    return work


def check_registry(recorder, client, service):
    """Holds every instance against the notes."""
    try:
        listed = client.admin("GET", "/v1/services/internal/kitchen")["instances"]
    except Refused as error:
        if " 404 " not in str(error):
            raise
        listed = []
    found = {instance["id"]: instance["attributes"].get("version") for instance in listed}
    for instance in INSTANCES:
        recorder.found(("admin", instance), found.get(instance))
    listed = client.cloudmap("ListInstances", ServiceId=service)["Instances"]
    found = {instance["Id"]: instance["Attributes"].get("version") for instance in listed}
    for instance in INSTANCES:
        recorder.found(("cloudmap", instance), found.get(instance))


class Server:
    """The binary, on a data directory that outlives it."""

    def __init__(self, binary, directory):
        self.binary, self.directory = binary, directory
        self.ready_file = os.path.join(directory, "ready.json")
        self.log = open(os.path.join(directory, "server.log"), "ab")
        self.process = None

    def start(self):
        if os.path.exists(self.ready_file):
            os.remove(self.ready_file)
        self.process = subprocess.Popen(
            [self.binary, "up", "--data", os.path.join(self.directory, "data"), "--ready-file", self.ready_file,
             "--aws", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--gateway", "off", "--dns", "off"],
            stdout=self.log, stderr=self.log)

    def wait_ready(self):
        begun = time.monotonic()
        while not os.path.exists(self.ready_file):
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended with {self.process.returncode}: see {self.log.name}")
            if time.monotonic() - begun > 60:
                raise SystemExit(f"the server is not ready after a minute: see {self.log.name}")
            time.sleep(0.002)
        with open(self.ready_file, encoding="utf-8") as file:
            return json.load(file), time.monotonic() - begun

    def kill(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        return self.process.wait(timeout=60)


def load(recorder, server, ports, service, seconds):
    """Loads the server from threads and kills it amid the load."""
    stop = threading.Event()

    def loop(work):
        client = Client(ports)
        while not stop.is_set():
            try:
                work(recorder, client, service)
            except Gone:
                recorder.count("unknown")
                return
            except Refused as error:
                recorder.count("refused")
                recorder.violation(f"refused: {error}")
                return

    work = [sender] * 3 + [publisher] * 2 + [consumer] * 5 + [registrar("admin"), registrar("cloudmap")]
    threads = [threading.Thread(target=loop, args=(w,)) for w in work]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    server.kill()
    stop.set()
    for thread in threads:
        thread.join()
    recorder.crashed()


def drain(recorder, ports):
    """Receives and deletes everything there is; returns the messages that should have come and did not."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def empty(queue):
        client = Client(ports)
        last = time.monotonic()
        # Leases of the last round have to run out first; beyond that, nothing new for long means nothing.
        while time.monotonic() - last < 6 * VISIBILITY:
            messages = receive(recorder, client, queue, visibility=60)
            if messages:
                delete(recorder, client, queue, messages)
                last = time.monotonic()
                continue
            counts = client.sqs("GetQueueAttributes", queue, AttributeNames=names)["Attributes"]
            if all(counts[name] == "0" for name in names):
                return
            time.sleep(0.1)

    threads = [threading.Thread(target=empty, args=(queue,)) for queue in QUEUES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [key for key, state in recorder.messages.items() if state == "there"]


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rounds_", nargs="?", type=int, metavar="ROUNDS", help="as --rounds")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--binary", default=os.environ.get("TSUGITE_BIN", os.path.join(ROOT, "target/debug/tsugite")))
    parser.add_argument("--seed", type=int, default=None, help="of the load; the moments of death stay the machine's")
    parser.add_argument("--shortest", type=float, default=0.02, help="seconds of load in a round, at least")
    parser.add_argument("--longest", type=float, default=0.6, help="seconds of load in a round, at most")
    parser.add_argument("--keep", action="store_true", help="keep the data directory")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds_ or arguments.rounds
    return arguments


def main():
    arguments = parse()
    random.seed(arguments.seed)
    directory = tempfile.mkdtemp(prefix="tsugite-kill9-")
    recorder, server = Recorder(), Server(arguments.binary, directory)
    starts, early = [], 0
    try:
        for number in range(arguments.rounds):
            if recorder.violations:
                break
            server.start()
            if random.random() < 0.1:
                # Amid recovery, before anybody is served.
                time.sleep(random.random() * 0.05)
                server.kill()
                early += 1
                continue
            ports, took = server.wait_ready()
            starts.append(took)
            client = Client(ports)
            service = furnish(client)
            check_registry(recorder, client, service)
            load(recorder, server, ports, service, random.uniform(arguments.shortest, arguments.longest))
            if (number + 1) % 20 == 0:
                print(f"round {number + 1}: {recorder.counts}", flush=True)
        server.start()
        ports, took = server.wait_ready()
        starts.append(took)
        client = Client(ports)
        check_registry(recorder, client, furnish(client))
        lost = drain(recorder, ports)
        for queue, body in lost:
            recorder.violation(f"{queue} lost {body[:20]}, whose send was acknowledged")
        for body in recorder.published:
            if len(recorder.seen.get(body, ())) == 1:
                recorder.violation(f"{body[:20]} was published to two queues and is in {recorder.seen[body]} only")
        code = server.kill(signal.SIGTERM)
        if code != 0:
            recorder.violation(f"a clean stop ended with {code}")
        data = os.path.join(directory, "data")
        verified = subprocess.run([arguments.binary, "verify", data], capture_output=True, text=True, check=False)
        if verified.returncode != 0:
            recorder.violation(f"tsugite verify: {verified.stdout}{verified.stderr}")
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()
    starts.sort()
    print(f"{len(starts) + early} starts, {early} killed before they were ready; "
          f"ready in {starts[len(starts) // 2] * 1000:.0f} ms (median), {starts[-1] * 1000:.0f} ms (longest)")
    print(f"counts: {recorder.counts}")
    print(f"violations: {len(recorder.violations)}")
    if recorder.violations or arguments.keep:
        print(f"kept: {directory}")
    else:
        shutil.rmtree(directory)
    sys.exit(1 if recorder.violations else 0)


if __name__ == "__main__":
    main()
