//! Rules that are objects: `{"prefix": …}`, `{"numeric": […]}` and the like.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::decimal::Decimal;
use crate::item::{Item, Kind};
use crate::parse::{Fault, scalar};
use crate::rule::{End, Exclusion, Network, Range, Rule, Wildcard, fold_case};

/// The operators of AWS's rule language. An object that names one is a rule and no alternative of an `$or`.
pub(crate) const NAMES: [&str; 9] = [
    "exactly",
    "prefix",
    "suffix",
    "equals-ignore-case",
    "anything-but",
    "numeric",
    "exists",
    "cidr",
    "wildcard",
];

/// The rule that an object is. `end` is behind it.
pub(crate) fn rule(
    members: &[(Cow<'_, str>, Item<'_>)],
    end: usize,
    extensions: bool,
) -> Result<Rule, Fault> {
    let Some((operator, operand)) = members.first() else {
        return Err(Fault::at(end, "Match expression name not found"));
    };
    let rule = match &**operator {
        "prefix" => Rule::Prefix(text(operator, operand)?.into()),
        "suffix" => Rule::Suffix(text(operator, operand)?.into()),
        "equals-ignore-case" => Rule::EqualsIgnoreCase(fold_case(text(operator, operand)?).into()),
        "anything-but" => Rule::AnythingBut(anything_but(operand, extensions)?),
        "numeric" => Rule::Numeric(numeric(operand)?.into()),
        "exists" => match operand.kind {
            Kind::Bool(wanted) => Rule::Exists(wanted),
            _ => return fault(operand, "exists match pattern must be either true or false."),
        },
        "cidr" => Rule::Cidr(cidr(operand)?),
        "wildcard" if extensions => match Wildcard::parse(text(operator, operand)?) {
            Ok(wildcard) => Rule::Wildcard(wildcard),
            Err(reason) => return fault(operand, reason),
        },
        _ => return fault(operand, format!("Unrecognized match type {operator}")),
    };
    check_alone(members)?;
    Ok(rule)
}

fn fault<T>(item: &Item<'_>, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::at(item.at, message))
}

fn check_alone(members: &[(Cow<'_, str>, Item<'_>)]) -> Result<(), Fault> {
    match members.get(1) {
        Some((_, second)) => fault(second, "Only one key allowed in match expression"),
        None => Ok(()),
    }
}

fn text<'a>(operator: &str, operand: &'a Item<'_>) -> Result<&'a str, Fault> {
    match &operand.kind {
        Kind::Text(text) => Ok(text),
        _ => fault(operand, format!("{operator} match pattern must be a string")),
    }
}

fn anything_but(operand: &Item<'_>, extensions: bool) -> Result<Exclusion, Fault> {
    match &operand.kind {
        Kind::Object(members) => anything_but_affix(members, operand.end, extensions),
        Kind::Array(items) if items.is_empty() => Err(Fault::at(operand.end, "Empty arrays are not allowed")),
        Kind::Array(items) => {
            let value = |item| match scalar(item) {
                Some(scalar) => Ok(scalar),
                None => fault(
                    item,
                    "Inside anything but list, only String, number, true, false, or null is supported",
                ),
            };
            items
                .iter()
                .map(value)
                .collect::<Result<_, _>>()
                .map(Exclusion::Values)
        }
        _ => Ok(Exclusion::Values(scalar(operand).into_iter().collect())),
    }
}

fn anything_but_affix(
    members: &[(Cow<'_, str>, Item<'_>)],
    end: usize,
    extensions: bool,
) -> Result<Exclusion, Fault> {
    let Some((operator, operand)) = members.first() else {
        return Err(Fault::at(end, "Anything-But expression name not found"));
    };
    let exclusion = match &**operator {
        "prefix" => Exclusion::Prefix(text(operator, operand)?.into()),
        "suffix" if extensions => Exclusion::Suffix(text(operator, operand)?.into()),
        _ => return fault(operand, format!("Unsupported anything-but pattern: {operator}")),
    };
    if matches!(&exclusion, Exclusion::Prefix(text) | Exclusion::Suffix(text) if text.is_empty()) {
        return fault(operand, "Null prefix/suffix not allowed");
    }
    check_alone(members)?;
    Ok(exclusion)
}

