"""Signatures in every form that botocore's signers make, in both modes that verify them; and each way to spoil one."""

import hashlib
import json
import random
import urllib.parse

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from test_auth import ALICE, CLOUD_MAP, OTHER, ROOT, At, either, fetch  # noqa: F401 (a fixture)

LIST = "Action=ListQueues&Version=2012-11-05"
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
JSON = {"Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": "AmazonSQS.ListQueues"}


class QueryAt(At, SigV4QueryAuth):
    """Pre-signs as if it were another time."""


def signed(server, kind, *, signer=None, key=ROOT, token=None, region="us-east-1", service="sqs", path="/", query=LIST,
           body=b"{}", headers=None, expires=60):
    """A signed request that lists queues: `get` and `presigned` in the query, `form` and `json` in the body."""
    credentials = Credentials(*key, token)
    if kind in ("get", "presigned"):
        request = AWSRequest("GET", server.url("aws", f"{path}?{query}"), headers=headers or {})
    elif kind == "form":
        request = AWSRequest("POST", server.url("aws", path), data=query.encode(), headers=FORM | (headers or {}))
    else:
        request = AWSRequest("POST", server.url("aws", path), data=body, headers=JSON | (headers or {}))
    more = {"expires": expires} if kind == "presigned" else {}
    chosen = signer or (SigV4QueryAuth if kind == "presigned" else SigV4Auth)
    chosen(credentials, service, region, **more).add_auth(request)
    return request


def good(request):
    status, _, body = fetch(request.prepare())
    assert status == 200, (request.url, dict(request.headers), body)


def refused(request, code, naming, status=403):
    got, headers, body = fetch(request.prepare())
    told = headers.get("x-amzn-query-error", "").split(";")[0] if body.startswith("{") else body
    assert got == status and code in told and naming in body, (got, body)


KINDS = ["get", "form", "json", "presigned"]


@pytest.mark.parametrize("kind", KINDS)
class TestForms:
    def test_plain(self, either, kind):
        for key in (ROOT, ALICE, OTHER):
            for region in ("us-east-1", "eu-west-3"):
                good(signed(either, kind, key=key, region=region))
        refused(signed(either, kind, key=(ROOT[0], "wrong")), "SignatureDoesNotMatch", "does not match")
        refused(signed(either, kind, key=("AKIANOBODY", "x")), "InvalidClientTokenId", "AKIANOBODY")

    def test_with_a_session_token(self, either, kind):
        request = signed(either, kind, token="FwoGZXIvYXdz/+=%20 token")
        good(request)
        if kind == "presigned":
            request.url = request.url.replace("token", "takan")
        else:
            request.headers.replace_header("X-Amz-Security-Token", "another")
        refused(request, "SignatureDoesNotMatch", "does not match")

    @pytest.mark.parametrize("offset,naming", [(-880, None), (880, None), (-920, "Signature expired"),
                                               (920, "not yet current"), (-100_000, "Signature expired")])
    def test_clocks(self, either, kind, offset, naming):
        def signer(*args, **more):
            return (QueryAt if kind == "presigned" else At)(offset, *args, **more)

        # A pre-signed request is good for as long as it says, whatever the clock of the signer.
        request = signed(either, kind, signer=signer, expires=890)
        if naming is None:
            good(request)
        else:
            refused(request, "SignatureDoesNotMatch", naming)

    def test_scopes(self, either, kind):
        for service in ("sns", "s3", "execute-api", "SQS"):
            refused(signed(either, kind, service=service), "SignatureDoesNotMatch", "'sqs'")

    def test_a_region_in_another_place_than_it_was_signed_for(self, either, kind):
        request = signed(either, kind, region="eu-west-3")
        if kind == "presigned":
            request.url = request.url.replace("eu-west-3", "eu-west-2")
        else:
            header = request.headers["Authorization"].replace("eu-west-3", "eu-west-2")
            request.headers.replace_header("Authorization", header)
        refused(request, "SignatureDoesNotMatch", "does not match")

    def test_another_day_than_the_request(self, either, kind):
        request = signed(either, kind)
        date = request.context["timestamp"][:8]
        if kind == "presigned":
            request.url = request.url.replace(f"%2F{date}%2F", "%2F20200101%2F")
        else:
            header = request.headers["Authorization"].replace(f"/{date}/", "/20200101/")
            request.headers.replace_header("Authorization", header)
        refused(request, "SignatureDoesNotMatch", "20200101")

    def test_cut_or_changed_signatures(self, either, kind):
        for change in (lambda s: s[:-1], lambda s: s + "0", lambda s: "", lambda s: "0" * 64, lambda s: s[::-1],
                       lambda s: "zz" + s[2:]):
            request = signed(either, kind)
            if kind == "presigned":
                url, old = request.url.split("X-Amz-Signature=")
                request.url = f"{url}X-Amz-Signature={change(old)}"
            else:
                head, old = request.headers["Authorization"].split("Signature=")
                request.headers.replace_header("Authorization", f"{head}Signature={change(old)}")
            status, _, body = fetch(request.prepare())
            assert status in (400, 403) and ("SignatureDoesNotMatch" in body or "Incomplete" in body
                                             or "InvalidSignature" in body), (status, body)


def verified(request):
    """Found to be signed well, and then to ask for nothing that there is."""
    status, _, body = fetch(request.prepare())
    assert "Signature" not in body and "Token" not in body and status in (400, 404), (request.url, status, body)


