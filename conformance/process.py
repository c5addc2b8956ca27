"""Runs the Tsugite binary as a black box. Nothing in this folder links Tsugite's code.

The binary is `$TSUGITE_BIN`, else the newer of `target/release/tsugite` and `target/debug/tsugite`.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROLES = ("gateway", "aws", "admin", "dns")
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_REGION": "us-east-1",
    # SDKs put `data-` before the host of DiscoverInstances, which no bare IP address resolves.
    "AWS_DISABLE_HOST_PREFIX_INJECTION": "true",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


def binary() -> str:
    """Path of the binary under test."""
    if chosen := os.environ.get("TSUGITE_BIN"):
        return chosen
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    built = [p for p in (target / "release/tsugite", target / "debug/tsugite") if p.exists()]
    if not built:
        raise RuntimeError("no tsugite binary: run `cargo build --release`, or set TSUGITE_BIN")
    return str(max(built, key=lambda path: path.stat().st_mtime))


class Tsugite:
    """One running `tsugite up` with every role on a free loopback port."""

    def __init__(self, *args, config=None, env=None, data=None, roles=ROLES):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="tsugite-conformance-"))
        self.data = pathlib.Path(data) if data else self.home / "data"
        self.ready_file = self.home / "ready.json"
        self.log_file = self.home / "log"
        self.args = list(args)
        self.env = env or {}
        self.roles = roles
        if config is not None:
            self.config_file = self.home / "tsugite.yaml"
            self.config_file.write_text(config)
            self.args += ["--config", str(self.config_file)]
        self.child = None
        self.addresses = {}

    def start(self, timeout=10.0):
        """Starts the process and waits for its ready file; returns the seconds that took."""
        command = [binary(), "up", "--data", str(self.data), "--ready-file", str(self.ready_file)]
        for role in self.roles:
            command += [f"--{role}", "127.0.0.1:0"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TSUGITE_")}
        begin = time.monotonic()
        with open(self.log_file, "ab") as log:
            self.child = subprocess.Popen(
                command + self.args, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env=environment | self.env,
            )
        while not self.ready_file.exists():
            if self.child.poll() is not None:
                raise RuntimeError(f"tsugite left with {self.child.returncode}:\n{self.log()}")
            if time.monotonic() - begin > timeout:
                self.kill()
                raise RuntimeError(f"tsugite was not ready after {timeout} s:\n{self.log()}")
            time.sleep(0.002)
        took = time.monotonic() - begin
        ready = json.loads(self.ready_file.read_text())
        assert ready["pid"] == self.child.pid
        self.addresses = {role: ready[role] for role in ("gateway", "aws", "admin", "dns", "xds")}
        return took

    @property
    def pid(self):
        return self.child.pid

    def stop(self, timeout=40.0):
        """Asks for a graceful stop and returns the exit code."""
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
        try:
            return self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"tsugite did not stop in {timeout} s:\n{self.log()}") from None

    def kill(self):
        """kill -9: what a crash looks like from outside."""
        self.child.kill()
        self.child.wait()
        self.ready_file.unlink(missing_ok=True)

    def restart(self, *, crash=False):
        """Ends the process, cleanly or with `kill -9`, and starts it again on the same data."""
        if crash:
            self.kill()
        else:
            code = self.stop()
            assert code == 0, f"exit code {code}:\n{self.log()}"
            self.ready_file.unlink(missing_ok=True)
        self.start()

    def remove(self):
        shutil.rmtree(self.home, ignore_errors=True)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")[-8000:] if self.log_file.exists() else ""

    def address(self, role):
        """(host, port) of a role."""
        host, port = self.addresses[role].rsplit(":", 1)
        return host, int(port)

    def url(self, role, path=""):
        return f"http://{self.addresses[role]}{path}"

    def client(self, service, **config):
        """An unmodified boto3 client against this instance."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,
            endpoint_url=self.url("aws"),
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(**({"retries": {"max_attempts": 1}, "inject_host_prefix": False} | config)),
        )

    def aws_env(self):
        """Environment in which the AWS CLI and SDKs talk to this instance."""
        return os.environ | CREDENTIALS | {"AWS_ENDPOINT_URL": self.url("aws")}

    def admin(self, method, path, body=None, headers=None):
        """A call of the admin API: (status, parsed JSON or text)."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.url("admin", path), data=data, method=method,
            headers={"content-type": "application/json"} | (headers or {}),
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, raw = answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            status, raw = answer.code, answer.read().decode()
        try:
            return status, json.loads(raw)
        except ValueError:
            return status, raw

    def advance(self, seconds):
        """Lets time pass on the virtual clock (`--virtual-clock`); what falls due has happened on return."""
        status, answer = self.admin("POST", "/v1/clock/advance", {"seconds": seconds})
        assert status == 200, answer

    def register(self, service, instance, port, namespace="internal", address="127.0.0.1", **more):
        """Registers (or renews) an instance as a program that registers itself does."""
        status, answer = self.admin(
            "PUT", f"/v1/instances/{namespace}/{service}/{instance}",
            {"address": address, "port": port} | more,
        )
        assert status in (200, 201), (status, answer)
        return answer

    def metrics(self) -> str:
        return self.admin("GET", "/metrics")[1]

    def rss_bytes(self) -> int:
        with open(f"/proc/{self.pid}/status", encoding="ascii") as status:
            line = next(line for line in status if line.startswith("VmRSS:"))
        return int(line.split()[1]) * 1024
