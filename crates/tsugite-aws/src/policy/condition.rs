//! Conditions: an operator, a key and the values that it is compared with.

use std::cmp::Ordering;
use std::net::IpAddr;

use tsugite_base::Timestamp;

use super::pattern::{arn_matches, matches};
use crate::sigv4::basic_date;

/// One key under one operator.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    operator: Operator,
    key: String,
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Operator {
    compare: Compare,
    /// The comparison must fail for all values.
    not: bool,
    /// What holds if the request has no such key.
    absent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Compare {
    Text,
    TextIgnoringCase,
    Like,
    Arn,
    Bool,
    Ip,
    Number(&'static [Ordering]),
    Date(&'static [Ordering]),
    /// Whether the key is absent.
    Null,
}

const ORDERS: [(&str, bool, &[Ordering]); 6] = [
    ("Equals", false, &[Ordering::Equal]),
    ("NotEquals", true, &[Ordering::Equal]),
    ("LessThan", false, &[Ordering::Less]),
    ("LessThanEquals", false, &[Ordering::Less, Ordering::Equal]),
    ("GreaterThan", false, &[Ordering::Greater]),
    ("GreaterThanEquals", false, &[Ordering::Greater, Ordering::Equal]),
];

impl Operator {
    /// Keys here have one value, so of the prefixes for sets only what they say of absent keys matters.
    fn parse(name: &str) -> Option<Operator> {
        let (all, name) = match (
            name.strip_prefix("ForAllValues:"),
            name.strip_prefix("ForAnyValue:"),
        ) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => (false, name),
        };
        let (if_exists, name) = match name.strip_suffix("IfExists") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let (compare, not) = match name {
            "StringEquals" => (Compare::Text, false),
            "StringNotEquals" => (Compare::Text, true),
            "StringEqualsIgnoreCase" => (Compare::TextIgnoringCase, false),
            "StringNotEqualsIgnoreCase" => (Compare::TextIgnoringCase, true),
            "StringLike" => (Compare::Like, false),
            "StringNotLike" => (Compare::Like, true),
            "ArnEquals" | "ArnLike" => (Compare::Arn, false),
            "ArnNotEquals" | "ArnNotLike" => (Compare::Arn, true),
            "Bool" => (Compare::Bool, false),
            "IpAddress" => (Compare::Ip, false),
            "NotIpAddress" => (Compare::Ip, true),
            "Null" if !if_exists => (Compare::Null, false),
            _ => {
                let numeric = name.strip_prefix("Numeric");
                let order = numeric.or_else(|| name.strip_prefix("Date"))?;
                let (_, not, orders) = ORDERS.into_iter().find(|(known, ..)| *known == order)?;
                match numeric {
                    Some(_) => (Compare::Number(orders), not),
                    None => (Compare::Date(orders), not),
                }
            }
        };
        Some(Operator {
            compare,
            not,
            absent: not || if_exists || all,
        })
    }
}

impl Condition {
    /// A condition, or what is wrong with it.
    pub(super) fn new(operator: &str, key: &str, values: Vec<String>) -> Result<Condition, String> {
        let parsed = Operator::parse(operator)
            .ok_or_else(|| format!("the condition operator {operator} is not supported"))?;
        if key.is_empty() || values.is_empty() {
            return Err(format!("the condition {operator} has a key or a value missing"));
        }
        if let Some(bad) = values.iter().find(|value| !parsed.compare.takes(value)) {
            return Err(format!(
                "the condition {operator} of {key} has the value {bad}, which it cannot compare"
            ));
        }
        Ok(Condition {
            operator: parsed,
            key: key.to_ascii_lowercase(),
            values,
        })
    }

    pub(super) fn holds(&self, keys: &[(&str, String)]) -> bool {
        let found = keys.iter().find(|(key, _)| key.eq_ignore_ascii_case(&self.key));
        let compare = self.operator.compare;
        match found {
            _ if compare == Compare::Null => self
                .values
                .iter()
                .any(|value| value.eq_ignore_ascii_case("true") == found.is_none()),
            None => self.operator.absent,
            Some((_, actual)) => {
                self.values.iter().any(|value| compare.holds(value, actual)) != self.operator.not
            }
        }
    }
}

impl Compare {
    /// Whether `value` is one that this can compare with.
    fn takes(self, value: &str) -> bool {
        match self {
            Compare::Text | Compare::TextIgnoringCase | Compare::Like => true,
            Compare::Arn => value == "*" || value.splitn(6, ':').count() == 6,
            Compare::Bool | Compare::Null => {
                value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false")
            }
            Compare::Ip => network(value).is_some(),
            Compare::Number(_) => number(value).is_some(),
            Compare::Date(_) => date(value).is_some(),
        }
    }

    fn holds(self, value: &str, actual: &str) -> bool {
        match self {
            Compare::Text => value == actual,
            Compare::TextIgnoringCase => value.to_lowercase() == actual.to_lowercase(),
            Compare::Like => matches(value, actual),
            Compare::Arn => arn_matches(value, actual),
            Compare::Bool | Compare::Null => value.eq_ignore_ascii_case(actual),
            Compare::Ip => network(value)
                .zip(actual.parse().ok())
                .is_some_and(|(network, ip)| within(network, ip)),
            Compare::Number(orders) => {
                let pair = number(actual).zip(number(value));
                pair.and_then(|(actual, value)| actual.partial_cmp(&value))
                    .is_some_and(|order| orders.contains(&order))
            }
            Compare::Date(orders) => {
                let pair = date(actual).zip(date(value));
                pair.is_some_and(|(actual, value)| orders.contains(&actual.cmp(&value)))
            }
        }
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

/// `2026-01-02`, `2026-01-02T03:04Z`, `2026-01-02T03:04:05Z`, with a fraction of the second, or seconds since 1970.
fn date(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Timestamp(seconds.checked_mul(1000)?));
    }
    let (day, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let time = time.strip_suffix('Z')?;
    let (time, _fraction) = time.split_once('.').unwrap_or((time, ""));
    let time = time.replace(':', "");
    let day = day.replace('-', "");
    basic_date(&format!("{day}T{time:0<6}Z"))
}

/// An address and the number of its leading bits that count.
fn network(text: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse().ok()?)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let all = if address.is_ipv4() { 32 } else { 128 };
    let bits: u32 = bits.unwrap_or(all);
    (bits <= all).then_some((address, bits))
}

fn within((network, bits): (IpAddr, u32), ip: IpAddr) -> bool {
    let differing = match (network, ip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
        _ => return false,
    };
    differing >= bits
}
