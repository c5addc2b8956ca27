"""Cloud Map over Smithy's RPC v2 in CBOR, which newer SDKs choose: the same operations, and what goes wrong by hand."""

import datetime
import json

import cbor2
import pytest

import cloudmap_help
from cloudmap_help import TARGET, finished, http_namespace, ids, refused, register, service, unique


@pytest.fixture(scope="module", params=["json", "smithy-rpc-v2-cbor"])
def cloudmap(request, tsugite):
    return cloudmap_help.client(tsugite, request.param)


def call(tsugite, action, body, headers=None, path=None):
    """(status, headers, answer) of a request by hand; `body` is bytes, or what CBOR can say."""
    sent = body if isinstance(body, bytes) else cbor2.dumps(body)
    status, headers, answer = cloudmap_help.post(
        tsugite, path or f"/service/{TARGET}/operation/{action}", sent,
        {"smithy-protocol": "rpc-v2-cbor", "content-type": "application/cbor", "accept": "application/cbor"}
        | (headers or {}))
    assert headers["smithy-protocol"] == "rpc-v2-cbor"
    return status, headers, cbor2.loads(answer) if answer else None


def test_every_operation(cloudmap):
    name = unique(".example.com")
    tags = [{"Key": "k", "Value": "ü"}]
    made = cloudmap.create_private_dns_namespace(Name=name, Vpc="v", Tags=tags)
    namespace = finished(cloudmap, made)["NAMESPACE"]
    public = finished(cloudmap, cloudmap.create_public_dns_namespace(Name=unique(".example.com")))["NAMESPACE"]
    http = http_namespace(cloudmap)
    soa = {"DnsProperties": {"SOA": {"TTL": 2147483647}}}
    cloudmap.update_private_dns_namespace(Id=namespace, Namespace={"Description": "é", "Properties": soa})
    cloudmap.update_public_dns_namespace(Id=public, Namespace={"Description": "d"})
    cloudmap.update_http_namespace(Id=http, Namespace={"Description": "d"})
    found = cloudmap.get_namespace(Id=namespace)["Namespace"]
    assert found["Description"] == "é" and found["Properties"]["DnsProperties"]["SOA"]["TTL"] == 2147483647
    age = datetime.datetime.now(datetime.timezone.utc) - found["CreateDate"]
    assert abs(age.total_seconds()) < 60
    listed = cloudmap.list_namespaces(Filters=[{"Name": "NAME", "Values": [name]}])["Namespaces"]
    assert [n["Id"] for n in listed] == [namespace]

    made = service(cloudmap, namespace, HealthCheckCustomConfig={"FailureThreshold": 1},
                   DnsConfig={"DnsRecords": [{"Type": "A", "TTL": 0}]})
    id = made["Id"]
    assert made["DnsConfig"]["DnsRecords"] == [{"Type": "A", "TTL": 0}]
    cloudmap.update_service(Id=id, Service={"Description": "d", "DnsConfig": {"DnsRecords": [{"Type": "A", "TTL": 7}]}})
    assert cloudmap.get_service(Id=id)["Service"]["DnsConfig"]["DnsRecords"][0]["TTL"] == 7
    assert [s["Id"] for s in cloudmap.list_services(Filters=[{"Name": "NAMESPACE_ID", "Values": [namespace]}])
            ["Services"]] == [id]
    cloudmap.update_service_attributes(ServiceId=id, Attributes={"a": "1", "b": "2"})
    cloudmap.delete_service_attributes(ServiceId=id, Attributes=["a"])
    assert cloudmap.get_service_attributes(ServiceId=id)["ServiceAttributes"]["Attributes"] == {"b": "2"}
    cloudmap.tag_resource(ResourceARN=made["Arn"], Tags=tags)
    assert cloudmap.list_tags_for_resource(ResourceARN=made["Arn"])["Tags"] == tags
    cloudmap.untag_resource(ResourceARN=made["Arn"], TagKeys=["k"])

    done = register(cloudmap, id, "i1", AWS_INSTANCE_IPV4="192.0.2.1", color="red")
    register(cloudmap, id, "i2", AWS_INSTANCE_IPV4="192.0.2.2", color="blue")
    operation = cloudmap.get_operation(OperationId=done["OperationId"])["Operation"]
    assert operation["Targets"] == {"SERVICE": id, "INSTANCE": "i1"}
    assert cloudmap.list_operations(MaxResults=1)["Operations"][0]["Status"] == "SUCCESS"
    assert cloudmap.get_instance(ServiceId=id, InstanceId="i1")["Instance"]["Attributes"]["color"] == "red"
    assert len(cloudmap.list_instances(ServiceId=id)["Instances"]) == 2
    cloudmap.update_instance_custom_health_status(ServiceId=id, InstanceId="i2", Status="UNHEALTHY")
    assert cloudmap.get_instances_health_status(ServiceId=id)["Status"] == {"i1": "HEALTHY", "i2": "UNHEALTHY"}
    asked = {"NamespaceName": name, "ServiceName": "orders"}
    answer = cloudmap.discover_instances(**asked)
    assert ids(answer) == ["i1"]
    assert ids(cloudmap.discover_instances(**asked, HealthStatus="ALL", QueryParameters={"color": "blue"})) == ["i2"]
    assert cloudmap.discover_instances_revision(**asked)["InstancesRevision"] == answer["InstancesRevision"]
    for instance in ("i1", "i2"):
        cloudmap.deregister_instance(ServiceId=id, InstanceId=instance)
    cloudmap.delete_service(Id=id)
    for gone in (namespace, public, http):
        finished(cloudmap, cloudmap.delete_namespace(Id=gone))


