"""The load of `kill9.py`: clients that send, publish, receive, change, delete, purge, move and register, and note it."""

import contextlib
import http.client
import json
import random
import threading
import urllib.parse

INSTANCES = [f"i{n}" for n in range(6)]
ACCOUNT = "000000000000"
# Leases: some end amid the run, none outlives the patience of the end.
LEASES = [1, 2, 8]


class Gone(Exception):
    """The request got no reply: what it did is unknown."""


class Refused(Exception):
    """The request got an error as its reply."""

    def __init__(self, text, code):
        super().__init__(text)
        self.code = code


class Client:
    """One keep-alive connection to each port."""

    def __init__(self, ports):
        self.ports = ports
        self.connections = {}

    def call(self, door, method, path, body, headers):
        try:
            connection = self.connections.get(door)
            if connection is None:
                host, port = self.ports[door].rsplit(":", 1)
                connection = self.connections[door] = http.client.HTTPConnection(host, int(port), timeout=30)
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            content = reply.read()
        except (OSError, http.client.HTTPException) as error:
            self.connections.pop(door, None)
            raise Gone(str(error)) from error
        if reply.status >= 300:
            code = reply.headers.get("x-amzn-query-error", str(reply.status)).split(";")[0]
            raise Refused(f"{method} {path} {body!r}: {reply.status} {content[:300]!r}", code)
        return content

    def json(self, target, body):
        headers = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": target}
        return json.loads(self.call("aws", "POST", "/", json.dumps(body), headers) or b"{}")

    def sqs(self, action, queue=None, **body):
        if queue is not None:
            body["QueueUrl"] = f"http://{self.ports['aws']}/{ACCOUNT}/{queue}"
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


class Queues:
    """The queues of one history. Each has the history's number in its name."""

    def __init__(self, number):
        name = lambda plain: plain.replace("*", str(number))
        self.orders, self.orders_dead, self.scratch = name("orders-*"), name("orders-*-dead"), name("scratch-*")
        self.mails = [name("mail-*-a"), name("mail-*-b")]
        self.ledger, self.ledger_dead, self.turns = name("ledger-*.fifo"), name("ledger-*-dead.fifo"), name("turns-*.fifo")
        self.topic_name = name("mail-*")
        self.topic = f"arn:aws:sns:us-east-1:{ACCOUNT}:{self.topic_name}"
        # Settings as the history has them. Sources of dead letters come before their targets.
        self.all = {
            self.orders: {"dead_letters": self.orders_dead, "max_receives": 3}, self.scratch: {},
            self.mails[0]: {}, self.mails[1]: {},
            self.ledger: {"fifo": True, "dead_letters": self.ledger_dead, "max_receives": 3},
            self.turns: {"fifo": True, "dedup_by_group": True},
            self.orders_dead: {}, self.ledger_dead: {"fifo": True},
        }
        self.dead = {self.orders_dead: self.orders, self.ledger_dead: self.ledger}

    def fifo(self, queue):
        return self.all[queue].get("fifo", False)

    def furnish(self, client):
        """Creates what is absent, as a deployment does at each start."""
        for queue, settings in reversed(self.all.items()):
            attributes = {}
            if settings.get("fifo"):
                attributes["FifoQueue"] = "true"
            if settings.get("dedup_by_group"):
                attributes |= {"DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId"}
            if target := settings.get("dead_letters"):
                attributes["RedrivePolicy"] = json.dumps(
                    {"deadLetterTargetArn": arn(target), "maxReceiveCount": settings["max_receives"]})
            client.sqs("CreateQueue", QueueName=queue, Attributes=attributes)
        client.sns("CreateTopic", Name=self.topic_name)
        for queue in self.mails:
            client.sns("Subscribe", TopicArn=self.topic, Protocol="sqs", Endpoint=arn(queue),
                       **{"Attributes.entry.1.key": "RawMessageDelivery", "Attributes.entry.1.value": "true"})

    def remove(self, client):
        client.sns("DeleteTopic", TopicArn=self.topic)
        for queue in self.all:
            client.sqs("DeleteQueue", queue)


