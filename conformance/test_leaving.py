"""Leaving without a lost request, and health that is true: real programs that are restarted, killed and silenced."""

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid

import pytest

from process import binary

INSTANCE = str(pathlib.Path(__file__).with_name("instance.py"))
FLEET = 10
# The goal says ten; that takes a minute.
ROUNDS = int(os.environ.get("TSUGITE_ROLLING_RESTARTS", "1"))


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Program:
    """`tsugite register -- instance.py …`."""

    def __init__(self, tsugite, service, ident, *options, port=None, delay_ms=2, command=None):
        self.port = port or free_port()
        self.ident = ident
        run = command or [sys.executable, INSTANCE, str(self.port), ident, str(delay_ms)]
        self.child = subprocess.Popen(
            [binary(), "register", "--admin", tsugite.addresses["admin"], "--service", service, "--id", ident,
             "--port", str(self.port), *options, "--", *run],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def stop(self, timeout=40):
        """SIGTERM; the exit code."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        return self.child.wait(timeout)

    def program_pid(self):
        """The program itself, below its keeper."""
        children = pathlib.Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()
        return int(children[0])

    def end(self):
        if self.child.poll() is None:
            for pid in (*(int(p) for p in self._children()), self.child.pid):
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.child.wait(10)
        self.child.stderr.close()

    def _children(self):
        return pathlib.Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children").read_text().split()


@pytest.fixture
def programs():
    """Programs to be cleaned up."""
    started = []
    yield started
    for one in started:
        one.end()


@pytest.fixture
def servers():
    """Instances that register by nobody's hand: plain processes to be cleaned up."""
    started = []

    def start(ident, delay_ms=0):
        port = free_port()
        child = subprocess.Popen([sys.executable, INSTANCE, str(port), ident, str(delay_ms)])
        started.append(child)
        until(lambda: listens(port))
        return port, child

    yield start
    for child in started:
        child.kill()
        child.wait(10)


@pytest.fixture
def name():
    return f"s{uuid.uuid4().hex[:8]}"


def instances(tsugite, service, namespace="internal"):
    status, answer = tsugite.admin("GET", f"/v1/services/{namespace}/{service}")
    return {one["id"]: one for one in answer["instances"]} if status == 200 else {}


def until(look, timeout=10.0, what="it never came to be"):
    """Waits until `look()` is true; answers the seconds that took."""
    begin = time.monotonic()
    while not look():
        assert time.monotonic() - begin < timeout, what
        time.sleep(0.01)
    return time.monotonic() - begin


def offered(tsugite, service):
    """Whether the gateway knows the service: a moment after it is acknowledged."""
    return tsugite.admin("GET", f"/v1/circuits/{service}.internal")[0] == 200


def listens(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Load:
    """wrk against the gateway until it is told to stop."""

    def __init__(self, tsugite, service, connections=16):
        self.wrk = subprocess.Popen(
            ["wrk", "-t1", f"-c{connections}", "-d600", "--timeout", "10s", tsugite.url("gateway", f"/{service}/")],
            stdout=subprocess.PIPE, text=True)
        self.begin = time.monotonic()

    def stop(self):
        """(requests, lost ones, seconds)."""
        took = time.monotonic() - self.begin
        self.wrk.send_signal(signal.SIGINT)
        said = self.wrk.communicate(timeout=20)[0]
        requests = int(re.search(r"(\d+) requests in", said)[1])
        lost = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
        errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", said)
        lost = int(lost[1]) if lost else 0
        return requests, lost + (sum(map(int, errors.groups())) if errors else 0), took


def test_rolling_restarts_lose_no_request(start_tsugite, programs, name):
    tsugite = start_tsugite("--dns", "off", roles=("gateway", "aws", "admin"))

    def start(ident):
        one = Program(tsugite, name, ident)
        programs.append(one)
        return one

    fleet = [start(f"i{n}") for n in range(FLEET)]
    until(lambda: len(instances(tsugite, name)) == FLEET, 30)
    load = Load(tsugite, name)
    time.sleep(0.5)
    for at in list(range(FLEET)) * ROUNDS:
        one = fleet[at]
        assert one.stop() == 7, "the program's own exit code"
        fleet[at] = start(one.ident)
        until(lambda: one.ident in instances(tsugite, name), 20)
    requests, lost, took = load.stop()
    print(f"{requests} requests in {took:.1f} s, {requests / took:.0f}/s, {lost} lost")
    assert lost == 0, (requests, lost)
    assert requests / took > 500, "too little load to say anything"
    for one in fleet:
        one.child.send_signal(signal.SIGTERM)
    assert {one.child.wait(40) for one in fleet} == {7}
    assert instances(tsugite, name) == {}


def test_a_request_in_flight_is_waited_for(start_tsugite, programs, name):
    tsugite = start_tsugite()
    one = Program(tsugite, name, "slow", "--drain", "20s", delay_ms=1500)
    programs.append(one)
    until(lambda: offered(tsugite, name), 20)
    host, port = tsugite.address("gateway")
    connection = http.client.HTTPConnection(host, port, timeout=20)
    begin = time.monotonic()
    connection.request("GET", f"/{name}/")
    time.sleep(0.3)
    one.child.send_signal(signal.SIGTERM)
    # Nothing new from then on, while the old one goes on.
    until(lambda: instances(tsugite, name).get("slow", {}).get("takes_calls") is False, 2)
    shown = instances(tsugite, name)["slow"]["health"]
    assert shown["leaving"] and shown["decided_by"] == "leaving", shown
    fresh = http.client.HTTPConnection(host, port, timeout=20)
    fresh.request("GET", f"/{name}/")
    assert fresh.getresponse().status == 503
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"slow")
    assert time.monotonic() - begin > 1.4
    assert one.child.wait(10) == 7
    assert instances(tsugite, name) == {}


def test_a_drain_ends_in_time_and_says_so(start_tsugite, servers, name):
    tsugite = start_tsugite()
    port, _ = servers("hangs", delay_ms=20_000)
    tsugite.register(name, "hangs", port, ttl_ms=0)
    path = f"/v1/instances/internal/{name}/hangs"
    for query, naming in [("drain=5", "drain"), ("drain=2h", "1h"), ("wait=ever", "acks"), ("often=1", "often")]:
        status, problem = tsugite.admin("DELETE", f"{path}?{query}")
        assert status == 400 and naming in problem["detail"], problem
    until(lambda: offered(tsugite, name))
    threading.Thread(target=lambda: answers_by_gateway(tsugite, name), daemon=True).start()
    time.sleep(0.3)
    begin = time.monotonic()
    status, answer = tsugite.admin("DELETE", f"{path}?drain=1s&wait=acks")
    assert 0.9 < time.monotonic() - begin < 3
    assert (status, answer["outcome"], answer["acknowledged"]) == (200, "removed", False), answer
    assert instances(tsugite, name) == {}
    # Nobody calls the next one, and without a wait the answer comes at once.
    port, _ = servers("idle")
    tsugite.register(name, "idle", port, ttl_ms=0)
    status, answer = tsugite.admin("DELETE", f"/v1/instances/internal/{name}/idle?drain=10s&wait=acks")
    assert answer["acknowledged"] and answer["waited_ms"] < 1000, answer
    tsugite.register(name, "idle", port, ttl_ms=0)
    status, answer = tsugite.admin("DELETE", f"/v1/instances/internal/{name}/idle?drain=10s")
    assert (status, answer["outcome"]) == (202, "leaving")
    until(lambda: instances(tsugite, name) == {}, 5)


def answers_by_gateway(tsugite, service):
    try:
        urllib.request.urlopen(tsugite.url("gateway", f"/{service}/"), timeout=30).read()
    except OSError:
        pass


def test_deregistered_by_cloud_map_it_is_pending_until_it_has_left(start_tsugite, servers, name):
    tsugite = start_tsugite()
    cloudmap = tsugite.client("servicediscovery")
    operation = cloudmap.create_http_namespace(Name=name)["OperationId"]
    namespace = cloudmap.get_operation(OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]
    service = cloudmap.create_service(Name="web", NamespaceId=namespace)["Service"]["Id"]
    port, _ = servers("slow", delay_ms=2500)
    register = lambda ident, **more: cloudmap.register_instance(
        ServiceId=service, InstanceId=ident,
        Attributes={"AWS_INSTANCE_IPV4": "127.0.0.1", "AWS_INSTANCE_PORT": str(port)} | more)
    status = lambda operation: cloudmap.get_operation(OperationId=operation)["Operation"]["Status"]
    found = lambda **more: [i["InstanceId"] for i in cloudmap.discover_instances(
        NamespaceName=name, ServiceName="web", **more)["Instances"]]
    register("i")
    until(lambda: found() == ["i"])
    host, gateway = tsugite.address("gateway")
    connection = http.client.HTTPConnection(host, gateway, timeout=20)
    connection.request("GET", f"/web.{name}/")
    time.sleep(0.3)
    operation = cloudmap.deregister_instance(ServiceId=service, InstanceId="i")["OperationId"]
    assert status(operation) == "PENDING"
    assert found() == [] and found(HealthStatus="HEALTHY") == []
    pending = cloudmap.list_operations(Filters=[{"Name": "STATUS", "Values": ["PENDING"]}])["Operations"]
    assert [one["Id"] for one in pending] == [operation]
    assert cloudmap.deregister_instance(ServiceId=service, InstanceId="i")["OperationId"] == operation
    assert connection.getresponse().status == 200
    until(lambda: status(operation) == "SUCCESS", 5)
    with pytest.raises(cloudmap.exceptions.InstanceNotFound):
        cloudmap.get_instance(ServiceId=service, InstanceId="i")

    # A crash forgets neither the instance that is leaving nor who waits for it.
    register("j")
    until(lambda: found() == ["j"])
    threading.Thread(target=lambda: answers_by_gateway(tsugite, f"web.{name}"), daemon=True).start()
    time.sleep(0.3)
    operation = cloudmap.deregister_instance(ServiceId=service, InstanceId="j")["OperationId"]
    tsugite.restart(crash=True)
    cloudmap = tsugite.client("servicediscovery")
    until(lambda: status(operation) == "SUCCESS", 5)

    # Nobody calls it: done when it is answered, and everything can be cleaned up in one go.
    register("k")
    operation = cloudmap.deregister_instance(ServiceId=service, InstanceId="k")["OperationId"]
    assert status(operation) == "SUCCESS"
    cloudmap.delete_service(Id=service)
    cloudmap.delete_namespace(Id=namespace)


def test_silent_ones_stay_and_dead_ones_go(start_tsugite, servers, name):
    """Of twelve instances a third renews, a third falls silent and lives, a third is killed."""
    tsugite = start_tsugite(config="registry: {min_available_percent: 0}\n")
    fleet = {f"i{n}": servers(f"i{n}") for n in range(12)}
    kinds = {ident: n % 3 for n, ident in enumerate(fleet)}
    for ident, (port, _) in fleet.items():
        tsugite.register(name, ident, port, ttl_ms=3000)
    begin = time.monotonic()
    for ident, (_, child) in fleet.items():
        if kinds[ident] == 2:
            child.kill()
    living = {ident for ident, kind in kinds.items() if kind < 2}

    def beat():
        ids = [ident for ident, kind in kinds.items() if kind == 0]
        status, answer = tsugite.admin("POST", "/v1/heartbeats", {"services": [{"service": name, "ids": ids + ["nobody"]}]})
        assert (status, answer["renewed"]) == (200, 4), answer
        assert answer["unknown"] == [{"namespace": "internal", "service": name, "id": "nobody"}]

    # Calls find the dead before their leases do.
    for _ in range(200):
        answers_by_gateway(tsugite, name)
    used = lambda: {ident for ident, one in instances(tsugite, name).items() if one["takes_calls"]}
    assert used() == living
    passive = {one["health"]["passive"] for ident, one in instances(tsugite, name).items() if kinds[ident] == 2}
    assert passive == {"unhealthy"}
    while time.monotonic() - begin < 4.5:
        beat()
        time.sleep(0.4)
    assert set(instances(tsugite, name)) == living, "exactly the dead are gone"
    shown = {ident: one["health"] for ident, one in instances(tsugite, name).items()}
    assert {shown[ident]["lease"] for ident in living if kinds[ident] == 0} == {"healthy"}
    assert {shown[ident]["lease"] for ident in living if kinds[ident] == 1} == {"suspect"}
    assert {one["status"] for one in shown.values()} == {"healthy"}
    host, port = tsugite.address("dns")
    assert used() == living

    # Suspects are spared as long as they answer, and go when they die.
    last = next(ident for ident, kind in kinds.items() if kind == 1)
    fleet[last][1].kill()
    died = time.monotonic()
    until(lambda: last not in instances(tsugite, name), 4)
    assert last not in used()
    assert time.monotonic() - died < 3.5


def test_a_minute_of_sleep_evicts_nobody(start_tsugite, servers, name):
    """SIGSTOP for several leases, which is to a lease of 1 s what a minute is to one of 15 s."""
    tsugite = start_tsugite()
    fleet = {f"i{n}": servers(f"i{n}") for n in range(6)}
    stop = threading.Event()

    def renew(ident, port):
        while not stop.is_set():
            try:
                tsugite.register(name, ident, port, ttl_ms=1000)
            except OSError:
                pass
            stop.wait(0.3)

    threads = [threading.Thread(target=renew, args=(ident, port)) for ident, (port, _) in fleet.items()]
    for thread in threads:
        thread.start()
    try:
        until(lambda: len(instances(tsugite, name)) == len(fleet))
        os.kill(tsugite.pid, signal.SIGSTOP)
        time.sleep(4)
        os.kill(tsugite.pid, signal.SIGCONT)
        for _ in range(200):
            seen = instances(tsugite, name)
            assert len(seen) == len(fleet) and all(one["takes_calls"] for one in seen.values()), seen
            time.sleep(0.01)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert "evicted" not in tsugite.log()


def test_an_operator_takes_an_instance_out_of_service(tsugite, servers, name):
    ports = {ident: servers(ident)[0] for ident in ("a", "b")}
    for ident, port in ports.items():
        tsugite.register(name, ident, port, ttl_ms=0)
    path = f"/v1/instances/internal/{name}/a/health"
    status, answer = tsugite.admin("PUT", path, {"status": "out_of_service", "note": "a new disk"})
    assert (status, answer["admin"]) == (200, "out_of_service"), answer
    shown = instances(tsugite, name)["a"]
    assert shown["health"]["decided_by"] == "admin" and shown["health"]["note"] == "a new disk"
    assert not shown["takes_calls"]
    host, port = tsugite.address("dns")
    srv = lambda: sorted(int(line.split()[2]) for line in subprocess.run(
        ["dig", f"@{host}", "-p", str(port), "+short", f"{name}.internal", "SRV"],
        capture_output=True, text=True, timeout=10).stdout.splitlines())
    until(lambda: srv() == [ports["b"]])
    called = lambda: {urllib.request.urlopen(tsugite.url("gateway", f"/{name}/")).read().decode() for _ in range(20)}
    until(lambda: called() == {"b"})
    assert tsugite.admin("PUT", path, {"status": "maybe"})[0] == 400
    assert tsugite.admin("DELETE", path)[0] == 200
    until(lambda: called() == {"a", "b"} and len(srv()) == 2)
    assert tsugite.admin("PUT", path.replace("/a/", "/c/"))[0] == 404


def test_register_waits_until_it_is_ready_and_checks_it(start_tsugite, programs, name):
    tsugite = start_tsugite()
    port = free_port()
    late = f"sleep 1; exec {sys.executable} {INSTANCE} {port} late"
    one = Program(tsugite, name, "late", "--check", "http:/up", "--ttl", "2s", "--attribute", "color=red",
                  port=port, command=["sh", "-c", late])
    programs.append(one)
    time.sleep(0.5)
    assert instances(tsugite, name) == {}, "it does not listen yet"
    until(lambda: instances(tsugite, name).get("late", {}).get("health", {}).get("active") == "healthy", 20)
    shown = instances(tsugite, name)["late"]
    assert shown["attributes"] == {"color": "red"} and shown["ttl_ms"] == 2000
    time.sleep(2.5)
    assert instances(tsugite, name)["late"]["health"]["lease"] == "healthy", "it is renewed"
    # It ends by itself: deregistered at once, with its own exit code.
    os.kill(one.program_pid(), signal.SIGKILL)
    assert one.child.wait(10) == 128 + 9
    assert instances(tsugite, name) == {}


def test_register_hands_signals_and_exit_codes_on(start_tsugite, programs, name):
    tsugite = start_tsugite()
    for script, code in [("exit 3", 3), ("kill -9 $$", 137)]:
        one = Program(tsugite, name, "i", command=["sh", "-c", script])
        programs.append(one)
        assert one.child.wait(10) == code
    one = Program(tsugite, name, "i", command=["/no/such/program"])
    programs.append(one)
    assert one.child.wait(10) == 1 and "/no/such/program" in one.child.stderr.read()
    one = Program(tsugite, name, "never", "--start-timeout", "300ms", command=["sleep", "100"])
    programs.append(one)
    assert one.child.wait(10) == 1 and "not ready" in one.child.stderr.read()
    one = Program(tsugite, name, "bad id", delay_ms=0)
    programs.append(one)
    assert one.child.wait(20) == 1 and "InstanceId" in (said := one.child.stderr.read()), said
    port = free_port()
    hup = f"trap 'kill $pid; exit 5' HUP; {sys.executable} {INSTANCE} {port} i & pid=$!; wait $pid; wait"
    one = Program(tsugite, name, "i", port=port, command=["sh", "-c", hup])
    programs.append(one)
    until(lambda: instances(tsugite, name), 20)
    one.child.send_signal(signal.SIGHUP)
    assert one.child.wait(10) == 5
    usage = subprocess.run([binary(), "register", "--service", "x", "--", "true"], capture_output=True, text=True)
    assert usage.returncode == 2 and "--port" in usage.stderr


def test_cloud_maps_https_checks_work(start_tsugite, tmp_path, name):
    import ssl
    import http.server

    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=tmp_path, check=True, capture_output=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tsugite = start_tsugite()
    cloudmap = tsugite.client("servicediscovery")
    operation = cloudmap.create_public_dns_namespace(Name=f"{name}.test")["OperationId"]
    namespace = cloudmap.get_operation(OperationId=operation)["Operation"]["Targets"]["NAMESPACE"]
    service = cloudmap.create_service(
        Name="web", NamespaceId=namespace, DnsConfig={"DnsRecords": [{"Type": "A", "TTL": 1}]},
        HealthCheckConfig={"Type": "HTTPS", "ResourcePath": "/"})["Service"]
    assert service["HealthCheckConfig"]["Type"] == "HTTPS"
    for ident, port in [("good", server.server_address[1]), ("bad", free_port())]:
        cloudmap.register_instance(ServiceId=service["Id"], InstanceId=ident, Attributes={
            "AWS_INSTANCE_IPV4": "127.0.0.1", "AWS_INSTANCE_PORT": str(port)})
    health = lambda: cloudmap.get_instances_health_status(ServiceId=service["Id"])["Status"]
    until(lambda: health() == {"good": "HEALTHY", "bad": "UNHEALTHY"}, 10, health)
    server.shutdown()


def test_the_grpc_health_protocol_decides(start_tsugite, name):
    from concurrent import futures

    import grpc

    asked, verdict = [], [b"\x08\x01"]
    handler = grpc.unary_unary_rpc_method_handler(lambda request, _: asked.append(request) or verdict[0])
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    tsugite = start_tsugite(config=f"""
services:
  - name: {name}
    protocol: grpc
    health_check: {{type: grpc, service: shop.Orders, interval: 100ms, timeout: 90ms, unhealthy: 2, healthy: 1}}
    instances: [{{id: i, address: 127.0.0.1, port: {port}}}]
""")
    active = lambda: instances(tsugite, name)["i"]["health"]["active"]
    until(lambda: active() == "healthy")
    assert asked[0] == b"\x0a\x0bshop.Orders"
    verdict[0] = b"\x08\x02"
    until(lambda: active() == "unhealthy")
    verdict[0] = b"\x08\x01"
    until(lambda: active() == "healthy")
    server.stop(0)
    until(lambda: active() == "unhealthy")


def test_bad_requests_are_named(tsugite, name):
    for method, path, body, naming in [
        ("POST", "/v1/heartbeats", {"services": [{"service": name}]}, "ids"),
        ("POST", "/v1/heartbeats", {"ids": []}, "services"),
        ("PUT", f"/v1/instances/internal/{name}/i", {"address": "127.0.0.1", "port": 1, "check": "smtp"}, "smtp"),
    ]:
        status, problem = tsugite.admin(method, path, body)
        assert status == 400 and naming in json.dumps(problem), problem
    status, answer = tsugite.admin("POST", "/v1/heartbeats", {"services": [{"service": "none", "ids": ["a"]}]})
    assert (status, answer["renewed"], len(answer["unknown"])) == (200, 0, 1)
