//! What a request says about who signed it, when and how, and the check of it.

use std::borrow::Cow;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tsugite_base::Timestamp;

use super::{Fault, MAX_EXPIRES, MAX_SKEW, Request, SigningKey, canonical, date};
use crate::error::shorten;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
const MISMATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS \
                        Secret Access Key and signing method. Consult the service documentation for details.";

/// A signature with all that it takes to check it, as the request has it.
#[derive(Clone, Debug)]
pub struct Claim<'a> {
    /// `<access key>/<date>/<region>/<service>/aws4_request`.
    credential: Cow<'a, str>,
    /// Names in lower case with `;` between them.
    signed_headers: Cow<'a, str>,
    signature: [u8; 32],
    /// When it was signed.
    at: Timestamp,
    /// How long it is good for, if it is pre-signed.
    expires: Option<Duration>,
}

/// The parts of a credential, without the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope<'a> {
    /// Access key id.
    pub access_key: &'a str,
    /// `YYYYMMDD`.
    pub date: &'a str,
    /// For example `us-east-1`.
    pub region: &'a str,
    /// For example `sqs`.
    pub service: &'a str,
}

impl<'a> Claim<'a> {
    /// The claim of a request; `None` if nobody signed it.
    pub fn read(request: &Request<'a>) -> Result<Option<Claim<'a>>, Fault> {
        let claim = if let Some(header) = request.header("authorization") {
            let header = std::str::from_utf8(header)
                .map_err(|_| Fault::Incomplete("The Authorization header is not text.".into()))?;
            of_header(request, header)?
        } else if request.query.contains("X-Amz-Algorithm=") || request.query.contains("X-Amz-Signature=") {
            of_query(request)?
        } else {
            return Ok(None);
        };
        if parts(&claim.credential).is_none() {
            return Err(Fault::Incomplete(format!(
                "Credential must have the form <access key>/<date>/<region>/<service>/aws4_request; it is {}.",
                shorten(&claim.credential)
            )));
        }
        Ok(Some(claim))
    }

    /// The whole credential as one text: what a derived key can be filed under.
    pub fn credential(&self) -> &str {
        &self.credential
    }

    /// Whom, for what day, where and to what service it speaks for.
    pub fn scope(&self) -> Scope<'_> {
        parts(&self.credential).unwrap_or(Scope {
            access_key: "",
            date: "",
            region: "",
            service: "",
        })
    }

    /// Checks that it was made for `service` and is neither too old nor too new. Comes before the signature, so that
    /// keys are only derived for days that are near.
    pub fn check_scope(&self, service: &str, now: Timestamp) -> Result<(), Fault> {
        let scope = self.scope();
        if scope.service != service {
            return Err(Fault::Mismatch(format!(
                "Credential should be scoped to correct service: '{service}'; it is scoped to '{}'.",
                shorten(scope.service)
            )));
        }
        let stamp = date::to_basic(self.at);
        if stamp.get(..8) != Some(scope.date) {
            return Err(Fault::Mismatch(format!(
                "Date in Credential scope does not match YYYYMMDD from the date of the request: '{}' is not that of \
                 {stamp}.",
                shorten(scope.date)
            )));
        }
        let (oldest, newest) = (now - self.expires.unwrap_or(MAX_SKEW), now + MAX_SKEW);
        if self.at < oldest {
            return Err(Fault::OutOfTime(format!(
                "Signature expired: {stamp} is now earlier than {} ({} - {}).",
                date::to_basic(oldest),
                date::to_basic(now),
                match self.expires {
                    Some(expires) => format!("{} s of X-Amz-Expires", expires.as_secs()),
                    None => "15 min".to_owned(),
                }
            )));
        }
        if self.at > newest {
            return Err(Fault::OutOfTime(format!(
                "Signature not yet current: {stamp} is still later than {} ({} + 15 min).",
                date::to_basic(newest),
                date::to_basic(now)
            )));
        }
        Ok(())
    }

    /// Checks that `request` is what was signed, by whoever has the secret behind `key`.
    pub fn verify(&self, request: &Request<'_>, key: &SigningKey) -> Result<(), Fault> {
        self.covers("host")?;
        if request.header("x-amz-target").is_some() {
            // It says what is to be done: unsigned, a request could be sent again to do something else.
            self.covers("x-amz-target")?;
        }
        let payload = self.payload_hash(request)?;
        let without = self.expires.is_some().then_some("X-Amz-Signature");
        let canonical = canonical::request(request, &self.signed_headers, &payload, without);
        let scope = self.credential.split_once('/').map_or("", |_| {
            let access_key = self.scope().access_key.len();
            &self.credential[access_key + 1..]
        });
        let to_sign = format!(
            "{ALGORITHM}\n{}\n{scope}\n{}",
            date::to_basic(self.at),
            canonical::hex(&Sha256::digest(&canonical).into())
        );
        if key.signed(to_sign.as_bytes(), &self.signature) {
            Ok(())
        } else {
            Err(Fault::Mismatch(MISMATCH.into()))
        }
    }

