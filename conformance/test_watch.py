"""Watches of services: blocking queries, server-sent events and a gRPC stream, with clients that are not ours."""

import http.client
import json
import subprocess
import sys
import threading
import time

import grpc
import pytest

from process import ROOT


@pytest.fixture(scope="module")
def watch_pb2(tmp_path_factory):
    """The messages of examples/proto/watch.proto, as protoc makes them."""
    from grpc_tools import protoc

    out = tmp_path_factory.mktemp("proto")
    proto = ROOT / "examples/proto"
    assert protoc.main(["protoc", f"-I{proto}", f"--python_out={out}", str(proto / "watch.proto")]) == 0
    sys.path.insert(0, str(out))
    import watch_pb2 as messages

    return messages


def instances(tsugite, service, query="", namespace="internal"):
    """(status, index, document) of the instances of a service."""
    connection = http.client.HTTPConnection(*tsugite.address("admin"), timeout=20)
    connection.request("GET", f"/v1/services/{namespace}/{service}/instances{query}")
    answer = connection.getresponse()
    document = json.loads(answer.read())
    connection.close()
    return answer.status, int(answer.headers["tsugite-index"]), document


def later(function, *arguments):
    """Runs it beside; `result()` waits for what it returned."""
    box = []
    thread = threading.Thread(target=lambda: box.append(function(*arguments)), daemon=True)
    thread.start()

    def result(seconds=10):
        thread.join(seconds)
        assert box, "it still waits"
        return box[0]

    result.waits = thread.is_alive
    return result


