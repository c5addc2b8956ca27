"""Cloud Map with boto3, its shapes checked against the SDK's own model."""

import json
import threading
import time
import uuid

import pytest

from cloudmap_help import finished, ids, raw, refused, service


@pytest.fixture(scope="module")
def cloudmap(tsugite):
    return tsugite.client("servicediscovery")


@pytest.fixture
def name():
    return f"n-{uuid.uuid4().hex[:8]}.test"


@pytest.fixture
def namespace(cloudmap, name):
    """The id of a new HTTP namespace."""
    return finished(cloudmap, cloudmap.create_http_namespace(Name=name))["NAMESPACE"]


class TestNamespaces:
    def test_life_of_an_http_namespace(self, cloudmap, name):
        made = cloudmap.create_http_namespace(Name=name, Description="for tests", CreatorRequestId="r1")
        targets = finished(cloudmap, made)
        found = cloudmap.get_namespace(Id=targets["NAMESPACE"])["Namespace"]
        assert found["Name"] == name and found["Type"] == "HTTP" and found["Description"] == "for tests"
        assert found["ServiceCount"] == 0 and found["CreatorRequestId"] == "r1"
        assert found["Properties"]["HttpProperties"]["HttpName"] == name
        assert abs(found["CreateDate"].timestamp() - time.time()) < 60
        assert cloudmap.get_namespace(Id=found["Arn"])["Namespace"]["Id"] == found["Id"]
        again = cloudmap.create_http_namespace(Name=name, Description="for tests", CreatorRequestId="r1")
        assert again["OperationId"] == made["OperationId"]
        answer = refused("NamespaceAlreadyExists", cloudmap.create_http_namespace, Name=name, naming=name)
        assert answer["NamespaceId"] == found["Id"] and answer["CreatorRequestId"] == "r1"
        assert finished(cloudmap, cloudmap.delete_namespace(Id=found["Id"])) == {"NAMESPACE": found["Id"]}
        refused("NamespaceNotFound", cloudmap.get_namespace, Id=found["Id"], naming=found["Id"])

    def test_a_private_dns_namespace_has_a_soa(self, cloudmap, name):
        properties = {"DnsProperties": {"SOA": {"TTL": 7}}}
        made = cloudmap.create_private_dns_namespace(Name=name, Vpc="vpc-1", Properties=properties)
        found = cloudmap.get_namespace(Id=finished(cloudmap, made)["NAMESPACE"])["Namespace"]
        assert found["Type"] == "DNS_PRIVATE"
        assert found["Properties"]["DnsProperties"]["SOA"]["TTL"] == 7

    def test_lists_are_filtered_and_paged(self, cloudmap):
        prefix = uuid.uuid4().hex[:8]
        made = {finished(cloudmap, cloudmap.create_http_namespace(Name=f"{prefix}-{n}"))["NAMESPACE"] for n in range(5)}
        filters = [{"Name": "NAME", "Values": [prefix], "Condition": "BEGINS_WITH"}]
        pages = cloudmap.get_paginator("list_namespaces").paginate(Filters=filters, PaginationConfig={"PageSize": 2})
        sizes, found = [], set()
        for page in pages:
            sizes.append(len(page["Namespaces"]))
            found |= {n["Id"] for n in page["Namespaces"]}
        assert (sizes, found) == ([2, 2, 1], made)
        one = [{"Name": "NAME", "Values": [f"{prefix}-3"], "Condition": "EQ"}]
        assert len(cloudmap.list_namespaces(Filters=one)["Namespaces"]) == 1
        dns = filters + [{"Name": "TYPE", "Values": ["DNS_PRIVATE"]}]
        assert cloudmap.list_namespaces(Filters=dns)["Namespaces"] == []

    def test_what_is_in_use_stays(self, cloudmap, namespace):
        made = service(cloudmap, namespace)
        refused("ResourceInUse", cloudmap.delete_namespace, Id=namespace, naming=namespace)
        cloudmap.register_instance(ServiceId=made["Id"], InstanceId="i", Attributes={"a": "1"})
        refused("ResourceInUse", cloudmap.delete_service, Id=made["Id"], naming=made["Id"])


