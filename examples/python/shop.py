"""What the example services share: addresses, self-registration with heartbeats, a REST server."""

import http.server
import json
import os
import signal
import sys
import threading
import urllib.request

GATEWAY = os.environ.get("TSUGITE_GATEWAY", "127.0.0.1:8080")
AWS = os.environ.get("TSUGITE_AWS", "127.0.0.1:4566")
ADMIN = os.environ.get("TSUGITE_ADMIN", "127.0.0.1:9901")

LEASE_S = 6


def aws_client(service):
    """A boto3 client as one would make it for AWS, with another endpoint."""
    import boto3

    return boto3.client(
        service,
        endpoint_url=f"http://{AWS}",
        region_name="us-east-1",
        aws_access_key_id="example",
        aws_secret_access_key="example",
    )


class Registration:
    """Registers one instance and renews its lease until it is told to leave."""

    def __init__(self, service, port, protocol):
        self.url = f"http://{ADMIN}/v1/instances/internal/{service}/{service}-{os.getpid()}"
        self.instance = {"address": "127.0.0.1", "port": port, "protocol": protocol, "ttl_ms": LEASE_S * 1000}
        self.leaving = threading.Event()
        self._call("PUT", self.instance)
        threading.Thread(target=self._renew, daemon=True).start()
        print(f"{service} serves on port {port}", flush=True)

    def _renew(self):
        while not self.leaving.wait(LEASE_S / 3):
            try:
                self._call("PUT", self.instance)
            except OSError as error:
                # A lost heartbeat is what leases are for: the next one may arrive.
                print(f"heartbeat: {error}", file=sys.stderr, flush=True)

    def leave(self):
        self.leaving.set()
        self._call("DELETE")

    def _call(self, method, body=None):
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.url, data=data, method=method, headers=headers)
        urllib.request.urlopen(request, timeout=5).close()


class Rest(http.server.BaseHTTPRequestHandler):
    """A handler whose subclasses return (status, object) from `get` and `post`."""

    protocol_version = "HTTP/1.1"

    def get(self):
        return 405, {"title": "GET is not for this resource", "status": 405}

    def post(self, _body):
        return 405, {"title": "POST is not for this resource", "status": 405}

    def do_GET(self):
        self._answer(*self.get())

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer(*self.post(json.loads(body or b"{}")))

    def _answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def serve_rest(service, handler):
    """Serves on a free port, registered as `service`, until SIGTERM or Ctrl-C."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    registration = Registration(service, server.server_port, "http")
    wait_for_stop()
    registration.leave()  # First out of the routes, then down: no call is lost.
    server.shutdown()


def wait_for_stop():
    """Blocks until SIGTERM or Ctrl-C."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
