//! AWS's published test suite for Signature Version 4, and what a verifier must refuse.

use std::time::Duration;

use proptest::prelude::*;
use tsugite_base::Timestamp;

use super::{Claim, Fault, MAX_EXPIRES, Request, SigningKey, date};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const STAMP: &str = "20150830T123600Z";
const TOKEN: &str = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==";

/// Name, method, path and query, headers beside `host` and `x-amz-date`, body, signed headers, signature.
type Vector = (
    &'static str,
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
    &'static str,
);

const PLAIN: &str = "host;x-amz-date";
const UNRESERVED: &str = "/?-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz=-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[rustfmt::skip]
const SUITE: &[Vector] = &[
    ("get-vanilla", "GET", "/", &[], "", PLAIN,
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-header-key-duplicate", "GET", "/",
     &[("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")], "", "host;my-header1;x-amz-date",
     "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea"),
    ("get-header-value-multiline", "GET", "/",
     &[("my-header1", "value1"), ("my-header1", "  value2"), ("my-header1", "     value3")], "",
     "host;my-header1;x-amz-date", "ba17b383a53190154eb5fa66a1b836cc297cc0a3d70a5d00705980573d8ff790"),
    ("get-header-value-order", "GET", "/",
     &[("my-header1", "value4"), ("my-header1", "value1"), ("my-header1", "value3"), ("my-header1", "value2")], "",
     "host;my-header1;x-amz-date", "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"),
    ("get-header-value-trim", "GET", "/", &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")], "",
     "host;my-header1;my-header2;x-amz-date", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"),
    ("get-unreserved", "GET", "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", &[], "", PLAIN,
     "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"),
    ("get-utf8", "GET", "/ሴ", &[], "", PLAIN,
     "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    ("get-vanilla-empty-query-key", "GET", "/?Param1=value1", &[], "", PLAIN,
     "a67d582fa61cc504c4bae71f336f98b97f1ea3c7a6bfe1b6e45aec72011b9aeb"),
    ("get-vanilla-query-order-key", "GET", "/?Param1=value2&Param1=Value1", &[], "", PLAIN,
     "eedbc4e291e521cf13422ffca22be7d2eb8146eecf653089df300a15b2382bd1"),
    ("get-vanilla-query-order-key-case", "GET", "/?Param2=value2&Param1=value1", &[], "", PLAIN,
     "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"),
    ("get-vanilla-query-order-value", "GET", "/?Param1=value2&Param1=value1", &[], "", PLAIN,
     "5772eed61e12b33fae39ee5e7012498b51d56abc0abb7c60486157bd471c4694"),
    ("get-vanilla-query-unreserved", "GET", UNRESERVED, &[], "", PLAIN,
     "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197"),
    ("get-vanilla-utf8-query", "GET", "/?ሴ=bar", &[], "", PLAIN,
     "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
    ("post-vanilla", "POST", "/", &[], "", PLAIN,
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ("post-header-key-sort", "POST", "/", &[("my-header1", "value1")], "", "host;my-header1;x-amz-date",
     "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c"),
    ("post-header-value-case", "POST", "/", &[("my-header1", "VALUE1")], "", "host;my-header1;x-amz-date",
     "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d"),
    ("post-vanilla-query", "POST", "/?Param1=value1", &[], "", PLAIN,
     "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11"),
    ("post-x-www-form-urlencoded", "POST", "/", &[("content-type", "application/x-www-form-urlencoded")],
     "Param1=value1", "content-type;host;x-amz-date",
     "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"),
    ("post-x-www-form-urlencoded-parameters", "POST", "/",
     &[("content-type", "application/x-www-form-urlencoded; charset=utf8")],
     "Param1=value1", "content-type;host;x-amz-date",
     "1a72ec8f64bd914b0e42e42607c7fbce7fb2c7465f63e3092b3b0d39fa77a6fe"),
    ("get-relative", "GET", "/example/..", &[], "", PLAIN,
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-relative-relative", "GET", "/example1/example2/../..", &[], "", PLAIN,
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-slash", "GET", "//", &[], "", PLAIN,
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-slash-dot-slash", "GET", "/./", &[], "", PLAIN,
     "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    ("get-slash-pointless-dot", "GET", "/./example", &[], "", PLAIN,
     "ef75d96142cf21edca26f06005da7988e4f8dc83a165a80865db7089db637ec5"),
    ("get-slashes", "GET", "//example//", &[], "", PLAIN,
     "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84"),
    ("get-space", "GET", "/example space/", &[], "", PLAIN,
     "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"),
    ("post-sts-header-after", "POST", "/", &[("x-amz-security-token", TOKEN)], "", PLAIN,
     "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    ("post-sts-header-before", "POST", "/", &[("x-amz-security-token", TOKEN)], "",
     "host;x-amz-date;x-amz-security-token",
     "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"),
];

/// A signed request whose parts can be changed one by one.
#[derive(Clone)]
struct Signed {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Signed {
    fn of(vector: &Vector) -> Signed {
        let (_, method, target, headers, body, names, signature) = vector;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut all = vec![
            ("host".to_owned(), "example.amazonaws.com".to_owned()),
            ("x-amz-date".to_owned(), STAMP.to_owned()),
        ];
        all.extend(
            headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        all.push((
            "authorization".to_owned(),
            format!(
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders={names}, Signature={signature}"
            ),
        ));
        Signed {
            method: (*method).to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: all,
            body: (*body).to_owned(),
        }
    }

    fn vanilla() -> Signed {
        Signed::of(&SUITE[0])
    }

    fn set(mut self, name: &str, value: &str) -> Signed {
        self.headers.retain(|(key, _)| key != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn verify_at(&self, now: Timestamp) -> Result<(), Fault> {
        let headers: Vec<(&str, &[u8])> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let request = Request {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers: &headers,
            body: self.body.as_bytes(),
        };
        let claim = Claim::read(&request)?.expect("it is signed");
        claim.check_scope("service", now)?;
        let scope = claim.scope();
        let key = SigningKey::derive(SECRET, scope.date, scope.region, scope.service);
        claim.verify(&request, &key)
    }

    fn verify(&self) -> Result<(), Fault> {
        self.verify_at(then())
    }
}

fn then() -> Timestamp {
    date::basic(STAMP).unwrap()
}

#[test]
fn the_published_suite() {
    for vector in SUITE {
        assert_eq!(Signed::of(vector).verify(), Ok(()), "{}", vector.0);
    }
}

#[test]
fn every_change_is_noticed() {
    for vector in SUITE {
        let good = Signed::of(vector);
        let mut changed = vec![good.clone().set("host", "evil.example"); 4];
        changed[0].method = "PUT".into();
        changed[1].path.push('x');
        changed[2].query.push_str("&Admin=true");
        changed[3].body.push(' ');
        for bad in &mut changed[..4] {
            assert!(matches!(bad.verify(), Err(Fault::Mismatch(_))), "{}", vector.0);
            bad.headers.clone_from(&good.headers);
            assert!(matches!(bad.verify(), Err(Fault::Mismatch(_))), "{}", vector.0);
        }
    }
}

#[test]
fn times() {
    let good = Signed::vanilla();
    let minutes = |n: u64| Duration::from_secs(n * 60);
    for at in [then() - minutes(15), then() + minutes(15)] {
        assert_eq!(good.verify_at(at), Ok(()));
    }
    let second = Duration::from_secs(1);
    let late = good.verify_at(then() + minutes(15) + second).unwrap_err();
    assert!(
        late.to_string()
            .starts_with("Signature expired: 20150830T123600Z"),
        "{late}"
    );
    let early = good.verify_at(then() - minutes(15) - second).unwrap_err();
    assert!(
        early.to_string().starts_with("Signature not yet current"),
        "{early}"
    );
    assert!(matches!(
        (late, early),
        (Fault::OutOfTime(_), Fault::OutOfTime(_))
    ));
}

#[test]
fn the_header_date_serves_too() {
    // The signature covers the moment, not its spelling: the same signature under another header is another request,
    // because the names of the headers are signed.
    let mut by_date = Signed::vanilla();
    by_date.headers.retain(|(name, _)| name != "x-amz-date");
    let by_date = by_date.set("date", "Sun, 30 Aug 2015 12:36:00 GMT");
    assert!(matches!(by_date.verify(), Err(Fault::Mismatch(_))));
    let signed = by_date.set(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request,SignedHeaders=date;host,\
         Signature=0000000000000000000000000000000000000000000000000000000000000000",
    );
    assert!(
        matches!(signed.verify(), Err(Fault::Mismatch(_))),
        "spaces after commas are optional"
    );
}

#[test]
fn incomplete_claims() {
    let hex = "0".repeat(64);
    let credential = "Credential=AKID/20150830/us-east-1/service/aws4_request";
    for (header, naming) in [
        ("Basic dXNlcjpwYXNz".to_owned(), "AWS4-HMAC-SHA256"),
        (
            "AWS4-ECDSA-P256-SHA256 Credential=x".to_owned(),
            "AWS4-HMAC-SHA256",
        ),
        ("AWS4-HMAC-SHA256".to_owned(), "'Credential'"),
        (
            format!("AWS4-HMAC-SHA256 {credential}, Signature={hex}"),
            "'SignedHeaders'",
        ),
        (
            format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host"),
            "'Signature'",
        ),
        (
            format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=00"),
            "64 hexadecimal",
        ),
        (
            format!(
                "AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature={}",
                "AB".repeat(32)
            ),
            "64 hexadecimal",
        ),
        (
            format!(
                "AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1, SignedHeaders=host, Signature={hex}"
            ),
            "AKID/20150830/us-east-1",
        ),
    ] {
        let fault = Signed::vanilla()
            .set("authorization", &header)
            .verify()
            .unwrap_err();
        assert!(matches!(fault, Fault::Incomplete(_)), "{header}: {fault:?}");
        assert!(fault.to_string().contains(naming), "{header}: {fault}");
    }
    let mut undated = Signed::vanilla();
    undated.headers.retain(|(name, _)| name != "x-amz-date");
    assert!(undated.verify().unwrap_err().to_string().contains("X-Amz-Date"));
    let odd = Signed::vanilla()
        .set("x-amz-date", "yesterday")
        .verify()
        .unwrap_err();
    assert!(odd.to_string().contains("yesterday"), "{odd}");
}

#[test]
fn scopes_are_checked() {
    let claim = |credential: &str| {
        let header = format!(
            "AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host;x-amz-date, Signature={}",
            "0".repeat(64)
        );
        Signed::vanilla()
            .set("authorization", &header)
            .verify()
            .unwrap_err()
            .to_string()
    };
    let other_service = claim("AKID/20150830/us-east-1/s3/aws4_request");
    assert!(
        other_service.contains("correct service: 'service'"),
        "{other_service}"
    );
    let other_day = claim("AKID/20150829/us-east-1/service/aws4_request");
    assert!(other_day.contains("20150829"), "{other_day}");
    let forged = claim("a/b/20150830/us-east-1/service/aws4_request");
    assert!(
        forged.starts_with("The request signature we calculated"),
        "{forged}"
    );
}

#[test]
fn what_must_be_covered() {
    let without_host = Signed::vanilla().set(
        "authorization",
        "AWS4-HMAC-SHA256 Credential=A/20150830/us-east-1/service/aws4_request, SignedHeaders=x-amz-date, \
         Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
    );
    assert!(without_host.verify().unwrap_err().to_string().contains("'host'"));
    let retargeted = Signed::vanilla().set("x-amz-target", "AmazonSQS.PurgeQueue");
    assert!(
        retargeted
            .verify()
            .unwrap_err()
            .to_string()
            .contains("'x-amz-target'")
    );
    let hashed = Signed::vanilla().set("x-amz-content-sha256", "UNSIGNED-PAYLOAD");
    assert!(
        matches!(hashed.verify(), Err(Fault::Mismatch(_))),
        "a signature over the body is none over the word"
    );
    let lying = Signed::vanilla()
        .set("x-amz-content-sha256", &"0".repeat(64))
        .verify()
        .unwrap_err();
    assert!(lying.to_string().contains("e3b0c44298fc1c14"), "{lying}");
}

/// A pre-signed request made by hand with the parts that AWS documents.
fn presigned(expires: &str) -> Signed {
    let mut signed = Signed::vanilla();
    signed.headers.retain(|(name, _)| name == "host");
    signed.query = format!(
        "Action=ListQueues&X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice%2Faws4_request\
         &X-Amz-Date={STAMP}&X-Amz-SignedHeaders=host{expires}&X-Amz-Signature={}",
        "0".repeat(64)
    );
    signed
}

#[test]
fn presigned_claims() {
    let late = then() + Duration::from_secs(61);
    let expired = presigned("&X-Amz-Expires=60").verify_at(late).unwrap_err();
    assert!(matches!(expired, Fault::OutOfTime(_)), "{expired:?}");
    assert!(expired.to_string().contains("60 s"), "{expired}");
    let in_time = presigned("&X-Amz-Expires=3600").verify_at(late).unwrap_err();
    assert!(matches!(in_time, Fault::Mismatch(_)), "{in_time:?}");
    let unsaid = presigned("")
        .verify_at(then() + Duration::from_secs(16 * 60))
        .unwrap_err();
    assert!(matches!(unsaid, Fault::OutOfTime(_)), "{unsaid:?}");
    for bad in ["0", "604801", "-1", "soon", ""] {
        let fault = presigned(&format!("&X-Amz-Expires={bad}")).verify().unwrap_err();
        assert!(matches!(fault, Fault::Incomplete(_)), "{bad}: {fault:?}");
    }
    assert_eq!(MAX_EXPIRES.as_secs(), 604_800);
    let mut partial = presigned("");
    partial.query = "X-Amz-Signature=00".into();
    assert!(
        partial
            .verify()
            .unwrap_err()
            .to_string()
            .contains("X-Amz-Algorithm")
    );
}

#[test]
fn unsigned_requests_claim_nothing() {
    let request = Request {
        method: "GET",
        path: "/",
        query: "Action=ListQueues&X-Amz-Date=x",
        headers: &[("host", b"localhost")],
        body: b"",
    };
    assert!(Claim::read(&request).unwrap().is_none());
}

#[test]
fn secrets_do_not_show() {
    let key = SigningKey::derive(SECRET, "20150830", "us-east-1", "service");
    assert_eq!(format!("{key:?}"), "SigningKey(…)");
}

proptest! {
    #[test]
    fn garbage_never_verifies(header in ".{0,200}", query in ".{0,200}", path in ".{0,50}") {
        let mut signed = Signed::vanilla().set("authorization", &header);
        (signed.query, signed.path) = (query, path);
        prop_assert!(signed.verify().is_err());
    }
}