def test_errors_and_their_members(cloudmap):
    name = unique()
    namespace = http_namespace(cloudmap, name, CreatorRequestId=name)
    answer = refused("NamespaceAlreadyExists", cloudmap.create_http_namespace, Name=name, naming=name)
    assert (answer["NamespaceId"], answer["CreatorRequestId"]) == (namespace, name)
    answer = refused("DuplicateRequest", cloudmap.create_http_namespace, Name=unique(), CreatorRequestId=name)
    assert finished(cloudmap, {"OperationId": answer["DuplicateOperationId"]}) == {"NAMESPACE": namespace}
    refused("ServiceNotFound", cloudmap.get_service, Id="srv-none", naming="srv-none")
    refused("InvalidInput", cloudmap.create_service, Name="a..b", NamespaceId=namespace, naming="a..b")


class TestByHand:
    def test_lengths_may_be_left_open(self, tsugite):
        name = unique()
        key = bytes([0x7f, 0x62, *b"Na", 0x62, *b"me", 0xff])
        body = b"\xbf" + key + b"\x7f" + b"".join(cbor2.dumps(part) for part in (name[:3], name[3:])) + b"\xff\xff"
        status, headers, answer = call(tsugite, "CreateHttpNamespace", body)
        assert (status, headers["content-type"]) == (200, "application/cbor"), answer
        assert len(answer["OperationId"]) == 41

    def test_a_time_is_tagged(self, tsugite):
        _, _, made = call(tsugite, "CreateHttpNamespace", {"Name": unique()})
        _, _, answer = call(tsugite, "GetOperation", {"OperationId": made["OperationId"]})
        # Tag 1 is what the library makes a datetime of.
        assert isinstance(answer["Operation"]["CreateDate"], datetime.datetime)

    @pytest.mark.parametrize("action, body, status, code, naming", [
        ("ListNamespaces", b"", 200, None, ""),
        ("ListNamespaces", {}, 200, None, ""),
        ("ListNamespaces", {"MaxResults": None}, 200, None, ""),
        ("ListNamespaces", b"\xa0\xa0", 400, "SerializationException", "after its end"),
        ("ListNamespaces", b"\xff", 400, "SerializationException", "out of place"),
        ("ListNamespaces", b"\x9b" + b"\xff" * 8, 400, "SerializationException", "ends too early"),
        ("ListNamespaces", b"\x81" * 100_000, 400, "SerializationException", "nested too deeply"),
        ("ListNamespaces", b"{}", 400, "SerializationException", "CBOR"),
        ("ListNamespaces", [], 400, "SerializationException", "must be a CBOR map"),
        ("ListNamespaces", {"MaxResults": "5"}, 400, "SerializationException", "MaxResults"),
        ("ListNamespaces", {"MaxResults": 2**64 - 1}, 400, "SerializationException", "MaxResults"),
        ("ListNamespaces", {"MaxResults": 101}, 400, "InvalidInput", "MaxResults"),
        ("GetService", {"Id": b"srv"}, 400, "SerializationException", "byte string"),
        ("GetService", {}, 400, "InvalidInput", "Id"),
        ("Fly", {}, 404, "UnknownOperationException", "Fly"),
    ])
    def test_bad_requests_are_named(self, tsugite, action, body, status, code, naming):
        got, headers, answer = call(tsugite, action, body)
        assert (got, headers["content-type"]) == (status, "application/cbor"), answer
        if code:
            assert answer["__type"] == f"com.amazonaws.servicediscovery#{code}", answer
            assert naming in answer["Message"], answer

    @pytest.mark.parametrize("path", ["/", "/service/AmazonSQS/operation/ListQueues", f"/service/{TARGET}/ListServices"])
    def test_other_paths_name_nothing(self, tsugite, path):
        status, _, answer = call(tsugite, "", {}, path=path)
        assert (status, answer["__type"].rpartition("#")[2]) == (404, "UnknownOperationException")

    def test_pages_of_others_stay_out(self, tsugite):
        status, _, answer = call(tsugite, "ListNamespaces", {}, headers={"origin": "http://evil.example"})
        assert (status, answer["__type"].rpartition("#")[2]) == (403, "AccessDeniedException")

    def test_json_at_the_same_path_is_not_taken_for_cbor(self, tsugite):
        status, _, answer = cloudmap_help.post(
            tsugite, "/", b"{}",
            {"content-type": "application/x-amz-json-1.1", "x-amz-target": f"{TARGET}.ListNamespaces"})
        assert status == 200 and "Namespaces" in json.loads(answer)


KEY = "orders-secret-0123456789"
AUTH = f"""
aws:
  account: "000000000000"
  auth: known
  keys:
    - {{id: AKIDHOME, secret: {KEY}}}
    - {{id: AKIDOTHER, secret: {KEY}, account: "111111111111"}}
"""


@pytest.mark.parametrize("protocol", ["json", "smithy-rpc-v2-cbor"])
def test_signatures(start_tsugite, protocol, monkeypatch):
    one = start_tsugite(config=AUTH)

    def client(key, secret):
        made = cloudmap_help.client(one, protocol)
        # The helper signs with a key of its own.
        made._request_signer._credentials.access_key = key
        made._request_signer._credentials.secret_key = secret
        return made

    home = client("AKIDHOME", KEY)
    name = unique()
    http_namespace(home, name)
    for key, secret, code in [
        ("AKIDHOME", "wrong-secret-0123456789", "InvalidSignatureException"),
        ("AKIDNOBODY", KEY, "UnrecognizedClientException"),
        ("AKIDOTHER", KEY, "AccessDeniedException"),
    ]:
        with pytest.raises(home.exceptions.ClientError) as caught:
            client(key, secret).list_namespaces()
        assert caught.value.response["Error"]["Code"] == code, key
    assert [n["Name"] for n in home.list_namespaces()["Namespaces"]] == [name]
