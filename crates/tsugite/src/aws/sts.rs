//! STS GetCallerIdentity: infrastructure tools ask who they are before they do anything.

use tsugite_aws::{AwsError, Context, xml};

/// XML namespace of every answer.
pub(super) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// Actions that STS has and that make no sense where no credentials are issued.
pub(super) const UNSUPPORTED: &[&str] = &[
    "AssumeRole",
    "AssumeRoleWithSAML",
    "AssumeRoleWithWebIdentity",
    "AssumeRoot",
    "DecodeAuthorizationMessage",
    "GetAccessKeyInfo",
    "GetFederationToken",
    "GetSessionToken",
];

/// Answers one request with the inner XML of its result.
pub(super) fn handle(action: &str, context: &Context) -> Result<String, AwsError> {
    match action {
        "GetCallerIdentity" => Ok(caller_identity(context)),
        known if UNSUPPORTED.contains(&known) => Err(AwsError::unsupported_action("STS", known)),
        unknown => Err(AwsError::invalid_action("STS", unknown)),
    }
}

/// Where signatures are not verified, whoever asks is the root of its account.
fn caller_identity(context: &Context) -> String {
    let account = &context.scope.account;
    let mut out = String::new();
    xml::element(&mut out, "Arn", &context.caller_arn());
    xml::element(&mut out, "UserId", context.sender());
    xml::element(&mut out, "Account", account);
    out
}
