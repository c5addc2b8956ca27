//! Parameters that several operations share.

use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, Fields};
use tsugite_base::invalid::in_range;
use tsugite_base::names::Arn;
use tsugite_registry::{
    Attributes, Condition, Filter, NamespaceId, NamespaceNotFound, OperationId, Page, ServiceId,
    ServiceNotFound,
};

use super::Call;
use super::errors::{IntoAws as _, invalid, unsupported};

/// Entries on a page of a list, unless the request says otherwise.
const PAGE: i64 = 100;

/// A string that must be present and not empty.
pub(super) fn required<'f>(fields: &'f Fields<'_>, name: &str) -> Result<&'f str, AwsError> {
    match fields.text(name)? {
        Some("") | None => Err(invalid(format!("The request must contain the parameter {name}."))),
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
    let wanted = || ServiceNotFound {
        wanted: shorten(text).into_owned(),
    };
    id_of(text).parse().map_err(|_| wanted().into_aws())
}

/// A namespace by id or ARN. What cannot be an id is a namespace that does not exist.
pub(super) fn namespace_id(text: &str) -> Result<NamespaceId, AwsError> {
    let wanted = || NamespaceNotFound {
        wanted: shorten(text).into_owned(),
    };
    id_of(text).parse().map_err(|_| wanted().into_aws())
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
    let value = in_range(name, value, range).map_err(|e| e.into_aws())?;
    Ok(u32::try_from(value).ok())
}

pub(super) fn page(fields: &Fields<'_>) -> Result<Page, AwsError> {
    let limit = ranged(fields, "MaxResults", 1..=PAGE)?.map_or(PAGE as usize, |n| n as usize);
    let after = owned(fields, "NextToken")?;
    Ok(Page { after, limit })
}

/// The filters of a list; `field` knows their names.
pub(super) fn filters<F>(
    fields: &Fields<'_>,
    field: impl Fn(&str) -> Option<F>,
) -> Result<Vec<Filter<F>>, AwsError> {
    let read = |filter: &Fields<'_>| {
        let name = required(filter, "Name")?;
        let values: Vec<String> = filter.texts("Values")?.into_iter().map(str::to_owned).collect();
        let condition = match filter.text("Condition")?.unwrap_or("EQ") {
            "EQ" => Condition::Eq,
            "IN" => Condition::In,
            "BETWEEN" => Condition::Between,
            "BEGINS_WITH" => Condition::BeginsWith,
            other => return Err(invalid(format!("{} is not a filter condition.", shorten(other)))),
        };
        let fits = match condition {
            Condition::Eq | Condition::BeginsWith => values.len() == 1,
            Condition::Between => values.len() == 2,
            Condition::In => !values.is_empty(),
        };
        if !fits {
            return Err(invalid(format!(
                "The filter {} has {} values, which does not fit its condition.",
                shorten(name),
                values.len()
            )));
        }
        Ok(Filter {
            field: field(name)
                .ok_or_else(|| invalid(format!("{} is not a filter of this list.", shorten(name))))?,
            condition,
            values,
        })
    };
    fields.objects("Filters")?.into_iter().map(read).collect()
}

/// Tags cannot be stored yet, so they are refused rather than lost.
pub(super) fn no_tags(fields: &Fields<'_>) -> Result<(), AwsError> {
    match fields.list("Tags")? {
        [] => Ok(()),
        _ => Err(unsupported("Tagging of Cloud Map resources")),
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