class Events:
    """A stream of server-sent events, read by curl."""

    def __init__(self, tsugite, query="", last=None):
        command = ["curl", "-sN", "--max-time", "30", tsugite.url("admin", f"/v1/watch{query}")]
        if last is not None:
            command += ["-H", f"Last-Event-ID: {last}"]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.events = []
        self.changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        event = {}
        for line in self.child.stdout:
            key, _, value = line.rstrip("\n").partition(": ")
            if key in ("id", "event", "data"):
                event[key] = json.loads(value) if key == "data" else value
            elif not line.strip() and event:
                with self.changed:
                    self.events.append(event)
                    self.changed.notify_all()
                event = {}
        with self.changed:
            self.events.append(None)
            self.changed.notify_all()

    def take(self, kind, seconds=10):
        """The next event, which must be of that kind."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.events, seconds), f"no {kind}"
            event = self.events.pop(0)
        assert event and event["event"] == kind, (kind, event)
        return event

    def take_all(self, seconds=10):
        """Events up to the next `synced`."""
        taken = []
        while not taken or taken[-1]["event"] != "synced":
            with self.changed:
                assert self.changed.wait_for(lambda: self.events, seconds), taken
                taken.append(self.events.pop(0))
            assert taken[-1], taken
        return taken

    def is_silent(self, seconds=0.5):
        with self.changed:
            return not self.changed.wait_for(lambda: self.events, seconds)

    def ended(self, seconds=10):
        with self.changed:
            return self.changed.wait_for(lambda: self.events and self.events[-1] is None, seconds)

    def close(self):
        self.child.kill()
        self.child.wait()


@pytest.fixture
def events(tsugite):
    opened = []

    def open_one(query="", last=None, of=tsugite):
        opened.append(Events(of, query, last))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def health(instance):
    """The verdict, which may stand beside its reasons."""
    told = instance["health"]
    return told if isinstance(told, str) else told["status"]


def ids(event):
    return [(i["id"], i["port"], health(i)) for i in event["data"]["instances"]]


def wakeups(tsugite):
    line = next(l for l in tsugite.metrics().splitlines() if l.startswith("tsugite_watch_wakeups_total "))
    return float(line.split()[1])


# Blocking queries


def test_a_blocking_query_answers_when_the_service_changes(tsugite):
    tsugite.register("blocking", "one", 1)
    status, index, document = instances(tsugite, "blocking")
    assert (status, document["index"], document["count"]) == (200, index, 1)
    waiting = later(instances, tsugite, "blocking", f"?index={index}&wait=10s")
    tsugite.register("blocking-elsewhere", "one", 1)
    tsugite.register("blocking", "one", 1)  # a renewal
    time.sleep(0.3)
    assert waiting.waits(), "what changes nothing wakes nobody"
    begin = time.monotonic()
    tsugite.register("blocking", "two", 2)
    status, then, document = waiting()
    assert time.monotonic() - begin < 1
    assert (status, [i["id"] for i in document["instances"]]) == (200, ["one", "two"])
    assert then > index
    # What has changed already is answered at once, and so is an index of another life.
    for old in (index, 0, then + 1, 1):
        assert instances(tsugite, "blocking", f"?index={old}&wait=10m")[1] == then


def test_a_blocking_query_ends_with_its_time(tsugite):
    tsugite.register("patient", "one", 1)
    _, index, _ = instances(tsugite, "patient")
    begin = time.monotonic()
    status, then, _ = instances(tsugite, "patient", f"?index={index}&wait=600ms")
    took = time.monotonic() - begin
    assert (status, then) == (200, index)
    assert 0.6 <= took < 2, took


def test_a_service_is_awaited_and_its_end_is_told(tsugite):
    status, index, problem = instances(tsugite, "to-come")
    assert (status, index, problem["type"]) == (404, 0, "urn:tsugite:problem:not-found")
    assert instances(tsugite, "to-come", "?index=0&wait=200ms")[0] == 404
    waiting = later(instances, tsugite, "to-come", "?index=0&wait=10s")
    time.sleep(0.1)
    tsugite.register("to-come", "one", 1)
    status, index, _ = waiting()
    assert status == 200 and index > 0
    waiting = later(instances, tsugite, "to-come", f"?index={index}&wait=10s")
    time.sleep(0.1)
    assert tsugite.admin("DELETE", "/v1/instances/internal/to-come/one")[0] == 200
    status, index, document = waiting()
    assert (status, document["instances"]) == (200, [])
    waiting = later(instances, tsugite, "to-come", f"?index={index}&wait=10s")
    time.sleep(0.1)
    assert tsugite.admin("DELETE", "/v1/services/internal/to-come")[0] == 200
    assert waiting()[:2] == (404, 0)


def test_a_lease_that_ends_wakes_the_watcher(tsugite):
    tsugite.register("mortal", "one", 1, ttl_ms=600)
    _, index, _ = instances(tsugite, "mortal")
    seen = []
    while not seen or seen[-1]:
        _, index, document = instances(tsugite, "mortal", f"?index={index}&wait=10s")
        seen.append([health(i) for i in document["instances"]])
        assert len(seen) < 10
    assert seen[-1] == []


@pytest.mark.parametrize("query, word", [
    ("?index=x", "index"), ("?index=-1", "index"), ("?wait=5m", "index"), ("?index=1&wait=11m", "10m"),
    ("?index=1&wait=soon", "wait"), ("?limit=0", "limit"), ("?limit=1001", "limit"), ("?colour=red", "colour"),
])
def test_bad_queries_are_refused(tsugite, query, word):
    tsugite.register("refuser", "one", 1)
    status, problem = tsugite.admin("GET", f"/v1/services/internal/refuser/instances{query}")
    assert status == 400 and word in problem["detail"], problem


def test_a_long_list_comes_in_pages(tsugite):
    for number in range(25):
        tsugite.register("pages", f"i{number:02}", 1 + number)
    path, seen = "/v1/services/internal/pages/instances?limit=10", []
    while path:
        status, page = tsugite.admin("GET", path)
        assert status == 200 and page["count"] == 25
        seen += [i["id"] for i in page["instances"]]
        path = page["_links"].get("next", {}).get("href")
        path = path and f"{path}&limit=10"
    assert seen == [f"i{number:02}" for number in range(25)]


# Server-sent events


def test_events_tell_how_it_is_and_what_changes(tsugite, events):
    tsugite.register("orders", "one", 1, namespace="shop")
    stream = events("?service=shop/orders&service=carts.shop")
    stream.take("anew")
    first = stream.take("service")
    assert (first["data"]["service"], ids(first)) == ("orders", [("one", 1, "healthy")])
    stream.take("synced")
    tsugite.register("other", "one", 1, namespace="shop")
    assert stream.is_silent()
    tsugite.register("carts", "one", 3, namespace="shop")
    assert ids(stream.take("service")) == [("one", 3, "healthy")]
    stream.take("synced")
    tsugite.admin("DELETE", "/v1/instances/shop/carts/one")
    assert ids(stream.take("service")) == []
    stream.take("synced")
    assert tsugite.admin("DELETE", "/v1/services/shop/carts")[0] == 200
    assert stream.take("removed")["data"]["service"] == "carts"
    assert int(stream.take("synced")["id"]) > int(first["id"])


def test_events_go_on_from_the_last_one(tsugite, events):
    tsugite.register("resumed", "one", 1, namespace="resume")
    stream = events("?namespace=RESUME")
    *_, synced = stream.take_all()
    stream.close()
    tsugite.register("resumed", "two", 2, namespace="resume")
    tsugite.register("short", "one", 2, namespace="resume")
    tsugite.admin("DELETE", "/v1/instances/resume/short/one")
    assert tsugite.admin("DELETE", "/v1/services/resume/short")[0] == 200
    again = events("?namespace=resume", last=synced["id"]).take_all()
    assert [e["event"] for e in again] == ["service", "removed", "synced"], again
    assert [i for i, *_ in ids(again[0])] == ["one", "two"]
    # Nothing was missed: only that is said.
    stream = events("?namespace=resume", last=again[-1]["id"])
    assert stream.take("synced")["id"] == again[-1]["id"]
    assert stream.is_silent()
    # Nobody knows that index any more.
    assert events("?namespace=resume", last=7).take_all()[0]["event"] == "anew"


def test_everything_can_be_watched_in_portions(tsugite, events):
    for number in range(60):
        tsugite.register(f"s{number:02}", "one", 1, namespace="many")
    told = events().take_all()
    of_many = [e["data"]["service"] for e in told if e["event"] == "service" and e["data"]["namespace"] == "many"]
    assert sorted(of_many) == [f"s{number:02}" for number in range(60)]
    indices = [int(e["id"]) for e in told if "id" in e]
    assert indices == sorted(indices)


@pytest.mark.parametrize("query", [
    "?service=", "?service=a&namespace=b", "?namespace=a&namespace=b", "?service=%20", "?index=x", "?color=red",
    "?" + "&".join(f"service=s{n}" for n in range(65)),
])
def test_bad_watches_are_refused(tsugite, query):
    assert tsugite.admin("GET", f"/v1/watch{query}")[0] == 400


def test_a_restart_tells_everything_anew(start_tsugite, events):
    tsugite = start_tsugite()
    tsugite.register("stays", "one", 1, ttl_ms=0)
    stream = events("?service=stays", of=tsugite)
    *_, synced = stream.take_all()
    _, index, _ = instances(tsugite, "stays")
    tsugite.restart()
    assert stream.ended(), "a stop ends the streams"
    told = events("?service=stays", last=synced["id"], of=tsugite).take_all()
    assert [e["event"] for e in told] == ["anew", "service", "synced"]
    assert int(told[-1]["id"]) > int(synced["id"])
    assert instances(tsugite, "stays", f"?index={index}&wait=10m")[1] > index


def test_all_services_are_told_once_after_a_restart(start_tsugite, events):
    """More than are told at once: each portion goes on where the one before it ended."""
    tsugite = start_tsugite()
    names = [f"many-{number:03}" for number in range(200)]
    for number, service in enumerate(names):
        tsugite.register(service, "one", 1 + number, ttl_ms=0)
    tsugite.restart()
    told = events("", of=tsugite).take_all()
    assert [e["event"] for e in told] == ["anew", *["service"] * 200, "synced"]
    assert sorted(e["data"]["service"] for e in told[1:-1]) == names
    status, groups = tsugite.admin("GET", "/v1/http_sd")
    assert (status, len(groups)) == (200, 200)


def test_changes_elsewhere_wake_nobody(tsugite, events):
    tsugite.register("quiet", "one", 1, namespace="still")
    streams = [events("?service=still/quiet"), events("?namespace=still")]
    for stream in streams:
        stream.take_all()
    _, index, _ = instances(tsugite, "quiet", namespace="still")
    waiting = [later(instances, tsugite, "quiet", f"?index={index}&wait=20s", "still") for _ in range(5)]
    time.sleep(0.3)
    before = wakeups(tsugite)
    connection = http.client.HTTPConnection(*tsugite.address("admin"), timeout=20)
    for number in range(500):
        path = f"/v1/instances/internal/busy-{number % 10}/one"
        connection.request("PUT", path, json.dumps({"address": "127.0.0.1", "port": 1 + number}))
        connection.getresponse().read()
    assert wakeups(tsugite) == before
    tsugite.register("quiet", "two", 2, namespace="still")
    assert all(one()[1] > index for one in waiting)
    for stream in streams:
        assert len(ids(stream.take("service"))) == 2
    assert wakeups(tsugite) == before + 7


def test_watches_are_bounded(start_tsugite, events):
    tsugite = start_tsugite(config="registry: {max_watchers: 2}\n")
    tsugite.register("full", "one", 1)
    first, second = events("?service=full", of=tsugite), events(of=tsugite)
    first.take_all(), second.take_all()
    status, problem = tsugite.admin("GET", "/v1/watch")
    assert (status, problem["type"]) == (503, "urn:tsugite:problem:too-many-watches")
    assert "max_watchers" in problem["detail"]
    _, index, _ = instances(tsugite, "full")
    assert tsugite.admin("GET", f"/v1/services/internal/full/instances?index={index}")[0] == 503
    # What need not wait needs no place, and who leaves gives his back.
    assert instances(tsugite, "full", "?index=1")[0] == 200
    first.close()
    end = time.monotonic() + 5
    while instances_or_status(tsugite, index) != 200:
        assert time.monotonic() < end
        time.sleep(0.02)


def instances_or_status(tsugite, index):
    return tsugite.admin("GET", f"/v1/services/internal/full/instances?index={index}&wait=1ms")[0]


def test_who_does_not_read_costs_no_more_than_one_answer(tsugite, events):
    import socket

    for number in range(200):
        tsugite.register("wide", f"i{number:03}", 1 + number, attributes={"filler": "x" * 900})
    lazy = socket.create_connection(tsugite.address("admin"))
    lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    lazy.sendall(b"GET /v1/watch?service=wide HTTP/1.1\r\nHost: localhost\r\n\r\n")
    eager = events("?service=wide")
    eager.take_all()
    before = tsugite.rss_bytes()
    for number in range(300):
        tsugite.register("wide", "i000", 1000 + number, attributes={"filler": "x" * 900})
    deadline = time.monotonic() + 10
    while not any(port == 1299 for _, port, _ in ids(eager.take_all()[0])):
        assert time.monotonic() < deadline
    # 300 answers of 250 KB would be 75 MB.
    assert tsugite.rss_bytes() - before < 30_000_000
    lazy.close()


# gRPC


def grpc_watch(tsugite, watch_pb2, request, metadata=None, timeout=20):
    channel = grpc.insecure_channel(tsugite.addresses["admin"])
    call = channel.unary_stream(
        "/tsugite.registry.v1.Watch/Watch",
        request_serializer=watch_pb2.WatchRequest.SerializeToString,
        response_deserializer=watch_pb2.WatchResponse.FromString,
    )
    return channel, call(request, metadata=metadata, timeout=timeout)


def until_synced(stream):
    told = []
    while not told or told[-1].WhichOneof("told") != "synced":
        told.append(next(stream))
    return told


def test_a_grpc_stream_tells_and_resumes(tsugite, watch_pb2):
    tsugite.register("menu", "one", 50051, namespace="grpc", protocol="grpc", attributes={"color": "blue"})
    name = watch_pb2.ServiceName(namespace="grpc", service="menu")
    channel, stream = grpc_watch(tsugite, watch_pb2, watch_pb2.WatchRequest(services=[name]))
    told = until_synced(stream)
    assert [t.WhichOneof("told") for t in told] == ["anew", "service", "synced"]
    service = told[1].service
    (instance,) = service.instances
    assert (service.name, service.count) == (name, 1)
    assert (instance.id, instance.address, instance.port, instance.protocol) == ("one", "127.0.0.1", 50051, "grpc")
    assert instance.health == watch_pb2.HEALTHY and instance.attributes["color"] == "blue"
    tsugite.register("menu", "two", 50052, namespace="grpc")
    told = until_synced(stream)
    assert [i.id for i in told[0].service.instances] == ["one", "two"]
    channel.close()

    tsugite.admin("DELETE", "/v1/instances/grpc/menu/one")
    request = watch_pb2.WatchRequest(namespace="grpc", index=told[-1].index)
    channel, stream = grpc_watch(tsugite, watch_pb2, request)
    told = until_synced(stream)
    assert [t.WhichOneof("told") for t in told] == ["service", "synced"]
    assert [i.id for i in told[0].service.instances] == ["two"]
    tsugite.admin("DELETE", "/v1/instances/grpc/menu/two")
    until_synced(stream)
    assert tsugite.admin("DELETE", "/v1/services/grpc/menu")[0] == 200
    assert until_synced(stream)[0].removed == name
    channel.close()


def test_grpc_refusals_have_a_status(tsugite, watch_pb2):
    name = watch_pb2.ServiceName(namespace="a", service="b")
    for request, code in [
        (watch_pb2.WatchRequest(services=[name], namespace="a"), grpc.StatusCode.INVALID_ARGUMENT),
        (watch_pb2.WatchRequest(services=[name] * 65), grpc.StatusCode.INVALID_ARGUMENT),
    ]:
        channel, stream = grpc_watch(tsugite, watch_pb2, request)
        with pytest.raises(grpc.RpcError) as refused:
            next(stream)
        assert refused.value.code() == code and refused.value.details()
        channel.close()
    channel = grpc.insecure_channel(tsugite.addresses["admin"])
    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/tsugite.registry.v1.Watch/Fly")(b"", timeout=10)
    assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED
    channel.close()


def test_grpc_needs_the_token(start_tsugite, watch_pb2):
    tsugite = start_tsugite(env={"TSUGITE_ADMIN_TOKEN": "0123456789abcdef"})
    request = watch_pb2.WatchRequest()
    channel, stream = grpc_watch(tsugite, watch_pb2, request)
    with pytest.raises(grpc.RpcError) as refused:
        next(stream)
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    channel.close()
    metadata = [("authorization", "Bearer 0123456789abcdef")]
    channel, stream = grpc_watch(tsugite, watch_pb2, request, metadata)
    assert until_synced(stream)[0].WhichOneof("told") == "anew"
    channel.close()


def test_a_stop_ends_grpc_streams_as_unavailable(start_tsugite, watch_pb2):
    tsugite = start_tsugite()
    channel, stream = grpc_watch(tsugite, watch_pb2, watch_pb2.WatchRequest())
    until_synced(stream)
    begin = time.monotonic()
    assert tsugite.stop() == 0
    assert time.monotonic() - begin < 5, "the streams held the stop up"
    with pytest.raises(grpc.RpcError) as ended:
        next(stream)
    assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
    channel.close()


def test_the_admin_api_speaks_http2_too(tsugite):
    tsugite.register("h2", "one", 1)
    command = ["curl", "-sS", "--http2-prior-knowledge", "-w", "\n%{http_version}", tsugite.url("admin", "/v1/services/internal/h2")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    body, version = done.stdout.rsplit("\n", 1)
    assert version == "2" and json.loads(body)["name"] == "h2", done


# Prometheus


def test_http_sd_lists_targets(tsugite):
    tsugite.register("scraped", "one", 9100, namespace="prom", attributes={"TSUGITE_ZONE": "a", "app.version": "1"})
    tsugite.register("scraped", "six", 9101, namespace="prom", address="::1")
    tsugite.register("other", "one", 9102, namespace="prom")
    command = ["curl", "-sS", "-D-", tsugite.url("admin", "/v1/http_sd?service=prom/scraped")]
    head, body = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.split("\n\n", 1)
    assert "content-type: application/json" in head.lower()
    groups = sorted(json.loads(body), key=lambda group: group["targets"])
    assert [group["targets"] for group in groups] == [["127.0.0.1:9100"], ["[::1]:9101"]]
    labels = groups[0]["labels"]
    assert labels["__meta_tsugite_namespace"] == "prom" and labels["__meta_tsugite_service"] == "scraped"
    assert labels["__meta_tsugite_health"] == "healthy" and labels["__meta_tsugite_zone"] == "a"
    assert labels["__meta_tsugite_attribute_app_version"] == "1"
    assert all(isinstance(value, str) for group in groups for value in group["labels"].values())
    status, groups = tsugite.admin("GET", "/v1/http_sd?namespace=prom")
    assert status == 200 and len(groups) == 3
    assert tsugite.admin("GET", "/v1/http_sd?namespace=nowhere") == (200, [])
