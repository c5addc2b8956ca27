//! The filters of lists: which names, conditions and values each list knows.

use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, Fields};
use tsugite_registry::{Condition, Filter, Validation};

use super::Call;
use super::errors::invalid;
use super::input::{missing, required};

/// Values of one filter; AWS names no bound, and each costs a comparison per entry.
const VALUES: usize = 100;
/// Longest value, in characters.
const VALUE_CHARS: usize = 255;

/// What a list can be filtered by: the name, its conditions (the first is the default), and its values if they are
/// fixed.
type Known = (&'static str, &'static [Condition], &'static [&'static str]);

use Condition::{BeginsWith, Between, Eq, In};

const OWNERS: &[&str] = &["SELF", "OTHER_ACCOUNTS"];

/// Of ListNamespaces.
pub(super) const NAMESPACES: &[Known] = &[
    ("TYPE", &[Eq, BeginsWith], &["HTTP", "DNS_PRIVATE", "DNS_PUBLIC"]),
    ("NAME", &[Eq, BeginsWith], &[]),
    ("HTTP_NAME", &[Eq, BeginsWith], &[]),
    ("RESOURCE_OWNER", &[Eq], OWNERS),
];
/// Of ListServices.
pub(super) const SERVICES: &[Known] = &[("NAMESPACE_ID", &[Eq], &[]), ("RESOURCE_OWNER", &[Eq], OWNERS)];
/// Of ListOperations.
pub(super) const OPERATIONS: &[Known] = &[
    ("NAMESPACE_ID", &[Eq], &[]),
    ("SERVICE_ID", &[Eq], &[]),
    (
        "STATUS",
        &[Eq, In],
        &["SUBMITTED", "PENDING", "SUCCESS", "SUCCEED", "FAIL"],
    ),
    (
        "TYPE",
        &[Eq, In],
        &[
            "CREATE_NAMESPACE",
            "DELETE_NAMESPACE",
            "UPDATE_NAMESPACE",
            "UPDATE_SERVICE",
            "REGISTER_INSTANCE",
            "DEREGISTER_INSTANCE",
        ],
    ),
    ("UPDATE_DATE", &[Between], &[]),
];

/// Whose namespaces and services are wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Those of the account that asks.
    Myself,
    /// Those that others share.
    Others,
}

impl Owner {
    pub(super) fn of(filter: &Filter<&str>) -> Result<Owner, AwsError> {
        match filter.values.first().map(String::as_str) {
            Some("SELF") => Ok(Owner::Myself),
            Some("OTHER_ACCOUNTS") => Ok(Owner::Others),
            _ => Err(missing("Values")),
        }
    }
}

/// The filters of a request. What AWS refuses and what means something is admitted unless validation is strict: lists
/// of values for everything that has values.
pub(super) fn read<S>(call: &Call<'_, S>, known: &[Known]) -> Result<Vec<Filter<&'static str>>, AwsError> {
    let strict = call.validation == Validation::Strict;
    let filters = call.fields.objects("Filters")?;
    filters
        .into_iter()
        .map(|filter| one(filter, known, strict))
        .collect()
}

fn one(filter: &Fields<'_>, known: &[Known], strict: bool) -> Result<Filter<&'static str>, AwsError> {
    let name = required(filter, "Name")?;
    let found = known.iter().find(|(known, ..)| *known == name);
    let Some((field, conditions, fixed)) = found else {
        let names: Vec<_> = known.iter().map(|(name, ..)| *name).collect();
        return Err(invalid(format!(
            "{} is not a filter of this list; there are {}.",
            shorten(name),
            names.join(", ")
        )));
    };
    let condition = match filter.text("Condition")? {
        None => Eq,
        Some("EQ") => Eq,
        Some("IN") => In,
        Some("BETWEEN") => Between,
        Some("BEGINS_WITH") => BeginsWith,
        Some(other) => return Err(invalid(format!("{} is not a filter condition.", shorten(other)))),
    };
    let listed = condition == In && !strict && conditions.contains(&Eq);
    if !conditions.contains(&condition) && !listed {
        return Err(invalid(format!(
            "The filter {name} does not know the condition {}.",
            filter.text("Condition")?.unwrap_or("EQ, which is the default")
        )));
    }
    let values: Vec<String> = filter.texts("Values")?.into_iter().map(str::to_owned).collect();
    check_values(name, condition, &values, fixed)?;
    Ok(Filter {
        field,
        condition,
        // Its documentation says SUCCEED where its answers say SUCCESS.
        values: match *field {
            "STATUS" => values.into_iter().map(succeeded).collect(),
            _ => values,
        },
    })
}

fn succeeded(value: String) -> String {
    if value == "SUCCEED" {
        "SUCCESS".to_owned()
    } else {
        value
    }
}

fn check_values(name: &str, condition: Condition, values: &[String], fixed: &[&str]) -> Result<(), AwsError> {
    let fits = match condition {
        Eq | BeginsWith => values.len() == 1,
        Between => values.len() == 2,
        In => (1..=VALUES).contains(&values.len()),
    };
    if !fits {
        return Err(invalid(format!(
            "The filter {name} has {} values, which does not fit its condition.",
            values.len()
        )));
    }
    for value in values {
        if value.is_empty() || value.chars().count() > VALUE_CHARS {
            return Err(invalid(format!(
                "A value of the filter {name} must be 1 to 255 characters long."
            )));
        }
        if condition != BeginsWith && !fixed.is_empty() && !fixed.contains(&value.as_str()) {
            return Err(invalid(format!(
                "{} is not a value of the filter {name}; there are {}.",
                shorten(value),
                fixed.join(", ")
            )));
        }
        if condition == Between && value.parse::<f64>().is_err() {
            return Err(invalid(format!(
                "{} is not a time of the filter {name}, in seconds since 1970.",
                shorten(value)
            )));
        }
    }
    Ok(())
}