fn numeric(operand: &Item<'_>) -> Result<Range, Fault> {
    let Kind::Array(items) = &operand.kind else {
        return fault(operand, "Value of numeric must be an array.");
    };
    // Where AWS's reader stands after the item before `place`: at the item, or behind the end.
    let at = |place: usize| items.get(place).map_or(operand.end, |item| item.at);
    let Some(Kind::Text(operator)) = items.first().map(|item| &item.kind) else {
        let found = items.first().map_or("]", written);
        return Err(Fault::at(
            at(0),
            format!("Invalid member in numeric match: {found}"),
        ));
    };
    let name = match &**operator {
        "=" => "equals",
        "<" | "<=" | ">" | ">=" => operator,
        _ => {
            let message = format!("Unrecognized numeric range operator: {operator}");
            return Err(Fault::at(at(1), message));
        }
    };
    let bound = |place: usize, name: &str, included| match items.get(place).map(|item| &item.kind) {
        Some(Kind::Number(text)) => Ok(Decimal::parse(text).map(|number| End { number, included })),
        _ => Err(Fault::at(at(place), format!("Value of {name} must be numeric"))),
    };
    let end = bound(1, name, operator.ends_with('='))?;
    match (&**operator, items.get(2)) {
        ("=", None) => Ok(Range {
            low: end.clone(),
            high: end,
        }),
        ("<" | "<=", None) => Ok(Range { low: None, high: end }),
        (_, None) => Ok(Range { low: end, high: None }),
        ("=" | "<" | "<=", Some(more)) => fault(more, "Too many elements in numeric expression"),
        (_, Some(second)) => {
            let Kind::Text(closing) = &second.kind else {
                return fault(second, format!("Bad value in numeric range: {}", written(second)));
            };
            if !matches!(&**closing, "<" | "<=") {
                let message = format!("Bad numeric range operator: {closing}");
                return Err(Fault::at(second.end, message));
            }
            let high = bound(3, closing, closing.ends_with('='))?;
            if items.len() > 4 {
                return Err(Fault::at(at(4), "Too many terms in numeric range expression"));
            }
            let number = |end: &Option<End>| end.as_ref().map(|end| end.number.clone());
            if number(&end) >= number(&high) {
                return Err(Fault::at(operand.end, "Bottom must be less than top"));
            }
            Ok(Range { low: end, high })
        }
    }
}

/// How an item begins in the text, which is all of it for a number or a word.
fn written<'a>(item: &Item<'a>) -> &'a str {
    match item.kind {
        Kind::Object(_) => "{",
        Kind::Array(_) => "[",
        Kind::Number(text) => text,
        Kind::Bool(true) => "true",
        Kind::Bool(false) => "false",
        Kind::Null => "null",
        Kind::Text(_) => "\"",
    }
}

fn cidr(operand: &Item<'_>) -> Result<Network, Fault> {
    // AWS's own words name another operator here.
    let text = text("prefix", operand)?;
    let Some((address, bits)) = text.split_once('/').filter(|(_, bits)| !bits.contains('/')) else {
        return fault(operand, "Malformed CIDR, one '/' required");
    };
    let Ok(bits) = bits.parse::<i32>() else {
        return fault(operand, "Malformed CIDR, mask bits must be an integer");
    };
    if bits < 0 {
        return fault(operand, "Malformed CIDR, mask bits must not be negative");
    }
    let Ok(address) = address.parse::<IpAddr>() else {
        return fault(operand, format!("Nonstandard IP address: {address}"));
    };
    let network = u8::try_from(bits)
        .ok()
        .and_then(|bits| Network::new(address, bits));
    network.map_or_else(
        || match address {
            IpAddr::V4(_) => fault(operand, "IPv4 mask bits must be <= 32"),
            IpAddr::V6(_) => fault(operand, "IPv6 mask bits must be <= 128"),
        },
        Ok,
    )
}
