"""What the tests of Cloud Map share."""

import copy
import json
import urllib.error
import urllib.request
import uuid

import boto3
import botocore.config
import botocore.exceptions
import botocore.session
import pytest

import cloudmap_check

TARGET = "Route53AutoNaming_v20170314"


def finished(cloudmap, answer):
    """The targets of an operation, which must have succeeded."""
    operation = cloudmap.get_operation(OperationId=answer["OperationId"])["Operation"]
    assert operation["Status"] == "SUCCESS", operation
    return operation["Targets"]


def unique(suffix=".test"):
    return f"n-{uuid.uuid4().hex[:8]}{suffix}"


def http_namespace(cloudmap, name=None, **more):
    return finished(cloudmap, cloudmap.create_http_namespace(Name=name or unique(), **more))["NAMESPACE"]


def private_namespace(cloudmap, name=None, **more):
    made = cloudmap.create_private_dns_namespace(Name=name or unique(), Vpc="vpc-1", **more)
    return finished(cloudmap, made)["NAMESPACE"]


def public_namespace(cloudmap, name=None, **more):
    made = cloudmap.create_public_dns_namespace(Name=name or unique(), **more)
    return finished(cloudmap, made)["NAMESPACE"]


def service(cloudmap, namespace, **more):
    return cloudmap.create_service(**({"Name": "orders", "NamespaceId": namespace} | more))["Service"]


def register(cloudmap, service_id, instance, **attributes):
    return cloudmap.register_instance(ServiceId=service_id, InstanceId=instance, Attributes=attributes)


def ids(answer):
    return sorted(i["InstanceId"] for i in answer["Instances"])


def refused(code, call, *, naming="", **parameters):
    """The answer to a call that must be refused so."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    answer = caught.value.response
    assert answer["Error"]["Code"] == code, answer
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert naming in answer["Error"]["Message"], answer["Error"]["Message"]
    return answer


def raw(tsugite, action, body, headers=None):
    """(status, body) of a request in JSON that no SDK would send."""
    status, _, answer = post(tsugite, "/", body.encode(), {
        "content-type": "application/x-amz-json-1.1", "x-amz-target": f"{TARGET}.{action}",
    } | (headers or {}))
    return status, json.loads(answer or b"null")


def post(tsugite, path, body, headers):
    """(status, headers, bytes) of any request."""
    request = urllib.request.Request(tsugite.url("aws", path), data=body, method="POST", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers, answer.read()


def client(tsugite, protocol, **config):
    """An unmodified client that speaks `json` or `smithy-rpc-v2-cbor`, whichever its model puts first.

    The model of botocore lists only JSON up to 1.43 and CBOR first from 1.44; both have serializers for both.
    """
    core = botocore.session.get_session()
    loader = core.get_component("data_loader")
    load = loader.load_service_model

    def load_with(service_name, type_name, api_version=None):
        model = load(service_name, type_name, api_version)
        if (service_name, type_name) == ("servicediscovery", "service-2"):
            model = copy.deepcopy(model)
            model["metadata"] |= {"protocol": protocol, "protocols": [protocol], "jsonVersion": "1.1"}
        return model

    loader.load_service_model = load_with
    cloudmap_check.watch(core)
    return boto3.Session(botocore_session=core).client(
        "servicediscovery", endpoint_url=tsugite.url("aws"), region_name="us-east-1",
        aws_access_key_id="test", aws_secret_access_key="test",
        config=botocore.config.Config(**({"retries": {"max_attempts": 1}, "inject_host_prefix": False} | config)))
