"""Start, idle size, stop, and the refusal of bad settings."""

import json
import os
import signal
import statistics
import subprocess
import time
import urllib.request

import pytest

from process import ROOT, Tsugite, binary

READY_S_MAX = 0.100
IDLE_RSS_BYTES_MAX = 25 * 1024 * 1024


def run(*args, **options):
    return subprocess.run([binary(), *args], capture_output=True, text=True, timeout=20, **options)


def test_ready_in_time_and_small_when_idle():
    took = []
    for _ in range(5):
        one = Tsugite()
        took.append(one.start())
        rss = one.rss_bytes()
        assert one.stop() == 0
        one.remove()
        assert rss < IDLE_RSS_BYTES_MAX, f"{rss / 2**20:.1f} MB"
    assert statistics.median(took) < READY_S_MAX, took


def test_ready_file_tells_every_role_and_goes(start_tsugite):
    one = start_tsugite()
    ready = json.loads(one.ready_file.read_text())
    assert ready["pid"] == one.pid
    assert ready["xds"] is None
    for role in ("gateway", "aws", "admin", "dns"):
        assert not ready[role].endswith(":0"), ready
    for path in ("/healthz", "/readyz"):
        with urllib.request.urlopen(one.url("admin", path), timeout=5) as answer:
            assert answer.status == 200
    assert one.stop() == 0
    assert not one.ready_file.exists()


def test_roles_can_be_off(start_tsugite):
    one = start_tsugite("--dns", "off", "--gateway", "off", roles=("aws", "admin"))
    assert one.addresses["dns"] is None and one.addresses["gateway"] is None
    assert one.client("sqs").list_queues().get("QueueUrls", []) == []


def test_environment_and_flag_win_over_file(start_tsugite):
    config = 'listen:\n  gateway: "off"\n  dns: "off"\n'
    one = start_tsugite(config=config, roles=("aws", "admin"), env={"TSUGITE_DNS": "127.0.0.1:0"})
    assert one.addresses["gateway"] is None, "from the file"
    assert one.addresses["dns"] is not None, "the environment wins over the file"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_instance_is_refused_and_a_signal_stops_cleanly(start_tsugite, number):
    one = start_tsugite()
    second = run("up", "--data", str(one.data), "--gateway", "off", "--aws", "off", "--admin", "127.0.0.1:0", "--dns", "off")
    assert second.returncode == 1, second.stderr
    assert f"in use by process {one.pid}" in second.stderr, second.stderr
    os.kill(one.pid, number)
    assert one.child.wait(10) == 0


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ("listen:\n  gatway: 127.0.0.1:0\n", ["2:", "gatway", "gateway"]),
        ("queues:\n  - nam: orders\n", ["2:", "nam", "name"]),
        ("drain_timeout: soon\n", ["1:", "soon"]),
        ("listen: [\n", ["tsugite.yaml"]),
    ],
)
def test_a_bad_config_is_refused_with_its_place(tmp_path, config, told):
    file = tmp_path / "tsugite.yaml"
    file.write_text(config)
    for command in (["check", "-c", str(file)], ["up", "--config", str(file), "--data", str(tmp_path / "data")]):
        done = run(*command)
        assert done.returncode == 2, (command, done)
        for part in told:
            assert part in done.stderr, (part, done.stderr)
        assert not (tmp_path / "data").exists()


def test_bad_usage_exits_with_2():
    for arguments in (["up", "--gateway", "nowhere"], ["fly"], ["up", "--store", "postgres://x/y"], ["up", "--xds", "127.0.0.1:0"]):
        done = run(*arguments)
        assert done.returncode == 2, (arguments, done)
        assert done.stderr


def test_an_open_door_to_the_world_is_refused(tmp_path):
    for role in ("aws", "admin", "dns"):
        done = run("up", "--data", str(tmp_path / role), f"--{role}", "0.0.0.0:0")
        if role == "dns" and done.returncode == 0:
            continue
        assert done.returncode == 2, (role, done)
        assert "insecure" in done.stderr


def test_schema_help_and_example_config(tmp_path):
    schema = json.loads(run("schema").stdout)
    assert "listen" in schema["properties"]
    assert "up" in run("help").stdout
    example = ROOT / "crates/tsugite/tsugite.example.yaml"
    assert run("check", "-c", str(example)).returncode == 0


def test_a_good_change_of_the_file_is_taken_and_a_bad_one_is_not(start_tsugite):
    one = start_tsugite(config="queues:\n  - name: first\n")
    names = lambda: [url.rsplit("/", 1)[1] for url in one.client("sqs").list_queues().get("QueueUrls", [])]
    assert names() == ["first"]
    one.config_file.write_text("queues:\n  - name: first\n  - name: second\n")
    os.kill(one.pid, signal.SIGHUP)
    wait_until(lambda: names() == ["first", "second"])
    one.config_file.write_text("quueues: []\n")
    os.kill(one.pid, signal.SIGHUP)
    wait_until(lambda: "quueues" in one.log())
    assert names() == ["first", "second"]


def wait_until(happened, seconds=5.0):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)
