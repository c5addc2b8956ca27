"""What Cloud Map admits by default and refuses with `registry.validation: strict`, as AWS does; and extensions."""

import pytest

from cloudmap_help import (
    finished, http_namespace, ids, private_namespace, public_namespace, refused, register, service, unique,
)

V4 = {"AWS_INSTANCE_IPV4": "192.0.2.1"}
V6 = {"AWS_INSTANCE_IPV6": "2001:db8::1"}
PORT = {"AWS_INSTANCE_PORT": "80"}


def records(*types):
    return {"RoutingPolicy": "WEIGHTED", "DnsRecords": [{"Type": type, "TTL": 5} for type in types]}


@pytest.fixture(scope="module")
def lenient(tsugite):
    return tsugite


@pytest.fixture
def strict(start_tsugite):
    return start_tsugite(config="registry: {validation: strict}\n")


# What is asked, and what a refusal names.
CASES = {
    "a public name without a dot": (
        "Name", lambda c: public_namespace(c, unique(""))),
    "a service name with a space": (
        "Name", lambda c: service(c, http_namespace(c), Name="my service")),
    "DNS records in an HTTP namespace": (
        "DnsConfig", lambda c: service(c, http_namespace(c), DnsConfig=records("A"))),
    "an active check in a private DNS namespace": (
        "HealthCheckConfig", lambda c: service(c, private_namespace(c), HealthCheckConfig={"Type": "TCP"})),
    "a change of a service in an HTTP namespace": (
        "HTTP namespace", lambda c: c.update_service(Id=service(c, http_namespace(c))["Id"], Service={})),
    "an attribute that nobody defined": (
        "AWS_NONSENSE", lambda c: register(c, service(c, http_namespace(c))["Id"], "i", AWS_NONSENSE="x")),
    "more than the id of a machine": (
        "color", lambda c: register(c, service(c, http_namespace(c))["Id"], "i", AWS_EC2_INSTANCE_ID="i-1", color="x")),
    "a list of values of a filter": (
        "TYPE", lambda c: c.list_namespaces(Filters=[{"Name": "TYPE", "Condition": "IN", "Values": ["HTTP"]}])),
} | {
    f"{'+'.join(types)} with {sorted(given)}": (
        missing, lambda c, types=types, given=given: register(
            c, service(c, private_namespace(c), DnsConfig=records(*types))["Id"], "i", **given))
    for types, given, missing in [
        (["A"], V6, "AWS_INSTANCE_IPV4"), (["AAAA"], V4, "AWS_INSTANCE_IPV6"),
        (["A", "AAAA"], V4, "AWS_INSTANCE_IPV6"), (["SRV"], V4, "AWS_INSTANCE_PORT"),
        (["SRV"], PORT, "AWS_INSTANCE_IPV4"), (["CNAME"], V4, "AWS_INSTANCE_CNAME"),
    ]
}


def test_lenient_admits_and_says_so(lenient):
    cloudmap = lenient.client("servicediscovery")
    for what, (_, call) in CASES.items():
        call(cloudmap)
    assert "AWS would refuse this" in lenient.log()
    assert "AWS_INSTANCE_CNAME" in lenient.log()


def test_strict_refuses(strict):
    cloudmap = strict.client("servicediscovery")
    for what, (naming, call) in CASES.items():
        refused("InvalidInput", call, c=cloudmap, naming=naming)
    good = private_namespace(cloudmap)
    for n, (types, given) in enumerate([
        (["A"], V4), (["A", "AAAA"], V4 | V6), (["SRV"], V6 | PORT), (["CNAME"], {"AWS_INSTANCE_CNAME": "a.example"}),
    ]):
        made = service(cloudmap, good, Name=f"s{n}", DnsConfig=records(*types))["Id"]
        finished(cloudmap, register(cloudmap, made, "i", **given))
    machine = service(cloudmap, http_namespace(cloudmap))["Id"]
    finished(cloudmap, register(cloudmap, machine, "i", AWS_EC2_INSTANCE_ID="i-0123456789abcdef0"))
    assert "AWS would refuse this" not in strict.log()


def test_what_neither_admits(lenient):
    cloudmap = lenient.client("servicediscovery")
    namespace = private_namespace(cloudmap)
    made = service(cloudmap, namespace, DnsConfig=records("A"))["Id"]
    for attributes, naming in [
        ({"AWS_ALIAS_DNS_NAME": "lb.elb.amazonaws.com"}, "load balancer"),
        ({"AWS_EC2_INSTANCE_ID": "i-1"}, "HTTP namespaces"),
        ({"TSUGITE_WEIGHT": "1001"}, "TSUGITE_WEIGHT"), ({"TSUGITE_TTL_MS": "1"}, "TSUGITE_TTL_MS"),
        ({"TSUGITE_OPENAPI": "openapi.json"}, "TSUGITE_OPENAPI"), ({"TSUGITE_ZONE": ""}, "TSUGITE_ZONE"),
        ({f"k{n}": "v" * 500 for n in range(10)}, "5000"),
    ]:
        refused("InvalidInput", register, cloudmap=cloudmap, service_id=made, instance="i", naming=naming, **attributes)
    for name in ("a..b", "-a", "a-", "x" * 64, ".".join(["x"] * 65), ""):
        if name:
            refused("InvalidInput", cloudmap.create_service, Name=name, NamespaceId=namespace, naming="Name")


def test_a_lease_by_attribute(start_tsugite):
    one = start_tsugite("--virtual-clock")
    cloudmap = one.client("servicediscovery")
    name = unique()
    made = service(cloudmap, http_namespace(cloudmap, name))["Id"]
    found = lambda: ids(cloudmap.discover_instances(NamespaceName=name, ServiceName="orders"))
    register(cloudmap, made, "i", TSUGITE_TTL_MS="10000")
    one.advance(9)
    register(cloudmap, made, "i", TSUGITE_TTL_MS="10000")
    one.advance(9)
    assert found() == ["i"], "registering again renews"
    one.advance(2)
    assert found() == []


def test_the_revision_changes_when_the_answer_can(lenient):
    cloudmap = lenient.client("servicediscovery")
    name = unique()
    made = service(cloudmap, http_namespace(cloudmap, name), HealthCheckCustomConfig={})["Id"]
    revision = lambda: cloudmap.discover_instances_revision(NamespaceName=name, ServiceName="orders")["InstancesRevision"]
    seen = revision()

    def changes(expected, what):
        nonlocal seen
        now = revision()
        assert (now > seen) if expected else (now == seen), what
        seen = now

    register(cloudmap, made, "i", a="1")
    changes(True, "registered")
    register(cloudmap, made, "i", a="1")
    changes(False, "registered again, the same")
    register(cloudmap, made, "i", a="2")
    changes(True, "other attributes")
    cloudmap.update_instance_custom_health_status(ServiceId=made, InstanceId="i", Status="UNHEALTHY")
    changes(False, "health")
    cloudmap.update_service_attributes(ServiceId=made, Attributes={"a": "1"})
    changes(False, "attributes of the service")
    other = service(cloudmap, http_namespace(cloudmap))["Id"]
    register(cloudmap, other, "i", a="1")
    changes(False, "another service")
    cloudmap.deregister_instance(ServiceId=made, InstanceId="i")
    changes(True, "deregistered")