class TestServices:
    def test_life_of_a_service(self, cloudmap, namespace):
        made = service(cloudmap, namespace, Description="d", CreatorRequestId="s1",
                       HealthCheckCustomConfig={"FailureThreshold": 1})
        assert made["Type"] == "HTTP" and made["InstanceCount"] == 0
        assert made["HealthCheckCustomConfig"] == {"FailureThreshold": 1}
        assert cloudmap.get_service(Id=made["Id"])["Service"]["Arn"] == made["Arn"]
        assert cloudmap.get_service(Id=made["Arn"])["Service"]["Id"] == made["Id"]
        answer = refused("ServiceAlreadyExists", service, cloudmap=cloudmap, namespace=namespace, naming="orders")
        assert answer["ServiceId"] == made["Id"]
        listed = cloudmap.list_services(Filters=[{"Name": "NAMESPACE_ID", "Values": [namespace]}])["Services"]
        assert [s["Id"] for s in listed] == [made["Id"]]
        cloudmap.delete_service(Id=made["Id"])
        refused("ServiceNotFound", cloudmap.get_service, Id=made["Id"])
        refused("ServiceNotFound", cloudmap.delete_service, Id="srv-nonsense", naming="srv-nonsense")

    def test_dns_records(self, cloudmap, name):
        made = cloudmap.create_private_dns_namespace(Name=name, Vpc="vpc-1")
        namespace = finished(cloudmap, made)["NAMESPACE"]
        dns = {"RoutingPolicy": "WEIGHTED", "DnsRecords": [{"Type": "A", "TTL": 5}, {"Type": "AAAA", "TTL": 6}]}
        made = service(cloudmap, namespace, DnsConfig=dns)
        assert made["Type"] == "DNS_HTTP"
        assert made["DnsConfig"]["RoutingPolicy"] == "WEIGHTED"
        assert made["DnsConfig"]["DnsRecords"] == dns["DnsRecords"]
        for records, naming in [
            ([{"Type": "A", "TTL": 5}, {"Type": "SRV", "TTL": 5}], "SRV"),
            ([{"Type": "A", "TTL": 2147483648}], "TTL"),
            ([], "DnsRecords"),
        ]:
            refused("InvalidInput", cloudmap.create_service, Name="x", NamespaceId=namespace,
                    DnsConfig={"DnsRecords": records}, naming=naming)

    def test_health_sources_exclude_each_other(self, cloudmap, namespace):
        http = {"Type": "HTTP", "ResourcePath": "/health", "FailureThreshold": 2}
        assert service(cloudmap, namespace, Name="a", HealthCheckConfig=http)["HealthCheckConfig"] == http
        refused("InvalidInput", cloudmap.create_service, Name="b", NamespaceId=namespace,
                HealthCheckConfig=http, HealthCheckCustomConfig={})
        https = {"Type": "HTTPS", "ResourcePath": "/", "FailureThreshold": 1}
        assert service(cloudmap, namespace, Name="c", HealthCheckConfig={"Type": "HTTPS"})["HealthCheckConfig"] == https
        refused("InvalidInput", cloudmap.create_service, Name="d", NamespaceId=namespace,
                HealthCheckConfig={"Type": "GRPC"}, naming="GRPC")
        refused("InvalidInput", cloudmap.create_service, Name="d", NamespaceId=namespace,
                HealthCheckConfig={"Type": "HTTP", "FailureThreshold": 11}, naming="FailureThreshold")


