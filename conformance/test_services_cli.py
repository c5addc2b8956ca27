"""`tsugite services`: what a person sees and does on the command line."""

import json
import subprocess
import threading
import time

import pytest

from process import binary


def run(tsugite, *arguments, code=0):
    """What it prints; on standard error if it fails."""
    command = [binary(), "services", *arguments, "--admin", tsugite.addresses["admin"]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == code, (command, done.stdout, done.stderr)
    return done.stdout if code == 0 else done.stderr


def test_register_show_and_remove(tsugite):
    assert run(tsugite, "register", "orders.shop", "127.0.0.1:9000", "--id", "one", "--zone", "a", "--weight", "50",
               "--protocol", "grpc", "--ttl", "1m", "--attribute", "version=2") == "created one of orders.shop, for 1m unless renewed\n"
    assert run(tsugite, "register", "orders.shop", "[::1]:9001") == "created ::1:9001 of orders.shop, until it is removed\n"
    shown = run(tsugite, "show", "orders.shop").splitlines()
    assert shown[0].startswith("orders.shop  2 instances, 2 healthy, revision "), shown
    head = next(line for line in shown if line.startswith("INSTANCE")).split()
    assert head == "INSTANCE ADDRESS PROTOCOL ZONE WEIGHT HEALTH WHY LEASE LEFT AGE".split()
    rows = {line.split()[0]: line.split() for line in shown if line.startswith(("one", "::1"))}
    assert rows["one"][:7] == ["one", "127.0.0.1:9000", "grpc", "a", "50", "healthy", "-"]
    assert rows["one"][7].endswith("s") and rows["one"][8].endswith("s"), rows
    assert rows["::1:9001"][:8] == ["::1:9001", "[::1]:9001", "-", "-", "-", "healthy", "-", "-"]
    document = json.loads(run(tsugite, "show", "orders.shop", "--json"))
    assert {i["id"] for i in document["instances"]} == {"one", "::1:9001"}

    told = run(tsugite, "rm", "orders.shop", code=1)
    assert "still has 2 instances" in told, told
    assert run(tsugite, "rm", "orders.shop", "one") == "removed one of orders.shop\n"
    assert run(tsugite, "rm", "orders.shop", "::1:9001") == "removed ::1:9001 of orders.shop\n"
    assert run(tsugite, "show", "orders.shop").startswith("orders.shop  0 instances, 0 healthy")
    assert run(tsugite, "rm", "orders.shop") == "removed orders.shop\n"
    assert "no service orders" in run(tsugite, "show", "orders.shop", code=1)
    assert "no service orders" in run(tsugite, "rm", "orders.shop", "one", code=1)


def test_lists(tsugite):
    tsugite.register("listed", "one", 1, namespace="lists")
    tsugite.register("listed", "one", 1)
    everything = run(tsugite)
    assert everything == run(tsugite, "ls")
    assert everything.splitlines()[0].split() == ["SERVICE", "NAMESPACE", "INSTANCES", "REVISION"]
    assert sum(line.startswith("listed ") for line in everything.splitlines()) == 2
    (row,) = run(tsugite, "ls", "--namespace", "LISTS").splitlines()[1:]
    assert row.split()[:3] == ["listed", "lists", "1"]
    assert "no namespace `nowhere`" in run(tsugite, "ls", "--namespace", "nowhere", code=1)
    (listed,) = json.loads(run(tsugite, "ls", "--namespace", "lists", "--json"))["services"]
    assert listed["name"] == "listed"


def test_a_large_service_is_shown_whole(tsugite):
    for number in range(1_001):
        tsugite.register("large", f"i{number:04}", 1 + number)
    shown = run(tsugite, "show", "large")
    assert shown.startswith("large.internal  1001 instances, 1001 healthy")
    assert sum(line.startswith("i") for line in shown.splitlines()) == 1_001


@pytest.mark.parametrize("arguments", [
    ["register", "orders", "nowhere"], ["register", "orders", "127.0.0.1:1", "--attribute", "x"],
    ["register", "orders", "127.0.0.1:1", "--ttl", "soon"], ["show", "a..b"], ["watch", "a", "--namespace", "b"],
])
def test_bad_usage_is_refused(tsugite, arguments):
    assert run(tsugite, *arguments, code=2)


def test_what_the_registry_refuses_is_told(tsugite):
    assert "TSUGITE_WEIGHT" in run(tsugite, "register", "orders", "127.0.0.1:1", "--weight", "1001", code=1)
    assert "protocol" in run(tsugite, "register", "orders", "127.0.0.1:1", "--protocol", "smtp", code=1)


def test_changes_of_health_are_remembered(tsugite):
    client = tsugite.client("servicediscovery")
    operation = client.create_http_namespace(Name="moods")["OperationId"]
    namespace = client.get_operation(OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]
    service = client.create_service(
        Name="moody", NamespaceId=namespace, HealthCheckCustomConfig={"FailureThreshold": 1},
    )["Service"]["Id"]
    client.register_instance(ServiceId=service, InstanceId="one", Attributes={"AWS_INSTANCE_IPV4": "127.0.0.1"})
    assert json.loads(run(tsugite, "show", "moody.moods", "--json"))["health_history"] == []
    for status in ("UNHEALTHY", "HEALTHY"):
        client.update_instance_custom_health_status(ServiceId=service, InstanceId="one", Status=status)
        run(tsugite, "show", "moody.moods")
    back, away = json.loads(run(tsugite, "show", "moody.moods", "--json"))["health_history"]
    assert (away["instance"], away["from"], away["to"]) == ("one", "healthy", "unhealthy"), away
    assert away["decided_by"] and away["at"] <= back["at"]
    assert (back["from"], back["to"], back["decided_by"]) == ("unhealthy", "healthy", None), back
    shown = run(tsugite, "show", "moody.moods").splitlines()
    assert any(line.split() == ["AT", "INSTANCE", "FROM", "TO", "WHY"] for line in shown), shown


class Watch:
    """`tsugite services watch` with the lines that it prints."""

    def __init__(self, tsugite, *arguments):
        command = [binary(), "services", "watch", *arguments, "--admin", tsugite.addresses["admin"]]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = []
        threading.Thread(target=lambda: self.lines.extend(line.rstrip("\n") for line in self.child.stdout), daemon=True).start()

    def wait_for(self, *expected, seconds=10):
        end = time.monotonic() + seconds
        while len(self.lines) < len(expected):
            assert time.monotonic() < end, self.lines
            time.sleep(0.01)
        assert self.lines[:len(expected)] == list(expected)
        del self.lines[:len(expected)]

    def stop(self):
        self.child.terminate()
        self.child.wait()


@pytest.fixture
def watch():
    running = []

    def start(*arguments):
        running.append(Watch(*arguments))
        return running[-1]

    yield start
    for one in running:
        one.stop()


def test_a_watch_prints_what_changes(tsugite, watch):
    tsugite.register("watched", "one", 1)
    seen = watch(tsugite, "watched", "later")
    seen.wait_for("watched.internal  1 instance", "watched.internal  + one  127.0.0.1:1  healthy")
    tsugite.register("watched", "two", 2)
    seen.wait_for("watched.internal  + two  127.0.0.1:2  healthy")
    tsugite.register("unwatched", "one", 1)
    tsugite.register("watched", "one", 3)
    seen.wait_for("watched.internal  ~ one  127.0.0.1:3  healthy")
    tsugite.admin("DELETE", "/v1/instances/internal/watched/two")
    seen.wait_for("watched.internal  - two")
    tsugite.register("later", "one", 9)
    seen.wait_for("later.internal  1 instance", "later.internal  + one  127.0.0.1:9  healthy")


def test_a_watch_survives_a_restart(start_tsugite, watch):
    tsugite = start_tsugite()
    tsugite.register("stays", "one", 1, ttl_ms=0)
    admin = tsugite.addresses["admin"]
    seen = watch(tsugite, "--json")
    end = time.monotonic() + 10
    while sum('"synced"' in line for line in seen.lines) < 1:
        assert time.monotonic() < end, seen.lines
        time.sleep(0.01)
    assert tsugite.stop() == 0
    tsugite.ready_file.unlink(missing_ok=True)
    tsugite.args += ["--admin", admin]
    tsugite.roles = tuple(role for role in tsugite.roles if role != "admin")
    tsugite.start()
    tsugite.register("comes", "one", 1)
    while not any('"comes"' in line for line in seen.lines):
        assert time.monotonic() < end, seen.lines
        time.sleep(0.01)
    kinds = [json.loads(line)["event"] for line in seen.lines]
    assert kinds.count("anew") == 2, kinds


def test_nobody_there(tsugite):
    command = [binary(), "services", "watch", "--admin", "127.0.0.1:1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "tsugite up" in done.stderr
