"""Cloud Map with boto3: what changes namespaces and services, tags, attributes, and how requests are repeated."""

import re
import uuid

import pytest

from cloudmap_help import (
    finished, http_namespace, private_namespace, public_namespace, raw, refused, register, service, unique,
)

A = {"Type": "A", "TTL": 5}


@pytest.fixture(scope="module")
def cloudmap(tsugite):
    return tsugite.client("servicediscovery")


class TestNamespaces:
    def test_a_public_dns_namespace(self, cloudmap):
        name = unique(".example.com")
        found = cloudmap.get_namespace(Id=public_namespace(
            cloudmap, name, Description="d", CreatorRequestId=name, Properties={"DnsProperties": {"SOA": {"TTL": 9}}},
        ))["Namespace"]
        assert (found["Name"], found["Type"], found["Description"]) == (name, "DNS_PUBLIC", "d")
        assert found["Properties"]["DnsProperties"]["SOA"] == {"TTL": 9}
        assert re.fullmatch("Z[0-9A-Z]+", found["Properties"]["DnsProperties"]["HostedZoneId"])
        assert found["Properties"]["HttpProperties"] == {"HttpName": name}
        listed = cloudmap.list_namespaces(Filters=[{"Name": "TYPE", "Values": ["DNS_PUBLIC"]}])["Namespaces"]
        assert found["Id"] in [n["Id"] for n in listed]
        assert "CreatorRequestId" not in listed[0], "not in a summary"

    def test_an_http_namespace_has_an_empty_soa(self, cloudmap):
        found = cloudmap.get_namespace(Id=http_namespace(cloudmap))["Namespace"]
        assert found["Properties"]["DnsProperties"] == {"SOA": {}}

    @pytest.mark.parametrize("kind", ["http", "private_dns", "public_dns"])
    def test_updates(self, cloudmap, kind):
        make = {"http": http_namespace, "private_dns": private_namespace, "public_dns": public_namespace}
        id = make[kind](cloudmap, unique(".example.com"), Description="before")
        update = getattr(cloudmap, f"update_{kind}_namespace")
        change = {"Description": "after"}
        if kind != "http":
            change["Properties"] = {"DnsProperties": {"SOA": {"TTL": 77}}}
        request = uuid.uuid4().hex
        done = update(Id=id, UpdaterRequestId=request, Namespace=change)
        operation = cloudmap.get_operation(OperationId=done["OperationId"])["Operation"]
        assert (operation["Type"], operation["Targets"]) == ("UPDATE_NAMESPACE", {"NAMESPACE": id})
        found = cloudmap.get_namespace(Id=id)["Namespace"]
        assert found["Description"] == "after"
        assert found["Properties"]["DnsProperties"]["SOA"] == ({"TTL": 77} if kind != "http" else {})
        again = update(Id=found["Arn"], UpdaterRequestId=request, Namespace=change)
        assert again["OperationId"] == done["OperationId"]
        answer = refused("DuplicateRequest", update, Id=id, UpdaterRequestId=request,
                         Namespace=change | {"Description": "other"}, naming=request)
        assert answer["DuplicateOperationId"] == done["OperationId"]
        other = cloudmap.update_http_namespace if kind != "http" else cloudmap.update_public_dns_namespace
        refused("NamespaceNotFound", other, Id=id, Namespace={"Description": "x"}, naming=id)
        refused("NamespaceNotFound", update, Id="ns-nothing", Namespace={"Description": "x"}, naming="ns-nothing")

    def test_one_request_id_is_one_request(self, cloudmap):
        request, name = uuid.uuid4().hex, unique()
        made = cloudmap.create_http_namespace(Name=name, CreatorRequestId=request)
        assert re.fullmatch("[a-z0-9]{32}-[a-z0-9]{8}", made["OperationId"])
        answer = refused("DuplicateRequest", cloudmap.create_http_namespace, Name=unique(), CreatorRequestId=request,
                         naming=name)
        assert answer["DuplicateOperationId"] == made["OperationId"]
        refused("InvalidInput", cloudmap.create_http_namespace, Name=unique(), CreatorRequestId="x" * 65,
                naming="CreatorRequestId")


