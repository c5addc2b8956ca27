//! Who asks, from where: read leniently from the SigV4 credential scope, whose signature [`crate::sigv4`] verifies if
//! the operator wants that.

use std::net::IpAddr;
use std::sync::Arc;

use tsugite_base::Uuid;
use tsugite_base::names::Scope;

/// What every endpoint knows about its request besides the parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Account and region that the request speaks for.
    pub scope: Scope,
    /// Whose request it is.
    pub caller: Caller,
    /// What the policies of resources may ask about the request; `None` unless they are evaluated.
    pub facts: Option<Box<Facts>>,
    /// `scheme://authority` for URLs in answers: the configured host, else the request's.
    pub base_url: String,
    /// Identity of this request, in every answer.
    pub request_id: Uuid,
    /// `X-Amzn-Trace-Id` of the request, or its `traceparent` in that form: messages inherit it that bring none of
    /// their own.
    pub trace_header: Option<String>,
}

impl Context {
    /// What a message says of its sender: `SenderId`.
    pub fn sender(&self) -> &str {
        match &self.caller {
            Caller::Anyone => &self.scope.account,
            Caller::Known(principal) => &principal.user_id,
            Caller::Anonymous => "anonymous",
        }
    }

    /// The ARN of the caller; without verified signatures everybody is the root of an account.
    pub fn caller_arn(&self) -> String {
        match &self.caller {
            Caller::Known(principal) => principal.arn.clone(),
            Caller::Anyone | Caller::Anonymous => format!("arn:aws:iam::{}:root", self.scope.account),
        }
    }

    /// Whether the caller acts for `account`. Without verified signatures everybody acts for every account.
    pub fn acts_for(&self, account: &str) -> bool {
        match &self.caller {
            Caller::Anyone => true,
            Caller::Known(principal) => principal.account == account,
            Caller::Anonymous => false,
        }
    }
}

/// Who a request comes from, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Caller {
    /// Signatures are not verified: whoever reaches the port.
    #[default]
    Anyone,
    /// The holder of a key, whose signature was verified.
    Known(Arc<Principal>),
    /// Nobody signed the request, where signatures are verified.
    Anonymous,
}

/// The holder of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Twelve digits.
    pub account: String,
    /// For example `arn:aws:iam::123456789012:user/alice`.
    pub arn: String,
    /// The account for its root, for others an opaque id like `AIDA…`.
    pub user_id: String,
}

/// What policies may ask about a request beside who sent it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The address that the connection came from.
    pub source_ip: Option<IpAddr>,
    /// The header `User-Agent`.
    pub user_agent: Option<String>,
    /// The header `Referer`.
    pub referer: Option<String>,
}

/// The parts of a credential scope `<access key>/<date>/<region>/<service>/aws4_request`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credential<'a> {
    /// Access key id.
    pub access_key: &'a str,
    /// For example `us-east-1`.
    pub region: &'a str,
    /// For example `sqs`.
    pub service: &'a str,
}

impl<'a> Credential<'a> {
    /// Reads the scope out of an `Authorization` header or an `X-Amz-Credential` query value. `None` for anything
    /// that does not look like one: without verification, a strange header is no reason to refuse.
    pub fn parse(text: &'a str) -> Option<Credential<'a>> {
        const MARK: &str = "Credential=";
        let after_mark = || text.find(MARK).map(|at| &text[at + MARK.len()..]);
        // Where every SDK puts it, it need not be looked for.
        let usual = text.strip_prefix("AWS4-HMAC-SHA256 Credential=");
        let scope = usual.or_else(after_mark).unwrap_or(text);
        let end = scope.bytes().position(|byte| matches!(byte, b',' | b' '));
        let scope = &scope[..end.unwrap_or(scope.len())];
        // An access key may itself hold slashes; the four parts after it may not.
        let mut parts = scope.rsplitn(5, '/');
        let terminator = parts.next()?;
        let (service, region, _date, access_key) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        (terminator == "aws4_request" && is_region(region)).then_some(Credential {
            access_key,
            region,
            service,
        })
    }

    /// The account that this access key stands for, if it is itself one: exactly twelve digits.
    pub fn account(&self) -> Option<&'a str> {
        is_account(self.access_key).then_some(self.access_key)
    }
}

/// Whether `text` is an account number: exactly twelve digits.
pub fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

/// Whether `text` can be a region name: 1-32 of lowercase letters, digits and hyphens.
pub fn is_region(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes() {
        let header = "AWS4-HMAC-SHA256 Credential=123456789012/20260102/eu-west-1/sqs/aws4_request, \
                      SignedHeaders=host, Signature=00";
        let credential = Credential::parse(header).unwrap();
        assert_eq!((credential.region, credential.service), ("eu-west-1", "sqs"));
        assert_eq!(credential.account(), Some("123456789012"));
        let named = Credential::parse("test/20260102/us-east-1/sns/aws4_request").unwrap();
        assert_eq!((named.account(), named.service), (None, "sns"));
    }

    #[test]
    fn anything_else_is_ignored() {
        for strange in [
            "",
            "Basic abc",
            "Bearer x/y",
            "a/b/c/d/e",
            "k/1/UPPER/sqs/aws4_request",
            "Credential=",
        ] {
            assert_eq!(Credential::parse(strange), None, "{strange}");
        }
    }
}
