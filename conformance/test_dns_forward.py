"""Names that are not ours: refused, or asked of other servers."""

import socket
import time

import dns.flags
import dns.rcode
import pytest

from dns_help import Upstream, answered, ask, data, register


def upstream(start_tsugite, reply, config=""):
    other = Upstream(reply)
    host, port = other.address
    return start_tsugite(config=f"dns:\n  forward: [\"{host}:{port}\"]\n{config}"), other


def address(ip="192.0.2.7"):
    return lambda message, over_tcp: answered(message, (str(message.question[0].name), 60, "A", ip))


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
@pytest.mark.parametrize("edns", [-1, 0], ids=["plain", "edns"])
def test_foreign_names_are_asked_of_others(start_tsugite, tcp, edns):
    one, other = upstream(start_tsugite, address())
    register(one, "orders", "i1", 8001)
    answer = ask(one, "Www.Example.COM", "A", tcp, use_edns=edns)
    assert data(answer) == ["192.0.2.7"] and answer.flags & dns.flags.RA and not answer.flags & dns.flags.AA
    assert (answer.edns >= 0) == (edns >= 0)
    [(asked, _)] = other.asked
    assert str(asked.question[0].name).lower() == "www.example.com." and asked.flags & dns.flags.RD
    # Ours are answered by us, also that there are none.
    assert data(ask(one, "orders.internal", "A", tcp)) == ["127.0.0.1"]
    assert ask(one, "nothing.internal", "A", tcp).rcode() == dns.rcode.NXDOMAIN
    assert len(other.asked) == 1
    # Who does not want recursion gets none.
    assert ask(one, "www.example.com", "A", tcp, flags=0).rcode() == dns.rcode.REFUSED


def test_ids_case_and_ports_are_drawn_at_random(start_tsugite):
    one, other = upstream(start_tsugite, address())
    for _ in range(20):
        ask(one, "a-long-name-with-many-letters.example.com", "A")
    assert len({asked.id for asked, _ in other.asked}) >= 19
    assert len({str(asked.question[0].name) for asked, _ in other.asked}) == 20


def test_cut_answers_are_fetched_over_tcp(start_tsugite):
    def reply(message, over_tcp):
        if not over_tcp:
            return answered(message, flags=dns.flags.TC)
        name = str(message.question[0].name)
        return answered(message, *[(name, 60, "TXT", f'"{"x" * 200} {n}"') for n in range(20)])
    one, other = upstream(start_tsugite, reply)
    assert len(data(ask(one, "big.example.com", "TXT", tcp=True))) == 20
    assert [over_tcp for _, over_tcp in other.asked] == [False, True]
    # Over UDP our client has to come back as well.
    cut = ask(one, "big.example.com", "TXT")
    assert cut.flags & dns.flags.TC and not cut.answer


def test_forged_answers_are_not_taken(start_tsugite):
    def reply(message, over_tcp):
        good = answered(message, (str(message.question[0].name), 60, "A", "192.0.2.7"))
        if over_tcp:
            return good
        bad = answered(message, (str(message.question[0].name), 60, "A", "192.0.2.66"))
        wrong_id = bytes([bad[0] ^ 1]) + bad[1:]
        wrong_name = bad[:13] + bytes([bad[13] ^ 3]) + bad[14:]
        return [b"", b"\0", wrong_id, wrong_name, good]
    one, _ = upstream(start_tsugite, reply)
    for _ in range(5):
        assert data(ask(one, "www.example.com", "A")) == ["192.0.2.7"]


def test_an_answer_in_another_case_is_asked_for_again_over_tcp(start_tsugite):
    def reply(message, over_tcp):
        wire = answered(message, (str(message.question[0].name), 60, "A", "192.0.2.7"))
        return wire if over_tcp else wire[:12] + wire[12:].lower()
    one, other = upstream(start_tsugite, reply)
    assert data(ask(one, "many-letters-of-a-name.example.com", "A")) == ["192.0.2.7"]
    assert other.asked[-1][1], "over TCP"


def test_others_that_are_silent_or_gone_cost_bounded_time(start_tsugite):
    silent = Upstream(lambda message, over_tcp: None)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.bind(("127.0.0.1", 0))
        nobody = gone.getsockname()
    good = Upstream(address())
    servers = ", ".join(f'"{host}:{port}"' for host, port in [nobody, silent.address, good.address])
    one = start_tsugite(config=f"dns: {{forward: [{servers}]}}\n")
    begin = time.monotonic()
    assert data(ask(one, "www.example.com", "A")) == ["192.0.2.7"]
    assert time.monotonic() - begin < 3
    host, port = silent.address
    two = start_tsugite(config=f'dns: {{forward: ["{host}:{port}"]}}\n')
    begin = time.monotonic()
    assert ask(two, "www.example.com", "A").rcode() == dns.rcode.SERVFAIL
    assert time.monotonic() - begin < 4.5


def test_a_server_that_asks_us_back_makes_no_storm(start_tsugite):
    box = {}

    def reply(message, over_tcp):
        box["count"] = box.get("count", 0) + 1
        try:
            return ask(box["tsugite"], message.question[0].name, "A").to_wire()
        except Exception:
            return None
    one, _ = upstream(start_tsugite, reply)
    box["tsugite"] = one
    answer = ask(one, "loop.example.com", "A")
    assert answer.rcode() == dns.rcode.SERVFAIL
    assert box["count"] <= 4, box


def test_failures_of_one_server_are_not_those_of_all(start_tsugite):
    broken = Upstream(lambda message, over_tcp: answered(message, code=dns.rcode.SERVFAIL))
    good = Upstream(lambda message, over_tcp: answered(message, code=dns.rcode.NXDOMAIN))
    servers = ", ".join(f'"{host}:{port}"' for host, port in [broken.address, good.address])
    one = start_tsugite(config=f"dns: {{forward: [{servers}]}}\n")
    assert ask(one, "no.example.com", "A").rcode() == dns.rcode.NXDOMAIN