class TestServices:
    def test_an_update_removes_what_it_leaves_out(self, cloudmap):
        namespace = public_namespace(cloudmap, unique(".example.com"))
        check = {"Type": "HTTP", "ResourcePath": "/h", "FailureThreshold": 2}
        made = service(cloudmap, namespace, Description="before", HealthCheckConfig=check,
                       DnsConfig={"RoutingPolicy": "WEIGHTED", "DnsRecords": [A]})
        change = {"DnsConfig": {"DnsRecords": [A | {"TTL": 60}]}, "HealthCheckConfig": check | {"FailureThreshold": 3}}
        done = cloudmap.update_service(Id=made["Id"], Service=change)
        operation = cloudmap.get_operation(OperationId=done["OperationId"])["Operation"]
        assert (operation["Type"], operation["Targets"]) == ("UPDATE_SERVICE", {"SERVICE": made["Id"]})
        found = cloudmap.get_service(Id=made["Id"])["Service"]
        assert found["Description"] == "before"
        assert found["DnsConfig"]["DnsRecords"] == [{"Type": "A", "TTL": 60}]
        assert found["DnsConfig"]["RoutingPolicy"] == "WEIGHTED"
        assert found["HealthCheckConfig"]["FailureThreshold"] == 3
        finished(cloudmap, cloudmap.update_service(Id=made["Arn"], Service={"Description": "after"}))
        found = cloudmap.get_service(Id=made["Id"])["Service"]
        assert found["Description"] == "after" and found["Type"] == "HTTP"
        assert "DnsConfig" not in found and "HealthCheckConfig" not in found

    def test_pushed_health_is_neither_added_nor_removed(self, cloudmap):
        namespace = private_namespace(cloudmap)
        made = service(cloudmap, namespace, HealthCheckCustomConfig={}, DnsConfig={"DnsRecords": [A]})["Id"]
        refused("InvalidInput", cloudmap.update_service, Id=made, Service={"HealthCheckConfig": {"Type": "TCP"}},
                naming="HealthCheckCustomConfig")
        cloudmap.update_service(Id=made, Service={"Description": "x"})
        assert cloudmap.get_service(Id=made)["Service"]["HealthCheckCustomConfig"] == {"FailureThreshold": 1}

    @pytest.mark.parametrize("change, naming", [
        ({"DnsConfig": {"DnsRecords": [{"Type": "SRV", "TTL": 5}]}}, "DnsRecords"),
        ({"DnsConfig": {"DnsRecords": [A | {"TTL": 2147483648}]}}, "TTL"),
        ({"HealthCheckConfig": {"Type": "TCP"}}, "type"),
        ({"HealthCheckConfig": {"Type": "HTTP", "FailureThreshold": 11}}, "FailureThreshold"),
        ({"Description": "x" * 1025}, "Description"),
    ])
    def test_what_cannot_be_changed(self, cloudmap, change, naming):
        namespace = public_namespace(cloudmap, unique(".example.com"))
        made = service(cloudmap, namespace, DnsConfig={"DnsRecords": [A]}, HealthCheckConfig={"Type": "HTTP"})["Id"]
        refused("InvalidInput", cloudmap.update_service, Id=made, Service=change, naming=naming)
        refused("ServiceNotFound", cloudmap.update_service, Id="srv-none", Service={}, naming="srv-none")

    def test_a_cname_record(self, cloudmap):
        namespace = private_namespace(cloudmap)
        cname = [{"Type": "CNAME", "TTL": 5}]
        refused("InvalidInput", cloudmap.create_service, Name="c", NamespaceId=namespace, naming="WEIGHTED",
                DnsConfig={"RoutingPolicy": "MULTIVALUE", "DnsRecords": cname})
        weighted = {"RoutingPolicy": "WEIGHTED", "DnsRecords": cname}
        refused("InvalidInput", cloudmap.create_service, Name="c", NamespaceId=namespace, naming="HealthCheckConfig",
                DnsConfig=weighted, HealthCheckConfig={"Type": "TCP"})
        made = service(cloudmap, namespace, DnsConfig=weighted)["Id"]
        register(cloudmap, made, "i", AWS_INSTANCE_CNAME="elsewhere.example")
        refused("InvalidInput", register, cloudmap=cloudmap, service_id=made, instance="j",
                AWS_INSTANCE_CNAME="no name", naming="AWS_INSTANCE_CNAME")

    def test_who_exists_already(self, cloudmap):
        namespace = http_namespace(cloudmap)
        made = service(cloudmap, namespace, CreatorRequestId="first")
        answer = refused("ServiceAlreadyExists", service, cloudmap=cloudmap, namespace=namespace, naming="orders")
        assert answer["ServiceId"] == made["Id"] and answer["ServiceArn"] == made["Arn"]
        assert answer["CreatorRequestId"] == "first"


