"""Requests to the AWS port by hand: for what SDKs would never send."""

import contextlib
import http.client
import json
import socket


def post(tsugite, body=b"", target=None, path="/", headers=None, method="POST"):
    """One request: (status, headers, body as bytes)."""
    connection = http.client.HTTPConnection(*tsugite.address("aws"), timeout=15)
    sent = {"Content-Type": "application/x-amz-json-1.0"} | (headers or {})
    if target:
        sent["X-Amz-Target"] = target
    with contextlib.closing(connection):
        connection.request(method, path, body=body, headers=sent)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def sqs(tsugite, action, parameters, **more):
    """An SQS call without an SDK's own checks: (status, headers, parsed body)."""
    body = parameters if isinstance(parameters, bytes) else json.dumps(parameters).encode()
    status, headers, raw = post(tsugite, body, f"AmazonSQS.{action}", **more)
    return status, headers, json.loads(raw)


def form(tsugite, body, **more):
    """A request of the Query protocol: (status, headers, XML text)."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"} | more.pop("headers", {})
    status, headers, raw = post(tsugite, body.encode(), headers=headers, **more)
    return status, headers, raw.decode()


def exchange(tsugite, data, timeout=15):
    """Sends bytes and returns all that comes back until the server closes or `timeout` passes."""
    with socket.create_connection(tsugite.address("aws"), timeout=timeout) as connection:
        connection.sendall(data)
        received = b""
        with contextlib.suppress(TimeoutError):
            while chunk := connection.recv(65536):
                received += chunk
        return received