    fn covers(&self, name: &str) -> Result<(), Fault> {
        if self.signed_headers.split(';').any(|signed| signed == name) {
            return Ok(());
        }
        Err(Fault::Mismatch(format!(
            "'{name}' must be a 'SignedHeader' in the AWS Authorization."
        )))
    }

    /// The last line of the canonical request: the hash of the body, or a word in its place.
    fn payload_hash(&self, request: &Request<'_>) -> Result<Cow<'static, str>, Fault> {
        let stated = match request.text("x-amz-content-sha256") {
            Some(stated) => Some(Cow::Borrowed(stated)),
            None if self.expires.is_some() => parameter(request.query, "X-Amz-Content-Sha256"),
            None => None,
        };
        if stated.as_deref() == Some(UNSIGNED) {
            return Ok(Cow::Borrowed(UNSIGNED));
        }
        let hash = canonical::hex(&Sha256::digest(request.body).into());
        match stated {
            Some(stated) if stated != hash => Err(Fault::Mismatch(format!(
                "x-amz-content-sha256 is {}, but the SHA-256 of the body is {hash}.",
                shorten(&stated)
            ))),
            _ => Ok(Cow::Owned(hash)),
        }
    }
}

/// The claim in `Authorization: AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`.
fn of_header<'a>(request: &Request<'a>, header: &'a str) -> Result<Claim<'a>, Fault> {
    let (algorithm, rest) = header.trim().split_once(' ').unwrap_or((header, ""));
    if algorithm != ALGORITHM {
        return Err(Fault::Incomplete(format!(
            "The Authorization header must begin with {ALGORITHM}, not {}.",
            shorten(algorithm)
        )));
    }
    let part = |name: &str| {
        let found = rest.split(',').find_map(|part| {
            let (key, value) = part.trim().split_once('=')?;
            (key == name).then_some(value)
        });
        found
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Fault::Incomplete(format!("Authorization header requires '{name}' parameter.")))
    };
    let at = match (request.text("x-amz-date"), request.text("date")) {
        // Some clients put the basic form into either.
        (Some(text), _) | (None, Some(text)) => {
            date::basic(text).or_else(|| date::http(text)).ok_or_else(|| {
                Fault::Incomplete(format!(
                    "The date of the request must be like 20150830T123600Z; it is {}.",
                    shorten(text)
                ))
            })?
        }
        (None, None) => {
            return Err(Fault::Incomplete(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header.".into(),
            ));
        }
    };
    Ok(Claim {
        credential: Cow::Borrowed(part("Credential")?),
        signed_headers: Cow::Borrowed(part("SignedHeaders")?),
        signature: signature(part("Signature")?)?,
        at,
        expires: None,
    })
}

/// The claim in `X-Amz-*` of the query string.
fn of_query<'a>(request: &Request<'a>) -> Result<Claim<'a>, Fault> {
    let part = |name: &str| {
        parameter(request.query, name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Fault::Incomplete(format!("AWS query-string parameters must include '{name}'.")))
    };
    let algorithm = part("X-Amz-Algorithm")?;
    if algorithm != ALGORITHM {
        return Err(Fault::Incomplete(format!(
            "X-Amz-Algorithm must be {ALGORITHM}, not {}.",
            shorten(&algorithm)
        )));
    }
    let stamp = part("X-Amz-Date")?;
    let at = date::basic(&stamp).ok_or_else(|| {
        Fault::Incomplete(format!(
            "X-Amz-Date must be like 20150830T123600Z; it is {}.",
            shorten(&stamp)
        ))
    })?;
    let expires = match parameter(request.query, "X-Amz-Expires") {
        None => MAX_SKEW,
        Some(text) => match text.parse().map(Duration::from_secs) {
            Ok(expires) if (Duration::from_secs(1)..=MAX_EXPIRES).contains(&expires) => expires,
            _ => {
                return Err(Fault::Incomplete(format!(
                    "X-Amz-Expires must be a number of seconds from 1 to {}; it is {}.",
                    MAX_EXPIRES.as_secs(),
                    shorten(&text)
                )));
            }
        },
    };
    Ok(Claim {
        credential: part("X-Amz-Credential")?,
        signed_headers: part("X-Amz-SignedHeaders")?,
        signature: signature(&part("X-Amz-Signature")?)?,
        at,
        expires: Some(expires),
    })
}

fn signature(text: &str) -> Result<[u8; 32], Fault> {
    canonical::unhex(text)
        .ok_or_else(|| Fault::Incomplete("The signature must be 64 hexadecimal digits in lower case.".into()))
}

/// The first parameter of this name, decoded. Names of signature parameters need no encoding, so none is undone.
fn parameter<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    let value = query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then_some(value)
    })?;
    if !value.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Some(Cow::Borrowed(value));
    }
    String::from_utf8(canonical::decoded(value)).ok().map(Cow::Owned)
}

/// An access key may itself hold slashes; the four parts after it may not.
fn parts(credential: &str) -> Option<Scope<'_>> {
    let mut parts = credential.rsplitn(5, '/');
    let terminator = parts.next()?;
    let (service, region, date, access_key) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let good = terminator == "aws4_request" && crate::context::is_region(region) && !access_key.is_empty();
    good.then_some(Scope {
        access_key,
        date,
        region,
        service,
    })
}
