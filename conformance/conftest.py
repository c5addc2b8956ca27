"""Fixtures of the black-box tests: a running Tsugite, and programs for it to stand in front of."""

import uuid

import pytest

import cloudmap_check
import model_check
from process import Tsugite

model_check.watch()
cloudmap_check.watch()


@pytest.fixture
def start_tsugite():
    """A function that starts a Tsugite of one's own: `start_tsugite("--dev", config="…", env={…})`.

    Each one that still runs at the end must stop cleanly. Tests that kill or stop theirs may.
    """
    running = []

    def start(*args, **options):
        one = Tsugite(*args, **options)
        running.append(one)
        one.start()
        return one

    yield start
    _stop_all(running)


@pytest.fixture(scope="module")
def tsugite():
    """One Tsugite for all tests of a file: use names of your own for queues and services."""
    one = Tsugite()
    one.start()
    yield one
    _stop_all([one])


@pytest.fixture(scope="module")
def clocked():
    """As `tsugite`, with a virtual clock: `clocked.advance(seconds)` lets time pass."""
    one = Tsugite("--virtual-clock")
    one.start()
    yield one
    _stop_all([one])


@pytest.fixture
def sqs(tsugite):
    """A client of SQS, in the protocol that the installed SDK speaks."""
    return tsugite.client("sqs")


@pytest.fixture
def sns(tsugite):
    """A client of SNS."""
    return tsugite.client("sns")


@pytest.fixture
def queue(sqs):
    """The URL of a new standard queue."""
    return sqs.create_queue(QueueName=f"q-{uuid.uuid4()}")["QueueUrl"]


def _stop_all(running):
    codes = [(one.stop(), one.log()) for one in running if one.child is not None and one.child.poll() is None]
    for one in running:
        one.remove()
    for code, log in codes:
        assert code == 0, f"exit code {code} after SIGTERM:\n{log}"
        assert "panicked" not in log, log
