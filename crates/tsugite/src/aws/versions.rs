//! Versions of the APIs, as requests of the Query protocol name them.

use tsugite_aws::{AwsError, Form};

/// A request may leave the version of the API out; one that it names must be one of the service's, or of SQS's before
/// it, which AWS still serves: the actions that they share are the same.
pub(super) fn check_version(form: &Form<'_>, service: &str) -> Result<(), AwsError> {
    let versions: &[&str] = match service {
        "sqs" => &["2012-11-05", "2011-10-01", "2009-02-01", "2008-01-01"],
        "sns" => &["2010-03-31"],
        "sts" => &["2011-06-15"],
        _ => return Ok(()),
    };
    match form.only("Version")? {
        Some(version) if !versions.contains(&version) => Err(AwsError::no_such_version(service, version)),
        _ => Ok(()),
    }
}