@pytest.mark.parametrize("parameters", [
    {"b": "2", "a": "1", "A": "9", "a.1": "0", "a-b": "0", "B": ""}, {"empty": "", "x": " "}, {"x": "a b+c%20d"},
    {"x": "/~", "y": "//"}, {"ä": "ü", "漢": "字"}, {"x": "a&b=c"}, {"x": "'()*!"}, {"x": "a;b,c"}, {"x": "=", "y": "=="},
    {"x": "100%", "y": "%25", "z": "%"}, {"x": "\r\n\t\x00"}, {"x": "?#[]@:$"}, {"x": "\\\"<>^`{|}"},
])
def test_queries(either, parameters):
    """Parameters in byte order and in one encoding, whatever their order and form on the way."""
    parameters = {"Action": "Nothing", "Version": "2012-11-05"} | parameters
    # On the way a blank is a `+`; signed, it is `%20`.
    plain = AWSRequest("GET", either.url("aws", "/"), params=parameters)
    SigV4Auth(Credentials(*ROOT), "sqs", "us-east-1").add_auth(plain)
    verified(plain)
    for quote in (urllib.parse.quote, urllib.parse.quote_plus):
        query = urllib.parse.urlencode(parameters, quote_via=quote)
        presigned = AWSRequest("GET", either.url("aws", f"/?{query}"))
        SigV4QueryAuth(Credentials(*ROOT), "sqs", "us-east-1").add_auth(presigned)
        verified(presigned)


@pytest.mark.parametrize("path", [
    "/", "//", "/111111111111/q.fifo", "/a/./b/../c", "/a//b", "/with%20space", "/%C3%BC", "/a%2Fb", "/~tilde", "/a=b&c",
    "/x/",
])
def test_paths(either, path):
    """The path is signed as it is sent, dots, doubled slashes and all."""
    for kind in ("get", "presigned"):
        status, _, body = fetch(signed(either, kind, path=path).prepare())
        # Some of these are no queue's; every one is signed well.
        assert "Signature" not in body and status in (200, 400, 404), (path, status, body)


@pytest.mark.parametrize("value", ["plain", "  two   blanks  ", "\ttab", 'in "quotes  kept"', "a,b;c=d", "0"])
def test_headers(either, value):
    request = signed(either, "json", headers={"X-Amz-Meta-Value": value, "My-Header": "x  y"})
    good(request)
    request.headers.replace_header("X-Amz-Meta-Value", "other")
    refused(request, "SignatureDoesNotMatch", "does not match")


def test_what_was_not_signed_does_not_count(either):
    """Headers that came on the way are no harm; what says what to do must be signed."""
    request = signed(either, "json")
    request.headers["X-Forwarded-For"] = "10.0.0.1"
    request.headers["Accept-Encoding"] = "identity"
    good(request)
    for name in ("host", "x-amz-target"):
        request = signed(either, "json")
        header = request.headers["Authorization"]
        names = header.split("SignedHeaders=")[1].split(",")[0]
        fewer = ";".join(one for one in names.split(";") if one != name)
        request.headers.replace_header("Authorization", header.replace(names, fewer))
        refused(request, "SignatureDoesNotMatch", name)


class TestBodies:
    def test_a_hash_that_the_client_states(self, either):
        body = json.dumps({"QueueNamePrefix": "ü"}).encode()
        stated = {"X-Amz-Content-SHA256": hashlib.sha256(body).hexdigest()}
        good(signed(either, "json", body=body, headers=stated))
        refused(signed(either, "json", body=b"{}", headers=stated), "SignatureDoesNotMatch", "SHA-256")

    def test_unsigned(self, either):
        unsigned = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
        request = signed(either, "json", headers=unsigned)
        good(request)
        # The client chose not to sign its body, so another one is as good.
        request.data = b'{"MaxResults": 3}'
        good(request)
        request = signed(either, "json")
        request.headers["X-Amz-Content-SHA256"] = "UNSIGNED-PAYLOAD"
        refused(request, "SignatureDoesNotMatch", "does not match")

    @pytest.mark.parametrize("kind", ["form", "json"])
    def test_another_one(self, either, kind):
        request = signed(either, kind)
        request.data += b" "
        refused(request, "SignatureDoesNotMatch", "does not match")


@pytest.mark.parametrize("left_out", ["X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature"])
def test_presigned_without_a_part(either, left_out):
    request = signed(either, "presigned")
    parts = urllib.parse.urlsplit(request.url)
    query = "&".join(part for part in parts.query.split("&") if not part.startswith(left_out + "="))
    request.url = urllib.parse.urlunsplit(parts._replace(query=query))
    refused(request, "IncompleteSignature", left_out, status=400)


def test_presigned_by_random(either):
    """One change of any byte of the query, and it counts no more."""
    rng = random.Random(9)
    request = signed(either, "presigned", query=LIST + "&QueueNamePrefix=abcdef")
    start = request.url.index("?") + 1
    for _ in range(60):
        at = rng.randrange(start, len(request.url))
        old = request.url[at]
        new = rng.choice([c for c in "abcdef0123456789" if c != old.lower()])
        changed = AWSRequest("GET", request.url[:at] + new + request.url[at + 1:])
        status, _, body = fetch(changed.prepare())
        assert status in (400, 403), (changed.url, status, body)


def test_cloud_map_and_sns(either):
    json_headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"{CLOUD_MAP}.ListNamespaces"}
    for service, request in [
        ("sns", AWSRequest("GET", either.url("aws", "/?Action=ListTopics&Version=2010-03-31"))),
        ("servicediscovery", AWSRequest("POST", either.url("aws", "/"), data=b"{}", headers=json_headers)),
    ]:
        SigV4Auth(Credentials(*ROOT), service, "us-east-1").add_auth(request)
        good(request)
