"""Every kind of name that the DNS port knows, read by dig, dnspython and zeroconf."""

import re
import socket
import time
import uuid

import dns.rcode
import dns.resolver
import dns.reversename
import pytest
import zeroconf

from dns_help import ask, data, dig, header, query, register, short, until


@pytest.fixture
def name():
    return f"s{uuid.uuid4().hex[:8]}"


def test_zones_have_soa_and_ns_with_an_address(tsugite, name):
    register(tsugite, name, "i1", 8001)
    text = dig(tsugite, "internal", "NS")
    assert header(text)[2:] == (1, 0, 2), text
    assert re.search(r"ns\.internal\.\s+1\s+IN\s+A\s+127\.0\.0\.1", text), text
    assert short(tsugite, "ns.internal") == ["127.0.0.1"]
    soa = short(tsugite, "internal", "SOA")
    assert re.fullmatch(r"ns\.internal\. hostmaster\.internal\. \d+ 3600 600 86400 1", soa[0]), soa
    register(tsugite, name, "i2", 8002)
    later = short(tsugite, "internal", "SOA")
    assert int(later[0].split()[2]) > int(soa[0].split()[2]), "the serial number grows"


def not_there(answer):
    return answer if answer.rcode() == dns.rcode.NXDOMAIN else None


@pytest.mark.parametrize("tcp", [False, True], ids=["udp", "tcp"])
def test_instances_have_text_and_a_name_for_their_address(tsugite, name, tcp):
    ip = f"127.{int(name[1:3], 16)}.{int(name[3:5], 16)}.9"
    register(tsugite, name, "i1", 8001, address=ip, attributes={"zone": "a", "version": "1.4.2"})
    text = data(ask(tsugite, f"i1.{name}.internal", "TXT", tcp))[0]
    assert '"version=1.4.2" "zone=a"' in text and "127." not in text
    assert data(ask(tsugite, f"i1.{name}.internal", "SRV", tcp)) == [f"1 1 8001 i1.{name}.internal."]
    assert data(ask(tsugite, dns.reversename.from_address(ip), "PTR", tcp)) == [f"i1.{name}.internal."]
    tsugite.admin("DELETE", f"/v1/instances/internal/{name}/i1")
    gone = until(lambda: not_there(ask(tsugite, dns.reversename.from_address(ip), "PTR", tcp)))
    assert gone.authority[0].name.to_text() == "127.in-addr.arpa." and gone.authority[0].ttl == 1


def test_ipv6_addresses_have_names(tsugite, name):
    ip = f"fd00::{name[1:5]}"
    register(tsugite, name, "i6", 8001, address=ip)
    assert short(tsugite, str(dns.reversename.from_address(ip)), "PTR") == [f"i6.{name}.internal."]
    half = str(dns.reversename.from_address(ip)).split(".", 20)[20]
    assert header(dig(tsugite, half, "PTR"))[:1] == ("NOERROR",), "a name between"


def test_services_are_found_by_protocol(tsugite, name):
    register(tsugite, name, "web", 8001)
    register(tsugite, name, "rpc", 8002, protocol="grpc")
    assert short(tsugite, f"_http._tcp.{name}.internal", "SRV") == [f"1 1 8001 web.{name}.internal."]
    assert short(tsugite, f"_grpc._tcp.{name}.internal", "SRV") == [f"1 1 8002 rpc.{name}.internal."]
    assert len(short(tsugite, f"_{name}._tcp.internal", "SRV")) == 2
    # gRPC would take what answers to this for its load balancers.
    assert header(dig(tsugite, f"_grpclb._tcp.{name}.internal", "SRV"))[0] == "NXDOMAIN"
    assert header(dig(tsugite, f"_tcp.{name}.internal", "SRV"))[:1] == ("NOERROR",), "a name between"


def test_services_can_be_browsed(tsugite, name):
    register(tsugite, name, "i1", 8001, attributes={"path": "/x"})
    register(tsugite, name, "i.2", 8002)
    assert data(ask(tsugite, "b._dns-sd._udp.internal", "PTR")) == ["internal."]
    kinds = data(ask(tsugite, "_services._dns-sd._udp.internal", "PTR", tcp=True))
    assert f"_{name}._tcp.internal." in kinds
    found = ask(tsugite, f"_{name}._tcp.internal", "PTR")
    # A dot within a label is not one between labels.
    assert data(found) == [f"i1._{name}._tcp.internal.", rf"i\.2._{name}._tcp.internal."]
    told = {(rrset.name.to_text(), dns.rdatatype.to_text(rrset.rdtype)) for rrset in found.additional}
    assert (f"i1._{name}._tcp.internal.", "SRV") in told and (f"i1._{name}._tcp.internal.", "TXT") in told
    assert (f"i1.{name}.internal.", "A") in told
    assert '"path=/x"' in data(ask(tsugite, f"i1._{name}._tcp.internal", "TXT"))[0]
    assert data(ask(tsugite, rf"i\.2._{name}._tcp.internal", "SRV")) == [f"1 1 8002 i.2.{name}.internal."]


