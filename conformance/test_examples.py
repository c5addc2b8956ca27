"""The example services, started as a reader would start them, in Python, in JavaScript, and mixed."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest

from process import ROOT

SERVICES = ("customers", "kitchen", "orders", "notifications")
START_S_MAX = 20


class Program:
    """One example service as a process whose output is kept."""

    def __init__(self, tsugite, service, language):
        command = {
            "python": [sys.executable, str(ROOT / f"examples/python/{service}.py")],
            "javascript": [shutil.which("node") or "node", str(ROOT / f"examples/javascript/{service}.js")],
        }[language]
        addresses = {f"TSUGITE_{role.upper()}": tsugite.addresses[role] for role in ("gateway", "aws", "admin")}
        self.lines = []
        self.child = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=os.environ | addresses,
        )
        threading.Thread(target=self._read, daemon=True).start()
        self.wait_for(service)

    def _read(self):
        for line in self.child.stdout:
            self.lines.append(line.rstrip())

    def wait_for(self, words, seconds=START_S_MAX):
        end = time.monotonic() + seconds
        while not any(words in line for line in list(self.lines)):
            assert self.child.poll() is None and time.monotonic() < end, (words, self.lines)
            time.sleep(0.02)

    def stop(self):
        self.child.terminate()
        assert self.child.wait(10) == 0, self.lines

    def kill(self):
        self.child.kill()
        self.child.wait()


def order(tsugite):
    request = urllib.request.Request(tsugite.url("gateway", "/orders"), data=b'{"customer": "42"}', method="POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 201
        return json.load(answer)


@pytest.mark.parametrize(
    "languages",
    [("python",) * 4, ("javascript",) * 4, ("javascript", "python", "javascript", "python")],
    ids=["python", "javascript", "mixed"],
)
def test_an_order_goes_through_every_joint(start_tsugite, languages):
    tsugite = start_tsugite()
    programs = {}
    try:
        for service, language in zip(SERVICES, languages):
            programs[service] = Program(tsugite, service, language)
        taken = order(tsugite)
        assert taken["customer"] == "Aiko Tanaka"
        assert taken["ticket"] == f"ticket-{taken['order']}"
        programs["notifications"].wait_for(f"notified: {taken['order']} {taken['ticket']}", seconds=5)

        # Customers dies without a goodbye: orders are taken on, and its lease takes it out.
        programs.pop("customers").kill()
        assert order(tsugite)["customer"] is None
        end = time.monotonic() + 15
        while status(tsugite, "/customers/42") != 503 or "no-available-endpoint" not in problem(tsugite, "/customers/42"):
            assert time.monotonic() < end, (status(tsugite, "/customers/42"), problem(tsugite, "/customers/42"))
            time.sleep(0.1)

        # It comes back at another port and is found again.
        programs["customers"] = Program(tsugite, "customers", languages[0])
        end = time.monotonic() + 15
        while status(tsugite, "/customers/42") != 200:
            assert time.monotonic() < end, problem(tsugite, "/customers/42")
            time.sleep(0.1)
        assert order(tsugite)["customer"] == "Aiko Tanaka"
        while programs:
            programs.popitem()[1].stop()
    finally:
        for program in programs.values():
            program.kill()


def status(tsugite, path):
    return get(tsugite, path)[0]


def problem(tsugite, path):
    return get(tsugite, path)[1]


def get(tsugite, path):
    try:
        with urllib.request.urlopen(tsugite.url("gateway", path), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode()