class TestServiceAttributes:
    def test_life(self, cloudmap):
        made = service(cloudmap, http_namespace(cloudmap))
        read = lambda: cloudmap.get_service_attributes(ServiceId=made["Id"])["ServiceAttributes"]
        assert read() == {"ServiceArn": made["Arn"], "ResourceOwner": "000000000000", "Attributes": {}}
        cloudmap.update_service_attributes(ServiceId=made["Id"], Attributes={"a": "1", "b": "2"})
        cloudmap.update_service_attributes(ServiceId=made["Arn"], Attributes={"b": "3", "c": ""})
        assert read()["Attributes"] == {"a": "1", "b": "3", "c": ""}
        cloudmap.delete_service_attributes(ServiceId=made["Id"], Attributes=["a", "absent"])
        assert read()["Attributes"] == {"b": "3", "c": ""}

    def test_limits(self, cloudmap):
        made = service(cloudmap, http_namespace(cloudmap))["Id"]
        many = {f"k{n}": "v" for n in range(30)}
        cloudmap.update_service_attributes(ServiceId=made, Attributes=many)
        cloudmap.update_service_attributes(ServiceId=made, Attributes={"k0": "w"})
        refused("ServiceAttributesLimitExceededException", cloudmap.update_service_attributes, ServiceId=made,
                Attributes={"more": "v"}, naming="30")
        for attributes, naming in [({"k" * 256: "v"}, "255"), ({"k": "v" * 1025}, "1024")]:
            refused("InvalidInput", cloudmap.update_service_attributes, ServiceId=made, Attributes=attributes,
                    naming=naming)
        refused("InvalidInput", cloudmap.delete_service_attributes, ServiceId=made,
                Attributes=[f"k{n}" for n in range(31)], naming="30")
        for call, attributes in [
            (cloudmap.update_service_attributes, {"Attributes": {"a": "b"}}),
            (cloudmap.delete_service_attributes, {"Attributes": ["a"]}),
            (cloudmap.get_service_attributes, {}),
        ]:
            refused("ServiceNotFound", call, ServiceId="srv-none", naming="srv-none", **attributes)


class TestTags:
    def test_tags_at_creation_and_later(self, cloudmap):
        tags = [{"Key": "env", "Value": "test"}]
        namespace = cloudmap.get_namespace(Id=http_namespace(cloudmap, Tags=tags))["Namespace"]
        made = service(cloudmap, namespace["Id"], Tags=tags)
        dns = cloudmap.get_namespace(Id=private_namespace(cloudmap, Tags=tags))["Namespace"]
        for arn in (namespace["Arn"], made["Arn"], dns["Arn"]):
            read = lambda: cloudmap.list_tags_for_resource(ResourceARN=arn)["Tags"]
            assert read() == tags
            cloudmap.tag_resource(ResourceARN=arn, Tags=[{"Key": "env", "Value": "prod"}, {"Key": "a", "Value": ""}])
            assert read() == [{"Key": "a", "Value": ""}, {"Key": "env", "Value": "prod"}]
            cloudmap.untag_resource(ResourceARN=arn, TagKeys=["env", "absent"])
            assert read() == [{"Key": "a", "Value": ""}]

    def test_limits(self, cloudmap):
        arn = cloudmap.get_namespace(Id=http_namespace(cloudmap))["Namespace"]["Arn"]
        many = [{"Key": f"k{n}", "Value": "v"} for n in range(51)]
        cloudmap.tag_resource(ResourceARN=arn, Tags=many[:50])
        answer = refused("TooManyTagsException", cloudmap.tag_resource, ResourceARN=arn, Tags=many[50:], naming="50")
        assert answer["ResourceName"] == arn
        refused("TooManyTagsException", cloudmap.create_http_namespace, Name=unique(), Tags=many, naming="51")
        for tag, naming in [
            ({"Key": "k" * 129, "Value": "v"}, "tag key"), ({"Key": "k", "Value": "v" * 257}, "tag value"),
            ({"Key": "aws:x", "Value": "v"}, "aws:x"),
        ]:
            refused("InvalidInput", cloudmap.tag_resource, ResourceARN=arn, Tags=[tag], naming=naming)
        refused("InvalidInput", cloudmap.tag_resource, ResourceARN=arn, Tags=[many[0], many[0]], naming="k0")

    @pytest.mark.parametrize("arn, code", [
        ("arn:aws:servicediscovery:us-east-1:000000000000:namespace/ns-0000000000000000", "ResourceNotFoundException"),
        ("arn:aws:servicediscovery:us-east-1:000000000000:service/srv-none", "ResourceNotFoundException"),
        ("arn:aws:sqs:us-east-1:000000000000:queue", "InvalidInput"),
        ("ns-0000000000000000", "InvalidInput"),
    ])
    def test_what_has_no_tags(self, cloudmap, arn, code):
        refused(code, cloudmap.list_tags_for_resource, ResourceARN=arn, naming=arn[-16:])
        refused(code, cloudmap.tag_resource, ResourceARN=arn, Tags=[{"Key": "a", "Value": "b"}])
        refused(code, cloudmap.untag_resource, ResourceARN=arn, TagKeys=["a"])


