"""Rounds of `kill -9` under load; `cargo xtask kill9 --rounds 1000` plays more. The judge is held to account too."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from process import ROOT, binary

ROUNDS = 50
CHECKER = pathlib.Path(binary()).parent / "tsugite-checker"


def play(*arguments, **more):
    script = str(ROOT / "conformance" / "kill9.py")
    command = [sys.executable, script, "--binary", binary(), "--checker", str(CHECKER), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **more)


def test_promises_are_kept():
    done = play("--rounds", str(ROUNDS))
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "violations: 0" in done.stdout, done.stdout[-4000:]


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """The events of a few rounds."""
    folder = tmp_path_factory.mktemp("kill9")
    done = play("--rounds", "3", "--keep", "--seed", "1", env=os.environ | {"TMPDIR": str(folder)})
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    [path] = folder.glob("*/history-1.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def received(event):
    return event["reply"].get("received") if event["what"] == "done" and isinstance(event["reply"], dict) else None


def without_the_deliveries_of_a_message(events):
    """As if it had been lost after its send, which was acknowledged."""
    # Of a queue that nobody purges and no task moves from.
    mail = {event["op"] for event in events if event["what"] == "ask"
            and event["call"].get("receive", {}).get("queue", "").startswith("mail-")}
    body = next(message["body"] for event in events if event.get("op") in mail for message in received(event) or [])
    for event in events:
        if messages := received(event):
            event["reply"]["received"] = [message for message in messages if message["body"] != body]
    return events


def with_a_delivery_again(events):
    """As if a message had come back right after its delete."""
    deletes = {event["op"]: event["call"]["delete"] for event in events
               if event["what"] == "ask" and "delete" in event["call"]}
    deleted = next((n, deletes[event["op"]]) for n, event in enumerate(events)
                   if event["what"] == "done" and event["op"] in deletes
                   and len(deletes[event["op"]]["handles"]) == 1)
    n, delete = deleted
    message = next(message for event in events[:n] for message in received(event) or []
                   if message["handle"] == delete["handles"][0])
    ask = {"receive": {"queue": delete["queue"], "max": 10, "visibility": 1000}}
    again = message | {"handle": "another", "count": message["count"] + 1}
    at = events[n]["at"]
    return events[:n + 1] + [{"at": at, "what": "ask", "op": 10**9, "call": ask},
                             {"at": at, "what": "done", "op": 10**9, "reply": {"received": [again]}}] + events[n + 1:]


def with_groups_the_other_way_round(events):
    """As if a group's messages had come in the wrong order."""
    for event in events:
        messages = received(event) or []
        groups = [message.get("group") for message in messages]
        if len(messages) > 1 and groups[0] and groups[0] == groups[1]:
            messages[0], messages[1] = messages[1], messages[0]
            return events
    raise AssertionError("no two messages of a group in one reply")


@pytest.mark.parametrize("tamper,expected", [
    (lambda events: events, None), (without_the_deliveries_of_a_message, "Lost"),
    (with_a_delivery_again, "DeliveredAfterDelete"), (with_groups_the_other_way_round, "OutOfOrder")])
def test_the_judge_sees_broken_promises(history, tmp_path, tamper, expected):
    path = tmp_path / "history.jsonl"
    events = tamper(json.loads(json.dumps(history)))
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    judged = subprocess.run([CHECKER, path, "25", "10000"], capture_output=True, text=True, check=False)
    assert judged.returncode == (1 if expected else 0), judged.stdout + judged.stderr
    assert f"VIOLATION {expected}" in judged.stdout or expected is None, judged.stdout
