"""Holds every answer of Cloud Map against the SDK's own service model, in JSON and in CBOR.

`watch()`, called once by `conftest.py`, looks at each answer to any client of a test as it comes over the wire, before
the SDK drops what it does not know. CBOR is read by a library that neither the SDK nor Tsugite shares.
"""

import datetime
import json
import re
import uuid

import boto3
import cbor2

# What any action can answer.
COMMON = {
    "AccessDeniedException": 403, "IncompleteSignatureException": 400, "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403, "SerializationException": 400, "ServiceUnavailable": 503,
    "UnknownOperationException": 404, "UnrecognizedClientException": 403,
}


def watch(events=None):
    """From now on an answer that the model does not allow fails the call, whoever made the client."""
    if events is None:
        boto3.setup_default_session()
        events = boto3.DEFAULT_SESSION.events
    events.register("after-call.servicediscovery", _check)


def _check(http_response, model, **_):
    headers, status, body = http_response.headers, http_response.status_code, http_response.content
    assert uuid.UUID(headers["x-amzn-requestid"])
    cbor = headers.get("smithy-protocol") == "rpc-v2-cbor"
    assert cbor == ("cbor" in model.service_model.resolved_protocol), headers
    wanted = "application/cbor" if cbor else "application/x-amz-json-1.1"
    if status == 200 and model.output_shape is None:
        assert body == b"" and headers.get("content-type") in (None, wanted), (headers, body)
        return
    assert headers["content-type"] == wanted, headers
    answer = cbor2.loads(body) if cbor else json.loads(body)
    if status == 200:
        _value(model.output_shape, answer, model.name)
        return
    namespace, shape = answer.pop("__type").split("#")
    assert namespace == "com.amazonaws.servicediscovery", answer
    assert answer["Message"], answer
    known = {error.name: error for error in model.error_shapes}
    assert shape in COMMON or shape in known, f"{model.name} has no error {shape}: {answer}"
    assert status == COMMON.get(shape, 400), (shape, status)
    if shape in known:
        _value(known[shape], answer, shape)


def _value(shape, value, where):
    kind = shape.type_name
    types = {"structure": dict, "map": dict, "list": list, "string": str, "timestamp": (float, datetime.datetime)}
    assert isinstance(value, types.get(kind, int)), f"{where}: {value!r} is no {kind}"
    if kind == "structure":
        for name, inner in value.items():
            assert name in shape.members, f"{where} has no member {name}"
            _value(shape.members[name], inner, f"{where}.{name}")
        # AWS itself answers `"SOA": {}` for HTTP namespaces.
        missing = set(shape.required_members) - set(value) if shape.name != "SOA" else set()
        assert not missing, f"{where} lacks {missing}"
    elif kind == "list":
        for inner in value:
            _value(shape.member, inner, where)
    elif kind == "map":
        for name, inner in value.items():
            _value(shape.key, name, where)
            _value(shape.value, inner, f"{where}[{name}]")
    elif kind == "string":
        allowed = getattr(shape, "enum", [])
        assert not allowed or value in allowed, f"{where}: {value!r} is none of {allowed}"
        most = shape.metadata.get("max")
        assert most is None or len(value) <= most, f"{where}: {value!r} is longer than {most}"
        pattern = shape.metadata.get("pattern")
        # Names with spaces are admitted unless validation is strict.
        if pattern and shape.name != "ServiceName" and not shape.name.startswith("NamespaceName"):
            assert re.search(pattern, value), f"{where}: {value!r} does not match {pattern}"
