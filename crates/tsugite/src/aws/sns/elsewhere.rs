//! Actions that SNS has at AWS and that Tsugite does not have, and those that nobody has.

use tsugite_aws::AwsError;

use super::errors::invalid;

const PUSH: &str = "mobile push";
const TEXTS: &str = "the administration of text messages";

/// Each action with the part of SNS that it belongs to.
const ACTIONS: &[(&str, &str)] = &[
    ("CheckIfPhoneNumberIsOptedOut", TEXTS),
    ("CreatePlatformApplication", PUSH),
    ("CreatePlatformEndpoint", PUSH),
    ("CreateSMSSandboxPhoneNumber", TEXTS),
    ("DeleteEndpoint", PUSH),
    ("DeletePlatformApplication", PUSH),
    ("DeleteSMSSandboxPhoneNumber", TEXTS),
    ("GetEndpointAttributes", PUSH),
    ("GetPlatformApplicationAttributes", PUSH),
    ("GetSMSAttributes", TEXTS),
    ("GetSMSSandboxAccountStatus", TEXTS),
    ("ListEndpointsByPlatformApplication", PUSH),
    ("ListOriginationNumbers", TEXTS),
    ("ListPhoneNumbersOptedOut", TEXTS),
    ("ListPlatformApplications", PUSH),
    ("ListSMSSandboxPhoneNumbers", TEXTS),
    ("OptInPhoneNumber", TEXTS),
    ("SetEndpointAttributes", PUSH),
    ("SetPlatformApplicationAttributes", PUSH),
    ("SetSMSAttributes", TEXTS),
    ("VerifySMSSandboxPhoneNumber", TEXTS),
];

/// The part of SNS that an action belongs to, if it is one of these.
pub(super) fn part(action: &str) -> Option<&'static str> {
    let known = ACTIONS.iter().find(|(name, _)| *name == action);
    known.map(|(_, part)| *part)
}

/// The answer to an action that is not served: an error that SDKs have a class for, if AWS has the action.
pub(super) fn refused(action: &str) -> AwsError {
    match part(action) {
        Some(part) => invalid(
            "Action",
            &format!("{action} belongs to {part}, which Tsugite does not have; see docs/sns.md"),
        ),
        None => AwsError::invalid_action("SNS", action),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_name_the_action() {
        assert!(ACTIONS.is_sorted());
        let error = refused("CreatePlatformApplication");
        assert_eq!(
            (error.query_code.as_ref(), error.status),
            ("InvalidParameter", 400)
        );
        assert!(
            error
                .message
                .contains("CreatePlatformApplication belongs to mobile push")
        );
        assert_eq!(refused("Fly").query_code, "InvalidAction");
    }
}