class TestFilters:
    @pytest.mark.parametrize("call, filter, good", [
        ("list_namespaces", ("TYPE", "EQ", ["HTTP"]), True),
        ("list_namespaces", ("TYPE", "EQ", ["SMTP"]), False),
        ("list_namespaces", ("HTTP_NAME", "BEGINS_WITH", ["x"]), True),
        ("list_namespaces", ("NAME", "BETWEEN", ["a", "b"]), False),
        ("list_namespaces", ("NAME", "EQ", ["a", "b"]), False),
        ("list_namespaces", ("NAME", "IN", ["a", "b"]), True),
        ("list_namespaces", ("RESOURCE_OWNER", "EQ", ["SELF"]), True),
        ("list_namespaces", ("RESOURCE_OWNER", "EQ", ["ME"]), False),
        ("list_services", ("NAMESPACE_ID", "EQ", ["ns-x"]), True),
        ("list_services", ("NAMESPACE_ID", "BEGINS_WITH", ["ns-x"]), False),
        ("list_operations", ("STATUS", "IN", ["SUCCESS", "FAIL"]), True),
        ("list_operations", ("STATUS", "EQ", ["DONE"]), False),
        ("list_operations", ("TYPE", "EQ", ["UPDATE_NAMESPACE"]), True),
        ("list_operations", ("UPDATE_DATE", "BETWEEN", ["1587055860.121", "1587055861"]), True),
        ("list_operations", ("UPDATE_DATE", "BETWEEN", ["yesterday", "today"]), False),
        ("list_operations", ("UPDATE_DATE", "EQ", ["1"]), False),
        ("list_operations", ("SERVICE_ID", "EQ", ["x" * 256]), False),
    ])
    def test_conditions(self, cloudmap, call, filter, good):
        name, condition, values = filter
        filters = [{"Name": name, "Condition": condition, "Values": values}]
        if good:
            getattr(cloudmap, call)(Filters=filters)
        else:
            refused("InvalidInput", getattr(cloudmap, call), Filters=filters, naming=name)

    def test_owners(self, cloudmap):
        namespace = http_namespace(cloudmap)
        service(cloudmap, namespace)
        of = lambda owner: [{"Name": "RESOURCE_OWNER", "Values": [owner]}]
        assert cloudmap.list_namespaces(Filters=of("SELF"))["Namespaces"]
        assert cloudmap.list_services(Filters=of("SELF"))["Services"]
        assert cloudmap.list_namespaces(Filters=of("OTHER_ACCOUNTS"))["Namespaces"] == []
        assert cloudmap.list_services(Filters=of("OTHER_ACCOUNTS"))["Services"] == []

    def test_operations_of_a_namespace_include_those_in_it(self, cloudmap):
        namespace = http_namespace(cloudmap)
        made = service(cloudmap, namespace)["Id"]
        operation = register(cloudmap, made, "i", a="1")["OperationId"]
        listed = cloudmap.list_operations(Filters=[{"Name": "NAMESPACE_ID", "Values": [namespace]}])["Operations"]
        assert [o["Id"] for o in listed][0] == operation and len(listed) == 2

    def test_every_list_has_pages(self, cloudmap):
        namespace = http_namespace(cloudmap)
        services = [service(cloudmap, namespace, Name=f"s{n}")["Id"] for n in range(5)]
        by = [{"Name": "NAMESPACE_ID", "Values": [namespace]}]
        pages = cloudmap.get_paginator("list_services").paginate(Filters=by, PaginationConfig={"PageSize": 2})
        pages = [[s["Id"] for s in page["Services"]] for page in pages]
        assert [len(page) for page in pages] == [2, 2, 1] and sorted(sum(pages, [])) == sorted(services)
        names = [f"i{n}" for n in range(5)]
        for name in names:
            register(cloudmap, services[0], name, a="1")
        by = [{"Name": "SERVICE_ID", "Values": [services[0]]}]
        pages = cloudmap.get_paginator("list_operations").paginate(Filters=by, PaginationConfig={"PageSize": 2})
        assert [len(page["Operations"]) for page in pages] == [2, 2, 1]
        for wanted in ({}, {"Instances": names}):
            found, token = {}, None
            while True:
                more = {"NextToken": token} if token else {}
                page = cloudmap.get_instances_health_status(ServiceId=services[0], MaxResults=2, **more, **wanted)
                assert len(page["Status"]) <= 2
                found |= page["Status"]
                token = page.get("NextToken")
                if token is None:
                    break
            assert found == dict.fromkeys(names, "HEALTHY")
        refused("InstanceNotFound", cloudmap.get_instances_health_status, ServiceId=services[0], Instances=["none"],
                naming="none")


