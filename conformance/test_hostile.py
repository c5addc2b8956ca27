"""Clients that mean ill or are broken: a clear error, bounded memory, no panic, and others are served."""

import socket
import time

import h2.config
import h2.connection
import pytest

from test_gateway import fetch, register, rest, until_routed  # noqa: F401 (rest is a fixture)

RSS_GROWTH_BYTES_MAX = 64 * 1024 * 1024
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture
def served(tsugite, rest):
    register(tsugite, "victim", rest.port, ttl_ms=120_000)
    until_routed(tsugite, "victim")
    before = tsugite.rss_bytes()
    yield tsugite
    # Whatever the test did: others are served, promptly, and memory did not run away.
    begin = time.monotonic()
    assert fetch(tsugite, "/victim/")[0] == 200
    assert time.monotonic() - begin < 1.0
    assert tsugite.rss_bytes() - before < RSS_GROWTH_BYTES_MAX
    assert "panicked" not in tsugite.log()


def connect(tsugite, role="gateway"):
    return socket.create_connection(tsugite.address(role), timeout=20)


def read_all(peer):
    """Everything until the other side closes."""
    received = b""
    try:
        while part := peer.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


def exchange(tsugite, request, role="gateway"):
    with connect(tsugite, role) as peer:
        try:
            peer.sendall(request)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return read_all(peer)


@pytest.mark.parametrize("role", ["gateway", "aws", "admin"])
def test_slow_loris(served, role):
    peers = [connect(served, role) for _ in range(300)]
    for peer in peers:
        peer.sendall(b"GET /victim/ HTTP/1.1\r\nHost: x\r\nX-")
    begin = time.monotonic()
    assert fetch(served, "/victim/")[0] == 200, "others are served meanwhile"
    assert time.monotonic() - begin < 0.5
    # A head that does not come is not waited for without end: the default is 10 s.
    answer = read_all(peers[0])
    assert time.monotonic() - begin < 15
    assert answer == b"" or b" 408 " in answer.split(b"\r\n")[0], answer
    for peer in peers:
        peer.close()


@pytest.mark.parametrize("role", ["gateway", "aws", "admin"])
@pytest.mark.parametrize(
    "flood",
    [b"".join(b"X-%d: y\r\n" % n for n in range(5000)), b"X: " + b"y" * 4_000_000 + b"\r\n"],
    ids=["many", "long"],
)
def test_header_floods(served, role, flood):
    answer = exchange(served, b"GET /victim/ HTTP/1.1\r\nHost: x\r\n" + flood + b"\r\n", role)
    # Closing in the middle of the flood resets the connection, and the answer may be lost with it.
    assert answer == b"" or answer.split(b" ")[1] in (b"431", b"400"), answer[:200]


@pytest.mark.parametrize(
    "request_head",
    [
        b"POST /victim/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /victim/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"POST /victim/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        b"POST /victim/ HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /victim/ HTTP/1.1\r\nHost: x\r\nBad Header: y\r\n\r\n",
        b"GET /victim/../secret HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /victim/ HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello TLS",
    ],
    ids=["cl-and-te", "two-cl", "te-not-last", "negative", "bad-name", "dot-dot", "no-host", "tls"],
)
def test_malformed_requests_are_refused(served, rest, request_head):
    calls = rest.calls
    with connect(served) as peer:
        peer.settimeout(15)
        peer.sendall(request_head)
        first = peer.recv(65536)
    assert first == b"" or first.startswith(b"HTTP/1.1 4"), first
    assert rest.calls == calls, "nothing of it reaches the service"


def test_half_closed_connections(served):
    """A client may close its side after the request; it gets its answer or a closed connection, and nothing stays."""
    for _ in range(50):
        with connect(served) as peer:
            peer.sendall(b"GET /victim/ HTTP/1.1\r\nHost: x\r\n\r\n")
            peer.shutdown(socket.SHUT_WR)
            answer = read_all(peer)
            assert answer == b"" or answer.startswith(b"HTTP/1.1 200"), answer


