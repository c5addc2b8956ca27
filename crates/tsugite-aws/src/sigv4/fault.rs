//! Why a signature does not count, as AWS says it.

use std::fmt;

use crate::error::AwsError;

/// A claim that cannot be read or is not true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Parts of the claim are missing or malformed.
    Incomplete(String),
    /// The claim is too old, or of the future.
    OutOfTime(String),
    /// The request is not the one that was signed, or another secret signed it.
    Mismatch(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Fault::Incomplete(message) | Fault::OutOfTime(message) | Fault::Mismatch(message)) = self;
        f.write_str(message)
    }
}

impl std::error::Error for Fault {}

/// SDKs correct their clock and try again after `SignatureDoesNotMatch` and `InvalidSignatureException`, so requests
/// out of time say the same as at SQS: not `RequestExpired`, which only some of them know.
impl From<Fault> for AwsError {
    fn from(fault: Fault) -> AwsError {
        match fault {
            Fault::Incomplete(message) => AwsError::sender(
                "IncompleteSignatureException",
                "IncompleteSignature",
                400,
                message,
            ),
            Fault::OutOfTime(message) | Fault::Mismatch(message) => {
                AwsError::sender("InvalidSignatureException", "SignatureDoesNotMatch", 403, message)
            }
        }
    }
}
