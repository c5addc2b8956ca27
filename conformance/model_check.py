"""Holds every SQS and SNS answer against the SDK's own service model, in whichever protocol the SDK speaks.

`watch()`, called once by `conftest.py`, looks at each answer to any client of a test as it comes over the wire, before
the SDK drops what it does not know: members unknown to the model, values of the wrong type, required members that are
missing, headers, and errors whose name, code and status do not belong together.
"""

import json
import uuid
import xml.etree.ElementTree

import boto3

NAMESPACE = "http://queue.amazonaws.com/doc/2012-11-05/"
PREFIX = "AWS.SimpleQueueService."
# Of signatures: JSON shape, (code of the Query protocol, status).
OF_SIGNATURES = {
    "IncompleteSignatureException": ("IncompleteSignature", 400),
    "InvalidSignatureException": ("SignatureDoesNotMatch", 403),
    "MissingAuthenticationTokenException": ("MissingAuthenticationToken", 403),
    "UnrecognizedClientException": ("InvalidClientTokenId", 403),
}
# JSON shape: (code of the Query protocol, status).
ERRORS = {
    "AccessDeniedException": ("AccessDenied", 403),
    "InvalidAttributeName": ("InvalidAttributeName", 400),
    "InvalidAttributeValue": ("InvalidAttributeValue", 400),
    "InvalidMessageContents": ("InvalidMessageContents", 400),
    "InvalidParameterValueException": ("InvalidParameterValue", 400),
    "MissingRequiredParameterException": ("MissingParameter", 400),
    "OverLimit": ("OverLimit", 403),
    "PurgeQueueInProgress": (PREFIX + "PurgeQueueInProgress", 403),
    "QueueDeletedRecently": (PREFIX + "QueueDeletedRecently", 400),
    "QueueDoesNotExist": (PREFIX + "NonExistentQueue", 400),
    "QueueNameExists": ("QueueAlreadyExists", 400),
    "ReceiptHandleIsInvalid": ("ReceiptHandleIsInvalid", 400),
    "RequestThrottled": ("RequestThrottled", 403),
    "ResourceNotFoundException": ("ResourceNotFoundException", 404),
    "SerializationException": ("SerializationException", 400),
    "ServiceUnavailable": ("ServiceUnavailable", 503),
} | {name: (PREFIX + name, 400) for name in (
    "BatchEntryIdsNotDistinct", "BatchRequestTooLong", "EmptyBatchRequest", "InvalidBatchEntryId",
    "TooManyEntriesInBatchRequest", "UnsupportedOperation")} | OF_SIGNATURES
# Required by the model, and left out by AWS when empty: Java's `hasFailed()` is true for an empty list.
NOT_ALWAYS = {"Successful", "Failed"}


def watch():
    """From now on an answer that the model does not allow fails the call, whoever made the client."""
    boto3.setup_default_session()
    boto3.DEFAULT_SESSION.events.register("after-call.sqs", _check)
    boto3.DEFAULT_SESSION.events.register("after-call.sns", _check_sns)


def _check(http_response, model, **_):
    headers, status, body = http_response.headers, http_response.status_code, http_response.content
    assert uuid.UUID(headers["x-amzn-requestid"])
    name, output = model.name, model.output_shape
    if model.service_model.metadata["protocol"] == "json":
        assert headers["content-type"] == "application/x-amz-json-1.0", headers
        answer = json.loads(body)
        if status == 200:
            _json(output, answer, name) if output else _same({}, answer, name)
        else:
            _json_error(answer, status, headers)
    else:
        assert headers["content-type"] == "text/xml", headers
        _query(xml.etree.ElementTree.fromstring(body), model, status, headers)


def _check_sns(http_response, model, **_):
    headers, status = http_response.headers, http_response.status_code
    assert headers["content-type"] == "text/xml", headers
    root = xml.etree.ElementTree.fromstring(http_response.content)
    tag = f"{{{model.service_model.metadata['xmlNamespace']}}}"
    if status != 200:
        error = {child.tag.removeprefix(tag): child.text for child in root.find(tag + "Error")}
        known = {shape.error_code: shape.metadata["error"]["httpStatusCode"] for shape in model.error_shapes}
        # What any action can answer (AWS: "Common errors" of SNS).
        common = {"InvalidAction": 400, "InvalidParameter": 400, "AuthorizationError": 403, "MalformedQueryString": 400,
                  "ServiceUnavailable": 503, "ValidationError": 400} | dict(OF_SIGNATURES.values())
        statuses = common | known
        assert error["Code"] in statuses, f"{model.name} has no error {error}"
        _same(statuses[error["Code"]], status, error)
        _same(_whose_fault(status), error["Type"], error)
        assert error["Message"], error
        request_id = root.find(tag + "RequestId").text
    else:
        _same(f"{tag}{model.name}Response", root.tag, model.name)
        output = model.output_shape
        wanted = [f"{tag}{model.name}Result"] * bool(output) + [tag + "ResponseMetadata"]
        _same(wanted, [child.tag for child in root], model.name)
        if output:
            _nested(output, root[0], tag, model.name)
        request_id = root[-1].find(tag + "RequestId").text
    _same(headers["x-amzn-requestid"], request_id, model.name)