def test_a_body_that_stops_in_the_middle(served, rest):
    with connect(served) as peer:
        peer.sendall(b"POST /victim/echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
    time.sleep(0.1)
    assert fetch(served, "/victim/")[0] == 200


@pytest.mark.parametrize("cut", [3, 20, 24, 27, 33, 40, 60])
def test_truncated_http2_frames(served, cut):
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    client.send_headers(1, [(":method", "POST"), (":path", "/victim/"), (":scheme", "http"), (":authority", "x")])
    client.send_data(1, b"z" * 100)
    data = client.data_to_send()
    for _ in range(20):
        with connect(served) as peer:
            peer.sendall(data[:cut])
    with connect(served) as peer:
        peer.sendall(data[:cut])
        peer.shutdown(socket.SHUT_WR)
        peer.settimeout(15)
        read_all(peer)  # It is closed from the other side.


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",  # DATA of 16 MB.
        b"\x00\x00\x04\x01\x04\x00\x00\x00\x01\xff\xff\xff\xff",  # HEADERS with no HPACK in it.
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x07",  # SETTINGS on a stream.
        b"\x00\x00\x05\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",  # WINDOW_UPDATE of a wrong size.
        b"\x00\x00\x00\x09\x04\x00\x00\x00\x05",  # CONTINUATION of nothing.
    ],
    ids=["too-long", "no-hpack", "settings-on-stream", "window-size", "lone-continuation"],
)
def test_broken_http2_frames_end_the_connection(served, frame):
    settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    answer = exchange(served, PREFACE + settings + frame)
    # GOAWAY is frame type 7; a bare close is a clear answer too.
    assert answer == b"" or b"\x07" in answer


def test_http2_rapid_reset(served):
    """Streams opened and cancelled at once do not pile up behind the gateway."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    client.initiate_connection()
    headers = [(":method", "GET"), (":path", "/victim/"), (":scheme", "http"), (":authority", "x")]
    with connect(served) as peer:
        try:
            for turn in range(3000):
                client.send_headers(1 + 2 * turn, headers, end_stream=True)
                client.reset_stream(1 + 2 * turn)
                peer.sendall(client.data_to_send())
        except (BrokenPipeError, ConnectionResetError):
            pass  # Closed on us: well defended.


def test_aws_bodies_of_2_mib_are_refused_without_reading_on(served):
    body = b'{"QueueName": "' + b"x" * (2 * 1024 * 1024) + b'"}'
    head = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.CreateQueue\r\n"
        b"Content-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    )
    answer = exchange(served, head + body, "aws")
    assert answer == b"" or answer.split(b" ")[1] in (b"400", b"413"), answer[:200]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"QueueName": 7}', b'{"QueueName": {}}', b"\xff\xfe", b"[" * 100_000])
def test_malformed_json_is_a_client_error(served, body):
    head = (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.CreateQueue\r\n"
        b"Content-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
    )
    answer = exchange(served, head + body, "aws")
    assert answer.split(b" ")[1] == b"400", answer[:300]
    assert b"__type" in answer


def test_admin_refuses_other_hosts_and_origins(served):
    for header in (b"Host: evil.example", b"Host: localhost\r\nOrigin: http://evil.example"):
        answer = exchange(served, b"POST /v1/reset HTTP/1.1\r\n" + header + b"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "admin")
        assert answer.split(b" ")[1] in (b"403", b"421"), answer[:300]


def test_dns_survives_nonsense(served):
    host, port = served.address("dns")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for packet in (b"", b"\x00", b"\xff" * 600, b"\x12\x34\x01\x00\x00\x01" + b"\x00" * 6 + b"\xc0\x0c" * 20):
            peer.sendto(packet, (host, port))
    with connect(served, "dns") as peer:
        peer.sendall(b"\xff\xff half a message")