def test_changes_survive_a_crash(start_tsugite):
    one = start_tsugite()
    cloudmap = one.client("servicediscovery")
    namespace = http_namespace(cloudmap, Tags=[{"Key": "a", "Value": "b"}])
    made = service(cloudmap, namespace)
    done = cloudmap.update_http_namespace(Id=namespace, UpdaterRequestId="u", Namespace={"Description": "after"})
    cloudmap.update_service_attributes(ServiceId=made["Id"], Attributes={"k": "v"})
    one.restart(crash=True)
    cloudmap = one.client("servicediscovery")
    again = cloudmap.update_http_namespace(Id=namespace, UpdaterRequestId="u", Namespace={"Description": "after"})
    assert again["OperationId"] == done["OperationId"]
    assert finished(cloudmap, done) == {"NAMESPACE": namespace}
    found = cloudmap.get_namespace(Id=namespace)["Namespace"]
    assert found["Description"] == "after"
    assert cloudmap.list_tags_for_resource(ResourceARN=found["Arn"])["Tags"] == [{"Key": "a", "Value": "b"}]
    attributes = cloudmap.get_service_attributes(ServiceId=made["Id"])["ServiceAttributes"]["Attributes"]
    assert attributes == {"k": "v"}


@pytest.mark.parametrize("action, body", [
    ("CreatePublicDnsNamespace", '{"Name":"a.example","Properties":{}}'),
    ("UpdateHttpNamespace", '{"Id":"ns-0000000000000000","Namespace":{}}'),
    ("UpdatePrivateDnsNamespace", '{"Id":"ns-0000000000000000"}'),
    ("UpdateService", '{"Id":"srv-1"}'),
    ("TagResource", '{"ResourceARN":"arn:aws:servicediscovery:r:0:service/srv-0000000000000000"}'),
    ("TagResource", '{"Tags":[]}'),
    ("UntagResource", '{"ResourceARN":"arn:aws:servicediscovery:r:0:service/srv-0000000000000000"}'),
    ("UpdateServiceAttributes", '{"ServiceId":"srv-0000000000000000"}'),
    ("DeleteServiceAttributes", '{"ServiceId":"srv-0000000000000000","Attributes":[]}'),
    ("ListTagsForResource", "{}"),
    ("GetInstancesHealthStatus", '{"ServiceId":"srv-0000000000000000","Instances":[]}'),
])
def test_what_is_missing_is_named(tsugite, action, body):
    status, answer = raw(tsugite, action, body)
    assert (status, answer["__type"].rpartition("#")[2]) == (400, "InvalidInput"), answer
    assert "must contain the parameter" in answer["Message"], answer