def _nested(shape, element, tag, where):
    """XML in which a list is an element of `member`s and a map one of `entry`s."""
    kind, children = shape.type_name, list(element)
    if kind == "structure":
        seen = [child.tag.removeprefix(tag) for child in children]
        assert len(set(seen)) == len(seen) and set(seen) <= set(shape.members), f"{where}: {seen}"
        assert set(shape.required_members) <= set(seen), f"{where} lacks some of {shape.required_members}"
        for name, child in zip(seen, children):
            _nested(shape.members[name], child, tag, f"{where}.{name}")
    elif kind == "list":
        for child in children:
            _same(tag + "member", child.tag, where)
            _nested(shape.member, child, tag, where)
    elif kind == "map":
        for child in children:
            _same([tag + "entry", tag + "key", tag + "value"], [child.tag] + [part.tag for part in child], where)
            _nested(shape.value, child[1], tag, f"{where}[{child[0].text}]")
    else:
        assert not children, f"{where} must be plain text"
        if kind == "boolean":
            assert element.text in ("true", "false"), where
        _enum(shape, element.text, where)


def _same(expected, found, where):
    assert expected == found, f"{where}: {found!r} instead of {expected!r}"


def _json_error(answer, status, headers):
    namespace, shape = answer["__type"].split("#")
    _same("com.amazonaws.sqs", namespace, answer)
    assert isinstance(answer["message"], str) and answer["message"], answer
    assert shape in ERRORS, f"{shape} is no error of SQS: {answer}"
    code, expected = ERRORS[shape]
    _same(expected, status, answer)
    _same(f"{code};{_whose_fault(status)}", headers["x-amzn-query-error"], answer)


def _whose_fault(status):
    return "Receiver" if status >= 500 else "Sender"


def _json(shape, value, where):
    kind = shape.type_name
    types = {"structure": dict, "map": dict, "list": list, "string": str, "blob": str, "boolean": bool}
    assert type(value) is types.get(kind, int), f"{where}: {value!r} is no {kind}"
    if kind == "structure":
        for name, inner in value.items():
            assert name in shape.members, f"{where} has no member {name}"
            _json(shape.members[name], inner, f"{where}.{name}")
            assert inner not in ([], {}) or name in shape.required_members, f"{where}.{name} is there and empty"
        missing = set(shape.required_members) - set(value) - NOT_ALWAYS
        assert not missing, f"{where} lacks {missing}"
    elif kind == "list":
        for inner in value:
            _json(shape.member, inner, where)
    elif kind == "map":
        for name, inner in value.items():
            _enum(shape.key, name, where)
            _json(shape.value, inner, f"{where}[{name}]")
    elif kind == "string":
        _enum(shape, value, where)


def _enum(shape, value, where):
    allowed = getattr(shape, "enum", [])
    assert not allowed or value in allowed, f"{where}: {value!r} is none of {allowed}"


def _query(root, model, status, headers):
    tag = f"{{{NAMESPACE}}}"
    if status != 200:
        _same(tag + "ErrorResponse", root.tag, "error")
        parts = {child.tag.removeprefix(tag): child for child in root}
        _same(["Error", "RequestId"], list(parts), "error")
        error = {child.tag.removeprefix(tag): child.text for child in parts["Error"]}
        _same(["Type", "Code", "Message", "Detail"], list(error), "error")
        _same(_whose_fault(status), error["Type"], error)
        statuses = {code: expected for code, expected in ERRORS.values()} | {"MalformedInput": 400, "InvalidAction": 400}
        assert error["Code"] in statuses, error
        _same(statuses[error["Code"]], status, error)
        request_id = parts["RequestId"].text
    else:
        _same(f"{tag}{model.name}Response", root.tag, model.name)
        output = model.output_shape
        wanted = [f"{tag}{model.name}Result"] * bool(output) + [tag + "ResponseMetadata"]
        _same(wanted, [child.tag for child in root], model.name)
        if output:
            _xml(output, root[0], tag, model.name)
        request_id = root[-1].find(tag + "RequestId").text
    _same(headers["x-amzn-requestid"], request_id, model.name)


def _xml(shape, element, tag, where):
    kind = shape.type_name
    if kind == "structure":
        names = {_element_name(name, member): (name, member) for name, member in shape.members.items()}
        seen = set()
        for child in element:
            plain = child.tag.removeprefix(tag)
            assert plain in names, f"{where} has no element {plain}"
            name, member = names[plain]
            repeated = member.type_name in ("list", "map")
            assert repeated or name not in seen, f"{where} has two elements {plain}"
            seen.add(name)
            if member.type_name == "map":
                keys = [member.key.serialization.get("name", "key"), member.value.serialization.get("name", "value")]
                _same([tag + key for key in keys], [part.tag for part in child], where)
                _enum(member.key, child[0].text, where)
                _xml(member.value, child[1], tag, f"{where}.{name}")
            else:
                _xml(member.member if member.type_name == "list" else member, child, tag, f"{where}.{name}")
        empty = {name for name, member in shape.members.items() if member.type_name == "list"}
        missing = set(shape.required_members) - seen - empty
        assert not missing, f"{where} lacks {missing}"
    else:
        assert len(element) == 0, f"{where} must be plain text"
        if kind == "boolean":
            assert element.text in ("true", "false"), where
        elif kind in ("integer", "long"):
            int(element.text)


def _element_name(name, member):
    """Lists and maps are flattened: the element is one entry."""
    if member.type_name == "list":
        return member.member.serialization.get("name", name)
    return member.serialization.get("name", name)