def arn(queue):
    return f"arn:aws:sqs:us-east-1:{ACCOUNT}:{queue}"


class Load:
    """What the clients of one history share: its queues, its file, and what they have to do again."""

    def __init__(self, queues, history):
        self.queues, self.history = queues, history
        self.lock = threading.Lock()
        self.number = 0
        self.round = 0
        # Sends to FIFO queues and receive attempts whose reply never came: a client does them again, under their ids.
        self.again = []
        self.attempts = []
        self.counts = dict.fromkeys(["sent", "repeated", "published", "received", "changed", "deleted", "purged",
                                     "moved", "registered", "unknown", "refused"], 0)

    def count(self, what, by=1):
        with self.lock:
            self.counts[what] += by

    def next(self):
        with self.lock:
            self.number += 1
            return self.number

    def text(self):
        return f"m{self.next()}-" + "x" * random.choice([0, 10, 200, 3000])

    @contextlib.contextmanager
    def asking(self, kind, *, allowed=(), **call):
        """Notes a call: the body of the `with` makes it and hands its reply to the function that it is given."""
        op, told = self.history.ask(kind, **call), []
        try:
            yield told.append
        except Gone:
            raise
        except Refused as error:
            self.history.refused(op)
            if error.code not in allowed:
                raise
            self.count("refused")
            return
        self.history.done(op, *told)


def sender(load, client):
    """Sends to queues of both kinds, alone and in batches of which an entry may be refused."""
    queues = load.queues
    queue = random.choice([queues.orders, queues.scratch, queues.ledger, queues.ledger, queues.turns])
    fifo = queues.fifo(queue)
    with load.lock:
        entries = load.again.pop() if fifo and load.again else None
    repeats = entries is not None
    if repeats:
        queue, entries = entries
    else:
        entries = []
        for n in range(random.choice([1, 1, 1, 10])):
            entry = {"entry": str(n), "body": load.text()}
            if fifo:
                # Groups come and go, so that each stays small enough to be judged.
                entry |= {"group": f"g{load.round // 5}-{random.randrange(4)}", "dedup": f"d{load.next()}"}
            elif random.random() < 0.1:
                entry["delay"] = 1000
            entries.append(entry)
        if len(entries) > 1 and random.random() < 0.1:
            entries[3]["body"] += "\x00"
    try:
        send(load, client, queue, entries)
    except Gone:
        if fifo:
            with load.lock:
                load.again.append((queue, entries))
        raise
    load.count("repeated" if repeats else "sent", len(entries))
    if fifo and random.random() < 0.1:
        with load.lock:
            load.again.append((queue, entries))


