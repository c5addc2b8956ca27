//! AWS Signature Version 4 from the verifying side: what a request claims, and whether it is true.
//!
//! A request carries its claim in the header `Authorization` or, pre-signed, in `X-Amz-*` of its query string.
//! [`Claim::read`] finds it, the caller looks up the secret and the time, [`Claim::verify`] decides. The rules are those
//! of "Create a signed AWS API request" and "Query string authentication" in AWS's IAM user guide, for services other
//! than S3: paths are normalized and encoded a second time, payloads are hashed unless they say that they are not.

mod canonical;
mod claim;
mod date;
mod fault;
mod key;
#[cfg(test)]
mod tests;

pub use claim::{Claim, Scope};
pub(crate) use date::basic as basic_date;
pub use fault::Fault;
pub use key::SigningKey;

use std::time::Duration;

/// How far the clock of a signer may be from ours.
pub const MAX_SKEW: Duration = Duration::from_secs(15 * 60);
/// The longest life of a pre-signed request.
pub const MAX_EXPIRES: Duration = Duration::from_secs(7 * 24 * 3600);

/// A request as it came over the wire: what a signature may cover.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// For example `POST`.
    pub method: &'a str,
    /// The path as it was sent, percent-encoded once.
    pub path: &'a str,
    /// What followed `?`, as it was sent; empty if there was none.
    pub query: &'a str,
    /// Headers in their order; names in lower case. A header that came twice stands here twice.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The whole body.
    pub body: &'a [u8],
}

impl<'a> Request<'a> {
    /// The first header of this name.
    fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers
            .iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| *value)
    }

    /// The first header of this name, if it is text.
    fn text(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.header(name)?).ok()
    }
}
