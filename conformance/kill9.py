#!/usr/bin/env python3
"""Kills a loaded Tsugite at random moments and checks that it keeps its promises.

Each round starts the binary on the same data directory, loads it from several threads (sends, batches, repeats under
deduplication ids, receives and their attempts, changes of visibility, deletes, purges, dead letters and their moves,
SNS publishes, Cloud Map and admin registrations), and kills it with SIGKILL after a random time, sometimes before it is
even ready. What clients asked and were told is written down as a history (`history.py`), which `tsugite-checker` judges:
lost, delivered after a delete, twice within a lease, out of order, two holders of a group, deduplication, half moves and
fan-outs, counts, each on its own. Every fifty rounds all queues are drained, the history is judged, and a new one begins
with new queues. Registered instances must be in the version that was acknowledged last, or in one whose request had no
reply. Requests without a reply are unknown, never failures. Only the standard library is used.

    python3 conformance/kill9.py --rounds 200 --binary target/release/tsugite --checker target/release/tsugite-checker
"""

import argparse
import collections
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

from history import History
from kill9_load import (LEASES, Client, Gone, Load, Queues, Refused, Registry, consumer, delete, publisher, purger,
                        receive, sender)

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Rounds of one history: the checker's work grows faster than a history.
ROUNDS = 50
CONFIG = "aws: {purge_guard: false}\n"