def send(load, client, queue, entries):
    wire = []
    for entry in entries:
        names = {"body": "MessageBody", "group": "MessageGroupId", "dedup": "MessageDeduplicationId"}
        one = {name: entry[key] for key, name in names.items() if key in entry}
        wire.append(one | ({"DelaySeconds": entry["delay"] // 1000} if "delay" in entry else {}))
    told = lambda entry, sent: {"entry": entry, "id": sent["MessageId"],
                                "seq": int(sent["SequenceNumber"]) if "SequenceNumber" in sent else None}
    with load.asking("send", queue=queue, entries=entries) as reply:
        if len(entries) == 1:
            reply({"sent": [told(entries[0]["entry"], client.sqs("SendMessage", queue, **wire[0]))]})
        else:
            batch = [{"Id": entry["entry"]} | one for entry, one in zip(entries, wire)]
            answer = client.sqs("SendMessageBatch", queue, Entries=batch)
            reply({"sent": [told(sent["Id"], sent) for sent in answer.get("Successful", [])]
                   + [{"entry": failed["Id"]} for failed in answer.get("Failed", [])]})


def publisher(load, client):
    body = load.text()
    with load.asking("publish", queues=load.queues.mails, body=body):
        client.sns("Publish", TopicArn=load.queues.topic, Message=body)
    load.count("published")


def receive(load, client, queue, seconds, attempt=None, most=10, wait=0):
    call = {"queue": queue, "max": most, "visibility": seconds * 1000}
    more = {}
    if attempt:
        call["attempt"] = more["ReceiveRequestAttemptId"] = attempt
    messages = []
    with load.asking("receive", **call) as reply:
        answer = client.sqs("ReceiveMessage", queue, MaxNumberOfMessages=most, VisibilityTimeout=seconds,
                            WaitTimeSeconds=wait, MessageSystemAttributeNames=["All"], **more)
        messages = answer.get("Messages", [])
        reply({"received": [told_of(message) for message in messages]})
    load.count("received", len(messages))
    return messages


def told_of(message):
    facts = message["Attributes"]
    told = {"id": message["MessageId"], "body": message["Body"], "handle": message["ReceiptHandle"],
            "count": int(facts["ApproximateReceiveCount"])}
    if "MessageGroupId" in facts:
        told["group"] = facts["MessageGroupId"]
    if "SequenceNumber" in facts:
        told["seq"] = int(facts["SequenceNumber"])
    if "DeadLetterQueueSourceArn" in facts:
        told["source"] = facts["DeadLetterQueueSourceArn"].rsplit(":", 1)[1]
    return told


def each(answer):
    """Of a batch: entry ids, and whether each was done."""
    return {"each": [[entry["Id"], True] for entry in answer.get("Successful", [])]
            + [[entry["Id"], False] for entry in answer.get("Failed", [])]}


def delete(load, client, queue, messages):
    handles = [message["ReceiptHandle"] for message in messages]
    # A handle whose time is over deletes nothing in a FIFO queue.
    allowed = ["InvalidParameterValue"] if load.queues.fifo(queue) else []
    with load.asking("delete", queue=queue, handles=handles, allowed=allowed) as reply:
        if len(handles) == 1:
            client.sqs("DeleteMessage", queue, ReceiptHandle=handles[0])
        else:
            entries = [{"Id": str(n), "ReceiptHandle": handle} for n, handle in enumerate(handles)]
            reply(each(client.sqs("DeleteMessageBatch", queue, Entries=entries)))
    load.count("deleted", len(handles))


def change(load, client, queue, messages):
    entries = [[message["ReceiptHandle"], random.choice([0, *LEASES]) * 1000] for message in messages]
    # Somebody else may have deleted it, or its time is over.
    with load.asking("change", queue=queue, entries=entries, allowed=["InvalidParameterValue"]) as reply:
        if len(entries) == 1:
            client.sqs("ChangeMessageVisibility", queue, ReceiptHandle=entries[0][0],
                       VisibilityTimeout=entries[0][1] // 1000)
        else:
            batch = [{"Id": str(n), "ReceiptHandle": handle, "VisibilityTimeout": millis // 1000}
                     for n, (handle, millis) in enumerate(entries)]
            reply(each(client.sqs("ChangeMessageVisibilityBatch", queue, Entries=batch)))
    load.count("changed", len(entries))


def consumer(load, client):
    queue = random.choice(list(load.queues.all))
    attempt, seconds, most = None, random.choice(LEASES), random.choice([1, 3, 10, 10])
    if load.queues.fifo(queue) and random.random() < 0.3:
        with load.lock:
            queue, attempt, seconds, most = (load.attempts.pop() if load.attempts else
                                             (queue, f"a{load.number}-{random.random()}", seconds, most))
    try:
        messages = receive(load, client, queue, seconds, attempt, most, int(random.random() < 0.05))
    except Gone:
        if attempt:
            with load.lock:
                load.attempts.append((queue, attempt, seconds, most))
        raise
    if attempt and random.random() < 0.3:
        again = receive(load, client, queue, seconds, attempt, most)
        messages = again or messages
    random.shuffle(messages)
    keep = random.randrange(4)
    if messages[:keep] and random.random() < 0.5:
        change(load, client, queue, messages[:keep])
    if messages[keep:]:
        delete(load, client, queue, messages[keep:])


def purger(load, client):
    """Seldom: what is purged tells little else."""
    if random.random() < 0.02:
        queue = random.choice([load.queues.scratch, load.queues.turns])
        with load.asking("purge", queue=queue):
            client.sqs("PurgeQueue", queue)
        load.count("purged")
    elif random.random() < 0.02:
        source = random.choice(list(load.queues.dead))
        target = random.choice([None, load.queues.dead[source]])
        call, more = {"source": source}, {}
        if target:
            call["target"], more["DestinationArn"] = target, arn(target)
        # One task at a time may run for a source.
        with load.asking("move", **call, allowed=["InvalidParameterValue"]):
            client.sqs("StartMessageMoveTask", SourceArn=arn(source), **more)
        load.count("moved")
    else:
        consumer(load, client)


class Registry:
    """Instances and the versions that they may be in: the registry's part of the promises."""

    def __init__(self):
        self.lock = threading.Lock()
        self.number = 0
        # (kind, instance) -> versions that it may have; None is absent. The first is the acknowledged one.
        self.versions = {}
        self.violations = []

    def furnish(self, client):
        names = {n["Name"]: n["Id"] for n in client.cloudmap("ListNamespaces")["Namespaces"]}
        if "shop" not in names:
            client.cloudmap("CreateHttpNamespace", Name="shop")
            names = {n["Name"]: n["Id"] for n in client.cloudmap("ListNamespaces")["Namespaces"]}
        services = {s["Name"]: s["Id"] for s in client.cloudmap("ListServices")["Services"]}
        if "till" not in services:
            services["till"] = client.cloudmap(
                "CreateService", Name="till", NamespaceId=names["shop"])["Service"]["Id"]
        self.service = services["till"]

    def registrar(self, kind):
        """One thread for each kind, so that an instance has one writer and its requests have an order."""

        def work(load, client):
            instance = random.choice(INSTANCES)
            key = (kind, instance)
            with self.lock:
                remove = random.random() < 0.25 and self.versions.get(key, [None]) != [None]
                self.number += 1
                version = None if remove else str(self.number)
                self.versions.setdefault(key, [None]).append(version)
            self.put(client, kind, instance, version)
            with self.lock:
                self.versions[key] = [version]
            load.count("registered")

        return work

    def put(self, client, kind, instance, version):
        path = f"/v1/instances/internal/kitchen/{instance}"
        if kind == "admin" and version is None:
            client.admin("DELETE", path)
        elif kind == "admin":
            client.admin("PUT", path, {"address": "127.0.0.1", "port": 9, "ttl_ms": 0,
                                       "attributes": {"version": version}})
        elif version is None:
            client.cloudmap("DeregisterInstance", ServiceId=self.service, InstanceId=instance)
        else:
            client.cloudmap("RegisterInstance", ServiceId=self.service, InstanceId=instance,
                            CreatorRequestId=version, Attributes={"version": version})

    def check(self, client):
        """Holds every instance against the notes."""
        try:
            listed = client.admin("GET", "/v1/services/internal/kitchen")["instances"]
        except Refused as error:
            if error.code != "404":
                raise
            listed = []
        found = {("admin", instance["id"]): instance["attributes"].get("version") for instance in listed}
        listed = client.cloudmap("ListInstances", ServiceId=self.service)["Instances"]
        found |= {("cloudmap", instance["Id"]): instance["Attributes"].get("version") for instance in listed}
        for key in [(kind, instance) for kind in ("admin", "cloudmap") for instance in INSTANCES]:
            possible, version = self.versions.setdefault(key, [None]), found.get(key)
            if version not in possible:
                self.violations.append(f"instance {key} is in version {version}, possible are {possible}")
            self.versions[key] = [version]
