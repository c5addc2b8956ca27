//! What decides who may come in: signatures and policies, of which every byte is a stranger's.

use tsugite_aws::policy::{Asker, Policy, Question, Verdict};
use tsugite_aws::sigv4::{Claim, Request, SigningKey};
use tsugite_base::Timestamp;

use crate::{Edits, damage};

const AUTHORIZATION: &[u8] =
    b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
SignedHeaders=host;x-amz-date, Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
const PRESIGNED: &[u8] =
    b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Fus-east-1%2Fservice\
%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=\
5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31&Action=ListQueues";

#[test]
fn no_damaged_signature_counts() {
    let key = SigningKey::derive(
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        "20150830",
        "us-east-1",
        "service",
    );
    bolero::check!()
        .with_type::<(bool, Edits, Vec<u8>)>()
        .for_each(|(header, edits, path)| {
            let damaged = damage(if *header { AUTHORIZATION } else { PRESIGNED }, edits);
            let (authorization, query) = if *header {
                (&damaged[..], &b""[..])
            } else {
                (&b""[..], &damaged[..])
            };
            let path = format!("/{}", String::from_utf8_lossy(path));
            let all: [(&str, &[u8]); 3] = [
                ("host", b"example.amazonaws.com"),
                ("x-amz-date", b"20150830T123600Z"),
                ("authorization", authorization),
            ];
            let request = Request {
                method: "GET",
                path: &path,
                query: &String::from_utf8_lossy(query),
                headers: if *header { &all } else { &all[..1] },
                body: b"not what was signed",
            };
            let Ok(Some(claim)) = Claim::read(&request) else {
                return;
            };
            let _ = claim.check_scope("service", Timestamp(1_440_938_160_000));
            assert!(claim.verify(&request, &key).is_err(), "{damaged:?}");
        });
}

const POLICY: &[u8] = br#"{"Version":"2012-10-17","Id":"p","Statement":[{"Sid":"a","Effect":"Allow","Principal":{"AWS":["111122223333",
"arn:aws:iam::111122223333:user/x"],"Service":"sns.amazonaws.com"},"Action":["SQS:Send*","sqs:ReceiveMessage"],"Resource":
"arn:aws:sqs:us-east-1:000000000000:q*","Condition":{"IpAddress":{"aws:SourceIp":["10.0.0.0/8","::1/128"]},"DateGreaterThan":
{"aws:CurrentTime":"2013-12-01T00:00:00Z"},"NumericLessThan":{"aws:EpochTime":"9"},"StringLikeIfExists":{"aws:UserAgent":"b*?"}}},
{"Effect":"Deny","NotPrincipal":"*","NotAction":"*","NotResource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}"#;

#[test]
fn policies_are_read_or_refused() {
    bolero::check!()
        .with_type::<(Edits, String)>()
        .for_each(|(edits, value)| {
            let text = damage(POLICY, edits);
            let Ok(policy) = Policy::parse(&String::from_utf8_lossy(&text)) else {
                return;
            };
            let keys = [
                ("aws:SourceIp", value.clone()),
                ("aws:CurrentTime", value.clone()),
                ("aws:EpochTime", value.clone()),
                ("aws:UserAgent", value.clone()),
                ("aws:SecureTransport", value.clone()),
            ];
            let question = |asker| Question {
                asker,
                action: "SendMessage",
                resource: "arn:aws:sqs:us-east-1:000000000000:queue",
                keys: &keys,
            };
            let known = Asker::Principal("111122223333", "arn:aws:iam::111122223333:user/x");
            for asker in [known, Asker::Service("sns.amazonaws.com")] {
                let verdict = policy.evaluate(&question(asker));
                assert_eq!(verdict, policy.evaluate(&question(asker)));
                assert!(!edits.is_empty() || verdict != Verdict::Denied);
            }
        });
}
