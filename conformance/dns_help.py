"""What the DNS tests share: dig, dnspython, and another server that answers as it is told."""

import contextlib
import re
import socket
import struct
import subprocess
import threading
import time

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype


def dig(tsugite, name, kind="A", *options):
    host, port = tsugite.address("dns")
    command = ["dig", f"@{host}", "-p", str(port), "+tries=1", "+time=8", *options, name, kind]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert done.returncode == 0, (command, done.stdout)
    return done.stdout


def short(tsugite, name, kind="A", *options):
    return sorted(dig(tsugite, name, kind, "+short", *options).splitlines())


def header(text):
    """(status, flags, answers, authority, additional) as dig shows them."""
    status = re.search(r"status: (\w+)", text)[1]
    flags, *counts = re.search(
        r"flags: ([a-z ]+); QUERY: 1, ANSWER: (\d+), AUTHORITY: (\d+), ADDITIONAL: (\d+)", text).groups()
    return status, flags.split(), *map(int, counts)


def query(name, kind=1, ident=0x1234, flags=0x0100, counts=(1, 0, 0, 0)):
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">HHHHHH", ident, flags, *counts) + labels + b"\0" + struct.pack(">HH", kind, 1)


def framed(message):
    return struct.pack(">H", len(message)) + message


def receive(sock):
    """One message of a TCP connection; `None` at its end."""
    def exactly(n):
        data = b""
        while len(data) < n:
            part = sock.recv(n - len(data))
            if not part:
                return None
            data += part
        return data
    length = exactly(2)
    return length and exactly(struct.unpack(">H", length)[0])


def ask(tsugite, name, kind, tcp=False, **options):
    """Asks with dnspython, which refuses what is not quite a DNS message."""
    host, port = tsugite.address("dns")
    message = dns.message.make_query(name, kind, **options)
    how = dns.query.tcp if tcp else dns.query.udp
    return how(message, host, port=port, timeout=5)


def until(condition, limit=2.0):
    """Waits for what is true soon: an acknowledged registration is in DNS a moment later."""
    end = time.monotonic() + limit
    while not (value := condition()):
        assert time.monotonic() < end, value
        time.sleep(0.002)
    return value


def register(tsugite, service, instance, port, namespace="internal", **more):
    """Registers an instance for good and waits until DNS knows it as it is now."""
    serial = f"{time.monotonic_ns()}"
    attributes = more.pop("attributes", {}) | {"serial": serial}
    tsugite.register(service, instance, port, namespace=namespace, ttl_ms=0, attributes=attributes, **more)
    name = f"{instance}.{service}.{namespace}"
    until(lambda: any(serial in text for text in data(ask(tsugite, name, "TXT", tcp=True))))


def data(answer):
    """The data of the answers as text, sorted."""
    return sorted(record.to_text() for rrset in answer.answer for record in rrset)


class Upstream:
    """A DNS server at a port of its own. `reply(query, over_tcp)` gives the answer as bytes, a list of them, or `None`."""

    def __init__(self, reply):
        self.reply = reply
        self.asked = []
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.address = self.tcp.getsockname()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(self.address)
        for serve in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=serve, daemon=True).start()

    def _answers(self, wire, over_tcp):
        message = dns.message.from_wire(wire)
        self.asked.append((message, over_tcp))
        given = self.reply(message, over_tcp)
        return given if isinstance(given, list) else [given] if given else []

    def _serve_udp(self):
        with contextlib.suppress(OSError):
            while True:
                wire, client = self.udp.recvfrom(4096)
                for answer in self._answers(wire, False):
                    self.udp.sendto(answer, client)

    def _serve_tcp(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.tcp.accept()
                with connection:
                    if wire := receive(connection):
                        for answer in self._answers(wire, True):
                            connection.sendall(framed(answer))

    def close(self):
        self.udp.close()
        self.tcp.close()


def answered(message, *records, code=0, flags=0):
    """The wire form of an answer with these records (`name ttl type data`)."""
    response = dns.message.make_response(message, recursion_available=True)
    response.set_rcode(code)
    response.flags |= flags
    for name, ttl, kind, rdata in records:
        response.answer.append(dns.rrset.from_text(name, ttl, "IN", kind, rdata))
    return response.to_wire(max_size=65535)