class TestInstances:
    def test_life_of_an_instance(self, cloudmap, name, namespace):
        made = service(cloudmap, namespace)["Id"]
        attributes = {"AWS_INSTANCE_IPV4": "192.0.2.1", "AWS_INSTANCE_PORT": "8080", "color": "red"}
        registered = cloudmap.register_instance(
            ServiceId=made, InstanceId="i1", Attributes=attributes, CreatorRequestId="r1")
        assert finished(cloudmap, registered) == {"SERVICE": made, "INSTANCE": "i1"}
        (found,) = cloudmap.discover_instances(NamespaceName=name, ServiceName="orders")["Instances"]
        assert found == {
            "InstanceId": "i1", "NamespaceName": name, "ServiceName": "orders",
            "HealthStatus": "HEALTHY", "Attributes": attributes,
        }
        assert cloudmap.get_instance(ServiceId=made, InstanceId="i1")["Instance"]["Attributes"] == attributes
        assert cloudmap.get_service(Id=made)["Service"]["InstanceCount"] == 1
        again = cloudmap.register_instance(
            ServiceId=made, InstanceId="i1", Attributes=attributes, CreatorRequestId="r1")
        assert again["OperationId"] == registered["OperationId"]
        answer = refused("DuplicateRequest", cloudmap.register_instance, ServiceId=made, InstanceId="i1",
                         Attributes={"color": "blue"}, CreatorRequestId="r1")
        assert answer["DuplicateOperationId"] == registered["OperationId"]
        finished(cloudmap, cloudmap.deregister_instance(ServiceId=made, InstanceId="i1"))
        refused("InstanceNotFound", cloudmap.deregister_instance, ServiceId=made, InstanceId="i1", naming="i1")
        assert cloudmap.discover_instances(NamespaceName=name, ServiceName="orders")["Instances"] == []

    def test_rules(self, cloudmap, namespace):
        made = service(cloudmap, namespace)["Id"]
        for attributes, naming in [
            ({"AWS_INSTANCE_IPV4": "300.0.0.1"}, "AWS_INSTANCE_IPV4"),
            ({"AWS_INSTANCE_PORT": "x"}, "AWS_INSTANCE_PORT"),
            ({"AWS_ALIAS_DNS_NAME": "x.example"}, "AWS_ALIAS_DNS_NAME"),
            ({"AWS_INIT_HEALTH_STATUS": "HEALTHY"}, "AWS_INIT_HEALTH_STATUS"),
            ({"TSUGITE_PROTOCOL": "smtp"}, "TSUGITE_PROTOCOL"),
            ({f"k{n}": "v" for n in range(31)}, "30"),
            ({"k": "x" * 1025}, "1024"),
        ]:
            refused("InvalidInput", cloudmap.register_instance, ServiceId=made, InstanceId="i",
                    Attributes=attributes, naming=naming)
        refused("InvalidInput", cloudmap.register_instance, ServiceId=made, InstanceId="a b", Attributes={},
                naming="InstanceId")

    def test_lists_are_paged(self, cloudmap, namespace):
        made = service(cloudmap, namespace)["Id"]
        for n in range(7):
            cloudmap.register_instance(ServiceId=made, InstanceId=f"i{n}", Attributes={"n": str(n)})
        pages = cloudmap.get_paginator("list_instances").paginate(ServiceId=made, PaginationConfig={"PageSize": 3})
        assert [[i["Id"] for i in page["Instances"]] for page in pages] == [
            ["i0", "i1", "i2"], ["i3", "i4", "i5"], ["i6"]]
        refused("InvalidInput", cloudmap.list_instances, ServiceId=made, MaxResults=101, naming="MaxResults")


