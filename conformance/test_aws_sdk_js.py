"""The AWS SDK for JavaScript v3 against the AWS port."""

import os
import pathlib
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parent
MODULES = HERE.parent / "examples/javascript/node_modules"


def run(tsugite, *script):
    environment = tsugite.aws_env()
    environment.setdefault("TSUGITE_NODE_MODULES", str(MODULES))
    assert os.path.isdir(environment["TSUGITE_NODE_MODULES"]), "run `npm ci` in examples/javascript"
    done = subprocess.run([shutil.which("node") or "node", str(HERE / "js" / script[0]), *script[1:]], env=environment,
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == "ok"


def test_sdk_for_javascript(tsugite):
    run(tsugite, "aws_sdk.mjs")


@pytest.mark.parametrize("protocol", ["json", "cbor"])
def test_cloud_map_in_both_protocols(tsugite, protocol):
    run(tsugite, "cloud_map.mjs", protocol)
