//! Parameters that several operations share.

use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, Fields};
use tsugite_base::Invalid;
use tsugite_base::invalid::in_range;
use tsugite_base::names::Arn;
use tsugite_registry::{
    Attributes, NamespaceId, NamespaceNotFound, OperationId, Page, ServiceId, ServiceNotFound, Tags,
};

use super::Call;
pub(super) use super::errors::missing;
use super::errors::{invalid, named};

/// Entries on a page of a list, unless the request says otherwise.
const PAGE: i64 = 100;
/// Longest `NextToken`.
const TOKEN_BYTES: usize = 4096;

/// A string that must be present and not empty.
pub(super) fn required<'f>(fields: &'f Fields<'_>, name: &str) -> Result<&'f str, AwsError> {
    match fields.text(name)? {
        Some("") | None => Err(missing(name)),
        Some(text) => Ok(text),
    }
}

pub(super) fn owned(fields: &Fields<'_>, name: &str) -> Result<Option<String>, AwsError> {
    Ok(fields.text(name)?.map(str::to_owned))
}

/// The id in `srv-…` or in `arn:aws:servicediscovery:…:service/srv-…`.
fn id_of(text: &str) -> &str {
    let resource = text
        .starts_with("arn:")
        .then(|| text.rsplit('/').next())
        .flatten();
    resource.unwrap_or(text)
}

/// A service by id or ARN. What cannot be an id is a service that does not exist.
pub(super) fn service_id(text: &str) -> Result<ServiceId, AwsError> {
    let wanted = shorten(text).into_owned();
    let absent = |_| named("ServiceNotFound", &ServiceNotFound { wanted });
    id_of(text).parse().map_err(absent)
}

/// A namespace by id or ARN. What cannot be an id is a namespace that does not exist.
pub(super) fn namespace_id(text: &str) -> Result<NamespaceId, AwsError> {
    let wanted = shorten(text).into_owned();
    let absent = |_| named("NamespaceNotFound", &NamespaceNotFound { wanted });
    id_of(text).parse().map_err(absent)
}

pub(super) fn attributes(fields: &Fields<'_>, name: &str) -> Result<Attributes, AwsError> {
    let pairs = fields.text_map(name)?;
    Ok(pairs
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect())
}

/// An integer parameter within a range.
pub(super) fn ranged(
    fields: &Fields<'_>,
    name: &str,
    range: std::ops::RangeInclusive<i64>,
) -> Result<Option<u32>, AwsError> {
    let Some(value) = fields.int(name)? else {
        return Ok(None);
    };
    let value = in_range(name, value, range).map_err(|e| invalid(e.to_string()))?;
    Ok(u32::try_from(value).ok())
}

pub(super) fn page(fields: &Fields<'_>) -> Result<Page, AwsError> {
    let limit = ranged(fields, "MaxResults", 1..=PAGE)?.map_or(PAGE as usize, |n| n as usize);
    let after = owned(fields, "NextToken")?;
    if after.as_ref().is_some_and(|token| token.len() > TOKEN_BYTES) {
        return Err(invalid(format!(
            "NextToken must be at most {TOKEN_BYTES} characters."
        )));
    }
    Ok(Page { after, limit })
}

/// A structure that must be present.
pub(super) fn structure<'f, 'a>(fields: &'f Fields<'a>, name: &str) -> Result<&'f Fields<'a>, AwsError> {
    fields.object(name)?.ok_or_else(|| missing(name))
}

/// A description that must be present and may be empty.
pub(super) fn described(fields: &Fields<'_>) -> Result<String, AwsError> {
    owned(fields, "Description")?.ok_or_else(|| missing("Description"))
}

/// `Tags`, each key once.
pub(super) fn tags(fields: &Fields<'_>) -> Result<Tags, AwsError> {
    let mut tags = Tags::new();
    for tag in fields.objects("Tags")? {
        let key = required(tag, "Key")?;
        let value = tag.text("Value")?.ok_or_else(|| missing("Value"))?;
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(invalid(format!("Tags holds the key {} twice.", shorten(key))));
        }
    }
    Ok(tags)
}

/// Says in the log what was admitted although AWS would have refused it.
pub(super) fn note(action: &str, lenient: Option<&Invalid>) {
    if let Some(invalid) = lenient {
        tracing::warn!(
            action,
            "AWS would refuse this: {invalid} (admitted by registry.validation: lenient)"
        );
    }
}

impl<S> Call<'_, S> {
    pub(super) fn new_operation(&self) -> OperationId {
        self.world.uuid()
    }

    pub(super) fn arn(&self, resource: String) -> String {
        Arn::new("servicediscovery", &self.context.scope, resource).to_string()
    }
}