class TestDiscovery:
    @pytest.fixture
    def fleet(self, cloudmap, namespace):
        """Four instances of a service with custom health, one of them unhealthy."""
        made = service(cloudmap, namespace, HealthCheckCustomConfig={"FailureThreshold": 1})["Id"]
        for instance, attributes in {
            "red-1": {"color": "red", "size": "1"},
            "red-2": {"color": "red", "size": "2"},
            "blue-1": {"color": "blue", "size": "1"},
            "sick": {"color": "red", "AWS_INIT_HEALTH_STATUS": "UNHEALTHY"},
        }.items():
            cloudmap.register_instance(ServiceId=made, InstanceId=instance, Attributes=attributes)
        return made

    @pytest.mark.parametrize("more, expected", [
        ({}, ["blue-1", "red-1", "red-2"]),
        ({"HealthStatus": "ALL"}, ["blue-1", "red-1", "red-2", "sick"]),
        ({"HealthStatus": "UNHEALTHY"}, ["sick"]),
        ({"QueryParameters": {"color": "red"}}, ["red-1", "red-2"]),
        ({"QueryParameters": {"color": "red", "size": "1"}}, ["red-1"]),
        ({"QueryParameters": {"color": "green"}}, []),
        ({"QueryParameters": {"color": "red"}, "OptionalParameters": {"size": "2"}}, ["red-2"]),
        ({"QueryParameters": {"color": "red"}, "OptionalParameters": {"size": "9"}}, ["red-1", "red-2"]),
    ])
    def test_filters(self, cloudmap, name, fleet, more, expected):
        assert ids(cloudmap.discover_instances(NamespaceName=name, ServiceName="orders", **more)) == expected

    def test_pushed_health_takes_effect_at_once(self, cloudmap, name, fleet):
        find = lambda: cloudmap.discover_instances(NamespaceName=name, ServiceName="orders")
        before = find()["InstancesRevision"]
        for instance in ("red-1", "red-2", "blue-1"):
            cloudmap.update_instance_custom_health_status(ServiceId=fleet, InstanceId=instance, Status="UNHEALTHY")
        assert len(find()["Instances"]) == 4, "none healthy: all are returned"
        cloudmap.update_instance_custom_health_status(ServiceId=fleet, InstanceId="sick", Status="HEALTHY")
        answer = find()
        assert ids(answer) == ["sick"]
        assert answer["InstancesRevision"] == before, "health does not count as a revision"
        status = cloudmap.get_instances_health_status(ServiceId=fleet)["Status"]
        assert status == {"red-1": "UNHEALTHY", "red-2": "UNHEALTHY", "blue-1": "UNHEALTHY", "sick": "HEALTHY"}
        cloudmap.register_instance(ServiceId=fleet, InstanceId="new", Attributes={"a": "1"})
        revision = cloudmap.discover_instances_revision(NamespaceName=name, ServiceName="orders")
        assert revision["InstancesRevision"] > before

    def test_the_number_is_bounded_and_the_order_random(self, cloudmap, name, fleet):
        firsts = set()
        for _ in range(60):
            found = cloudmap.discover_instances(NamespaceName=name, ServiceName="orders", MaxResults=1)["Instances"]
            assert len(found) == 1
            firsts.add(found[0]["InstanceId"])
        assert firsts == {"red-1", "red-2", "blue-1"}

    def test_refusals(self, cloudmap, name, namespace, fleet):
        refused("NamespaceNotFound", cloudmap.discover_instances, NamespaceName="nowhere", ServiceName="orders",
                naming="nowhere")
        refused("ServiceNotFound", cloudmap.discover_instances, NamespaceName=name, ServiceName="nothing",
                naming="nothing")
        refused("InstanceNotFound", cloudmap.update_instance_custom_health_status, ServiceId=fleet,
                InstanceId="nobody", Status="HEALTHY")
        plain = service(cloudmap, namespace, Name="plain")["Id"]
        cloudmap.register_instance(ServiceId=plain, InstanceId="i", Attributes={"a": "1"})
        refused("CustomHealthNotFound", cloudmap.update_instance_custom_health_status, ServiceId=plain,
                InstanceId="i", Status="HEALTHY")

    @pytest.mark.parametrize("host", ["data-localhost", "data-127.0.0.1", "data-tsugite.localhost"])
    def test_with_the_host_prefix_that_sdks_add(self, tsugite, name, fleet, host):
        # Whether such a name resolves is for the client's system to say; here it is the Host of a raw request.
        port = tsugite.address("aws")[1]
        body = json.dumps({"NamespaceName": name, "ServiceName": "orders"})
        status, answer = raw(tsugite, "DiscoverInstances", body, {"host": f"{host}:{port}"})
        assert (status, len(answer["Instances"])) == (200, 3)