def test_zeroconf_reads_what_a_browser_gets(tsugite, name):
    register(tsugite, name, "i1", 8001, attributes={"path": "/x"})
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(query(f"_{name}._tcp.internal", kind=12), tsugite.address("dns"))
        read = zeroconf.DNSIncoming(sock.recv(4096))
    assert read.valid and read.is_response()
    told = {type(record): record for record in read.answers()}
    assert told[zeroconf.DNSPointer].alias == f"i1._{name}._tcp.internal."
    service = told[zeroconf.DNSService]
    assert (service.name, service.port) == (f"i1._{name}._tcp.internal.", 8001)
    assert service.server == f"i1.{name}.internal." == told[zeroconf.DNSAddress].name
    assert b"path=/x" in told[zeroconf.DNSText].text


def test_weights_are_those_of_srv_records(tsugite, name):
    register(tsugite, name, "plain", 8001)
    register(tsugite, name, "heavy", 8002, attributes={"TSUGITE_WEIGHT": "300"})
    assert short(tsugite, f"{name}.internal", "SRV") == [
        f"1 100 8001 plain.{name}.internal.", f"1 300 8002 heavy.{name}.internal."]


def test_aliases_are_followed(tsugite, name):
    cloud = tsugite.client("servicediscovery")
    register(tsugite, name, "i1", 8001)
    space = next(n["Id"] for n in cloud.list_namespaces()["Namespaces"] if n["Name"] == "internal")
    for alias, target in [(f"{name}-old", f"{name}.internal"), (f"{name}-out", "www.example.com")]:
        service = cloud.create_service(Name=alias, NamespaceId=space, DnsConfig={
            "RoutingPolicy": "WEIGHTED", "DnsRecords": [{"Type": "CNAME", "TTL": 5}]})["Service"]["Id"]
        cloud.register_instance(ServiceId=service, InstanceId="i", Attributes={"AWS_INSTANCE_CNAME": target})
    until(lambda: data(ask(tsugite, f"{name}-out.internal", "A")))
    assert data(ask(tsugite, f"{name}-old.internal", "A")) == ["127.0.0.1", f"{name}.internal."]
    assert data(ask(tsugite, f"{name}-old.internal", "CNAME")) == [f"{name}.internal."]
    assert data(ask(tsugite, f"{name}-out.internal", "A")) == ["www.example.com."]


def test_thousands_of_instances(start_tsugite):
    one = start_tsugite(config="dns: {max_answers: 10000}\n")
    for n in range(2_000):
        one.register("big", f"instance-{n}", 8000, address=f"127.1.{n >> 8}.{n & 255}", ttl_ms=0)
    until(lambda: data(ask(one, f"instance-{1_999}.big.internal", "A")))
    for size in [512, 1232, 4096]:
        cut = ask(one, "big.internal", "SRV", use_edns=0, payload=size)
        assert cut.flags & dns.flags.TC and len(cut.to_wire()) <= min(size, 1232)
        assert cut.answer
    begin = time.monotonic()
    whole = ask(one, "big.internal", "SRV", tcp=True)
    took = time.monotonic() - begin
    assert len(whole.answer[0]) > 1_000 and whole.flags & dns.flags.TC
    addresses = ask(one, "big.internal", "A", tcp=True)
    assert len(addresses.answer[0]) == 2_000 and not addresses.flags & dns.flags.TC
    assert took < 1, "dnspython takes most of it"


def test_a_plain_resolver_finds_a_service(tsugite, name):
    register(tsugite, name, "i1", 8001)
    host, port = tsugite.address("dns")
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [host], port
    assert [str(record) for record in resolver.resolve(f"{name}.internal", "A")] == ["127.0.0.1"]
    [service] = resolver.resolve(f"{name}.internal", "SRV")
    assert (service.port, str(service.target)) == (8001, f"i1.{name}.internal.")
    with pytest.raises(dns.resolver.NoAnswer):
        resolver.resolve(f"{name}.internal", "AAAA")
    with pytest.raises(dns.resolver.NXDOMAIN):
        resolver.resolve(f"no-{name}.internal", "A")


def test_edns_options_of_the_future(tsugite, name):
    register(tsugite, name, "i1", 8001)
    for option in ["+ednsopt=65001:abcd", "+cookie=0123456789abcdef", "+nsid", "+subnet=10.0.0.0/8", "+padding=128"]:
        status, flags, answers, *_ = header(dig(tsugite, f"{name}.internal", "A", option))
        assert (status, answers) == ("NOERROR", 1) and "aa" in flags, option


def test_answers_come_from_where_they_were_asked(start_tsugite):
    one = start_tsugite("--insecure", "--dns", "0.0.0.0:0", roles=("gateway", "aws", "admin"))
    one.register("orders", "i1", 8001, ttl_ms=0)
    port = one.address("dns")[1]
    for host in ("127.0.0.1", "127.0.0.5", "127.9.9.9"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            # Connected, so that an answer from elsewhere is not seen; a burst, so that answers leave together.
            sock.connect((host, port))
            for n in range(40):
                sock.send(query("orders.internal", ident=n))
            assert {int.from_bytes(sock.recv(512)[:2], "big") for _ in range(40)} == set(range(40))
