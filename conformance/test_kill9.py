"""A few rounds of `kill -9` under load; `cargo xtask kill9` plays 200."""

import subprocess
import sys

from process import ROOT, binary

ROUNDS = 20


def test_nothing_acknowledged_is_lost():
    script = str(ROOT / "conformance" / "kill9.py")
    command = [sys.executable, script, "--rounds", str(ROUNDS), "--binary", binary()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "violations: 0" in done.stdout, done.stdout[-4000:]
