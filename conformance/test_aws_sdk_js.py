"""The AWS SDK for JavaScript v3 against the AWS port."""

import os
import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
MODULES = HERE.parent / "examples/javascript/node_modules"


def test_sdk_for_javascript(tsugite):
    environment = tsugite.aws_env()
    environment.setdefault("TSUGITE_NODE_MODULES", str(MODULES))
    assert os.path.isdir(environment["TSUGITE_NODE_MODULES"]), "run `npm ci` in examples/javascript"
    done = subprocess.run([shutil.which("node") or "node", str(HERE / "js/aws_sdk.mjs")], env=environment,
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == "ok"