class Server:
    """The binary, on a data directory that outlives it."""

    def __init__(self, binary, directory):
        self.binary, self.directory = binary, directory
        self.ready_file = os.path.join(directory, "ready.json")
        self.config = os.path.join(directory, "tsugite.yaml")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(CONFIG)
        self.log = open(os.path.join(directory, "server.log"), "ab")
        self.process = None
        self.starts = []

    def start(self):
        if os.path.exists(self.ready_file):
            os.remove(self.ready_file)
        self.process = subprocess.Popen(
            [self.binary, "up", "--data", os.path.join(self.directory, "data"), "--ready-file", self.ready_file,
             "--config", self.config, "--aws", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--gateway", "off",
             "--dns", "off"],
            stdout=self.log, stderr=self.log)

    def wait_ready(self):
        """The ports."""
        begun = time.monotonic()
        while not os.path.exists(self.ready_file):
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended with {self.process.returncode}: see {self.log.name}")
            if time.monotonic() - begun > 60:
                raise SystemExit(f"the server is not ready after a minute: see {self.log.name}")
            time.sleep(0.002)
        self.starts.append(time.monotonic() - begun)
        with open(self.ready_file, encoding="utf-8") as file:
            return json.load(file)

    def kill(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        return self.process.wait(timeout=60)


class Campaign:
    """Rounds of killing, history after history."""

    def __init__(self, arguments, directory):
        self.arguments, self.directory = arguments, directory
        self.server = Server(arguments.binary, directory)
        self.registry = Registry()
        self.violations, self.counts, self.early = [], collections.Counter(), 0

    def history(self, number, rounds):
        """Some rounds, a drain, a judgement."""
        queues = Queues(number)
        load = Load(queues, History(os.path.join(self.directory, f"history-{number}.jsonl")))
        for queue, settings in queues.all.items():
            load.history.queue(queue, **settings)
        for load.round in range(rounds):
            self.round(load)
            if self.violations:
                return
        self.server.start()
        client = Client(self.server.wait_ready())
        self.check(load, client)
        self.drain(load)
        kept, verdict = load.history.judge(self.arguments.checker)
        self.counts.update(load.counts)
        print(f"history {number}, {rounds} rounds: {verdict}", flush=True)
        if not kept:
            self.violations.append(verdict)
            return
        if not self.arguments.keep:
            os.remove(load.history.path)
        queues.remove(client)
        code = self.server.kill(signal.SIGTERM)
        if code != 0:
            self.violations.append(f"a clean stop ended with {code}")

    def round(self, load):
        self.server.start()
        if random.random() < 0.1:
            # Amid recovery, before anybody is served.
            time.sleep(random.random() * 0.05)
            self.server.kill()
            self.early += 1
            return
        ports = self.server.wait_ready()
        self.check(load, Client(ports))
        seconds = random.uniform(self.arguments.shortest, self.arguments.longest)
        self.load(load, ports, seconds)

    def check(self, load, client):
        """What can be said before anybody asks for anything: counters and the registry."""
        load.queues.furnish(client)
        self.registry.furnish(client)
        self.registry.check(client)
        self.violations += self.registry.violations
        for queue in load.queues.all:
            load.history.counters(queue, **counters(client, queue))

    def load(self, load, ports, seconds):
        """Loads the server from threads and kills it amid the load."""
        stop = threading.Event()

        def loop(work):
            client = Client(ports)
            while not stop.is_set():
                try:
                    work(load, client)
                except Gone:
                    load.count("unknown")
                    return
                except Refused as error:
                    self.violations.append(f"refused: {error}")
                    return

        work = [sender] * 4 + [publisher] + [consumer] * 5 + [purger]
        work += [self.registry.registrar(kind) for kind in ("admin", "cloudmap")]
        threads = [threading.Thread(target=loop, args=(one,)) for one in work]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        self.server.kill()
        stop.set()
        for thread in threads:
            thread.join()
        load.history.crash()

    def drain(self, load):
        """Receives and deletes everything there is. Leases of the last rounds have to run out first."""
        client = Client(json.load(open(self.server.ready_file, encoding="utf-8")))
        last = time.monotonic()
        # Beyond the leases, nothing new for long means nothing: what the counters still claim is told to be lost.
        while time.monotonic() - last < 3 * max(LEASES):
            for queue in load.queues.all:
                while messages := receive(load, client, queue, 60):
                    delete(load, client, queue, messages)
                    last = time.monotonic()
            if not any(sum(counters(client, queue).values()) for queue in load.queues.all):
                break
            time.sleep(0.05)
        for queue in load.queues.all:
            load.history.counters(queue, **counters(client, queue))
        load.history.drained()

    def play(self):
        rounds, number = self.arguments.rounds, 0
        while rounds > 0 and not self.violations:
            number += 1
            self.history(number, min(rounds, ROUNDS))
            rounds -= ROUNDS
        if not self.violations:
            data = os.path.join(self.directory, "data")
            verified = subprocess.run([self.arguments.binary, "verify", data], capture_output=True, text=True,
                                      check=False)
            if verified.returncode != 0:
                self.violations.append(f"tsugite verify: {verified.stdout}{verified.stderr}")


def counters(client, queue):
    names = {"visible": "", "in_flight": "NotVisible", "delayed": "Delayed"}
    names = {key: "ApproximateNumberOfMessages" + name for key, name in names.items()}
    answer = client.sqs("GetQueueAttributes", queue, AttributeNames=list(names.values()))["Attributes"]
    return {key: int(answer[name]) for key, name in names.items()}


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rounds_", nargs="?", type=int, metavar="ROUNDS", help="as --rounds")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--binary", default=os.environ.get("TSUGITE_BIN", os.path.join(ROOT, "target/debug/tsugite")))
    parser.add_argument("--checker", help="the program that judges histories; default: beside the binary")
    parser.add_argument("--seed", type=int, default=None, help="of the load; the moments of death stay the machine's")
    parser.add_argument("--shortest", type=float, default=0.02, help="seconds of load in a round, at least")
    parser.add_argument("--longest", type=float, default=0.6, help="seconds of load in a round, at most")
    parser.add_argument("--keep", action="store_true", help="keep the data directory and the histories")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds_ or arguments.rounds
    arguments.checker = arguments.checker or os.path.join(os.path.dirname(arguments.binary), "tsugite-checker")
    if not os.path.exists(arguments.checker):
        parser.error(f"no {arguments.checker}: build it (cargo build --release -p tsugite-checker) or say --checker")
    return arguments


def main():
    arguments = parse()
    random.seed(arguments.seed)
    directory = tempfile.mkdtemp(prefix="tsugite-kill9-")
    campaign = Campaign(arguments, directory)
    server = campaign.server
    try:
        campaign.play()
    finally:
        if server.process is not None and server.process.poll() is None:
            server.kill()
    for violation in campaign.violations:
        print("VIOLATION", violation, flush=True)
    starts = sorted(server.starts)
    print(f"{len(starts) + campaign.early} starts, {campaign.early} killed before they were ready; "
          f"ready in {starts[len(starts) // 2] * 1000:.0f} ms (median), {starts[-1] * 1000:.0f} ms (longest)")
    print(f"counts: {dict(campaign.counts)}")
    print(f"violations: {len(campaign.violations)}")
    if campaign.violations or arguments.keep:
        print(f"kept: {directory}")
    else:
        shutil.rmtree(directory)
    sys.exit(1 if campaign.violations else 0)


if __name__ == "__main__":
    main()
