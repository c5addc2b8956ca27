"""What strangers do to a DNS server."""

import os
import random
import socket
import struct
import time
import uuid

import dns.message
import pytest

from dns_help import framed, query, receive, register, short


@pytest.fixture
def name(tsugite):
    name = f"s{uuid.uuid4().hex[:8]}"
    register(tsugite, name, "i1", 8001)
    return name


def flood(address, messages, wait=0.3):
    """Sends all and collects what comes back."""
    answers = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        for message in messages:
            sock.sendto(message, address)
        sock.settimeout(wait)
        try:
            while True:
                answers.append(sock.recv(65535))
        except TimeoutError:
            return answers


def test_floods_from_one_network_are_held_back(start_tsugite):
    one = start_tsugite(config="dns: {rate_limit: {answers: 20, slip: 2, exempt: []}}\n")
    for n in range(8):
        register(one, "orders", f"i{n}", 8000 + n, address=f"127.0.1.{n}")
    answers = flood(one.address("dns"), [query("orders.internal", ident=n) for n in range(400)])
    full = [answer for answer in answers if struct.unpack(">H", answer[6:8])[0]]
    slips = [answer for answer in answers if answer[2] & 2]
    # One limit for all workers; they may race, and a moment passes.
    assert 20 <= len(full) < 60 and 100 < len(slips) < 260, (len(full), len(slips))
    assert all(len(slip) == len(query("orders.internal")) for slip in slips), "no larger than its query"
    # Who really asks comes back over TCP, and other names are not touched.
    assert len(short(one, "orders.internal", "A", "+tcp")) == 8
    assert short(one, "i1.orders.internal") == ["127.0.1.1"]
    assert "tsugite_dns_withheld_total 3" in one.metrics()


def test_loopback_is_not_limited_by_default(tsugite, name):
    answers = flood(tsugite.address("dns"), [query(f"{name}.internal", ident=n) for n in range(3000)])
    assert len(answers) > 2900 and all(answer[7] == 1 for answer in answers)


def test_no_answer_is_longer_than_512_bytes_without_edns(tsugite, name):
    for n in range(60):
        register(tsugite, name, f"a-rather-long-name-of-an-instance-{n}", 8000, address=f"127.2.0.{n}")
    messages = [query(f"{name}.internal", kind=kind) for kind in (1, 2, 5, 6, 12, 16, 28, 33, 255)]
    messages += [query(f"_{name}._tcp.internal", kind=12), query("_services._dns-sd._udp.internal", kind=12)]
    answers = flood(tsugite.address("dns"), messages)
    assert len(answers) == len(messages) and all(len(answer) <= 512 for answer in answers)


def test_answers_are_not_answered(tsugite, name):
    [answer] = flood(tsugite.address("dns"), [query(f"{name}.internal")])
    assert flood(tsugite.address("dns"), [answer]) == []


def test_damaged_queries_get_wellformed_answers(tsugite, name):
    noise = random.Random(11)
    names = [f"{name}.internal", f"i1.{name}.internal", f"_{name}._tcp.internal", "1.0.0.127.in-addr.arpa"]
    messages = []
    for _ in range(5_000):
        kind = noise.choice([1, 12, 16, 28, 33, 255, 41, 250, 251])
        message = bytearray(query(noise.choice(names), kind=kind, counts=(1, 0, 0, noise.choice([0, 0, 1]))))
        message += b"\0\0\x29\x04\xd0\0\0\0\0\0\x05\0\x0a\0\x01\x07"
        for _ in range(noise.randrange(3)):
            message[noise.randrange(2, len(message))] = noise.randrange(256)
        messages.append(bytes(message[: noise.randrange(len(message) // 2, len(message) + 1)]))
    before = tsugite.rss_bytes()
    answers = []
    for at in range(0, len(messages), 500):
        answers += flood(tsugite.address("dns"), messages[at:at + 500], wait=0.2)
    assert len(answers) > 1_000
    for answer in answers:
        read = dns.message.from_wire(answer, ignore_trailing=False)
        assert len(answer) <= 1232 and read.flags & 0x8000
    assert tsugite.rss_bytes() - before < 16_000_000


def test_slow_and_greedy_connections_are_ended(tsugite, name):
    address = tsugite.address("dns")
    # A byte now and then does not keep a connection.
    with socket.create_connection(address, timeout=15) as slow:
        slow.sendall(framed(query(f"{name}.internal"))[:5])
        begin = time.monotonic()
        for _ in range(12):
            try:
                slow.sendall(b"\0")
                slow.settimeout(1)
                if slow.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - begin < 11.5
    # A message that cannot be a query is not waited for.
    with socket.create_connection(address, timeout=5) as greedy:
        greedy.sendall(struct.pack(">H", 65535) + os.urandom(100))
        assert receive(greedy) is None


def test_crowds_of_idle_connections_make_room(tsugite, name):
    address = tsugite.address("dns")
    crowd = [socket.create_connection(address, timeout=5) for _ in range(600)]
    try:
        begin = time.monotonic()
        assert short(tsugite, f"{name}.internal", "A", "+tcp", "+time=8") == ["127.0.0.1"]
        assert time.monotonic() - begin < 4, "those that idle are ended sooner"
    finally:
        for sock in crowd:
            sock.close()


def test_a_client_that_does_not_read_is_not_waited_for(tsugite, name):
    with socket.create_connection(tsugite.address("dns"), timeout=2) as deaf:
        burst = framed(query("_services._dns-sd._udp.internal", kind=12)) * 2_000
        try:
            for _ in range(200):
                deaf.sendall(burst)
        except OSError:
            pass
        begin = time.monotonic()
        assert short(tsugite, f"{name}.internal") == ["127.0.0.1"]
        assert time.monotonic() - begin < 1