class TestOperations:
    def test_history(self, cloudmap, namespace):
        made = service(cloudmap, namespace)["Id"]
        begin = int(time.time()) - 5
        operations = [
            cloudmap.register_instance(ServiceId=made, InstanceId=f"i{n}", Attributes={"n": "1"})["OperationId"]
            for n in range(3)
        ]
        by_service = {"Name": "SERVICE_ID", "Values": [made]}
        listed = cloudmap.list_operations(Filters=[by_service])["Operations"]
        assert [o["Id"] for o in listed] == operations[::-1]
        for more, expected in [
            ({"Name": "TYPE", "Values": ["DEREGISTER_INSTANCE"]}, 0),
            ({"Name": "STATUS", "Values": ["SUCCESS", "FAIL"], "Condition": "IN"}, 3),
            ({"Name": "UPDATE_DATE", "Values": [str(begin), str(begin + 600)], "Condition": "BETWEEN"}, 3),
        ]:
            assert len(cloudmap.list_operations(Filters=[by_service, more])["Operations"]) == expected, more
        refused("OperationNotFound", cloudmap.get_operation, OperationId=str(uuid.uuid4()))
        refused("OperationNotFound", cloudmap.get_operation, OperationId="nonsense", naming="nonsense")


class TestWire:
    @pytest.mark.parametrize("action, body, status, code", [
        ("Fly", "{}", 404, "UnknownOperationException"),
        ("UpdateService", "{}", 400, "InvalidInput"),
        ("GetService", "{}", 400, "InvalidInput"),
        ("GetService", "{", 400, "SerializationException"),
        ("GetService", '{"Id":5}', 400, "SerializationException"),
        ("RegisterInstance", '{"ServiceId":"srv-1","InstanceId":"i"}', 400, "InvalidInput"),
        ("DiscoverInstances", '{"NamespaceName":"a","ServiceName":"b","HealthStatus":"WELL"}', 400, "InvalidInput"),
        ("ListNamespaces", '{"Filters":[{"Name":"COLOR","Values":["x"]}]}', 400, "InvalidInput"),
        ("ListNamespaces", '{"Filters":[{"Name":"NAME","Values":[]}]}', 400, "InvalidInput"),
        ("ListNamespaces", '{"NextToken":"nonsense"}', 400, "InvalidInput"),
    ])
    def test_bad_requests_are_named(self, tsugite, action, body, status, code):
        got, answer = raw(tsugite, action, body)
        assert (got, answer["__type"].rpartition("#")[2]) == (status, code), answer
        assert answer["Message"]

    def test_registrations_survive_a_crash(self, start_tsugite):
        one = start_tsugite()
        cloudmap = one.client("servicediscovery")
        namespace = finished(cloudmap, cloudmap.create_http_namespace(Name="shop"))["NAMESPACE"]
        made = service(cloudmap, namespace)["Id"]
        acknowledged, stop = [], threading.Event()

        def register():
            client = one.client("servicediscovery")
            for n in range(100_000):
                if stop.is_set():
                    return
                try:
                    client.register_instance(ServiceId=made, InstanceId=f"i{n}", Attributes={"n": str(n)})
                except Exception:  # the crash
                    return
                acknowledged.append(f"i{n}")

        writer = threading.Thread(target=register)
        writer.start()
        time.sleep(0.5)
        one.kill()
        stop.set()
        writer.join()
        one.start()
        cloudmap = one.client("servicediscovery")
        pages = cloudmap.get_paginator("list_instances").paginate(ServiceId=made)
        found = [i["Id"] for page in pages for i in page["Instances"]]
        assert set(acknowledged) <= set(found)
        assert len(found) <= len(acknowledged) + 1
        assert len(acknowledged) > 10


def test_the_account_of_somebody_else_is_refused(cloudmap, name, namespace):
    service(cloudmap, namespace)
    asked = {"NamespaceName": name, "ServiceName": "orders"}
    assert ids(cloudmap.discover_instances(**asked, OwnerAccount="000000000000")) == []
    for call in (cloudmap.discover_instances, cloudmap.discover_instances_revision):
        refused("InvalidInput", call, naming="OwnerAccount", **asked, OwnerAccount="123456789012")
