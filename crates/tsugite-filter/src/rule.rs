//! Rules: what the value of a key may be.

use std::fmt;
use std::net::IpAddr;

use crate::decimal::Decimal;
use crate::message::{Short, Value};

/// One rule of a key. A key is satisfied if any of its rules is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Rule {
    Equals(Scalar),
    Prefix(Box<str>),
    Suffix(Box<str>),
    /// Folded by [`fold_case`].
    EqualsIgnoreCase(Box<str>),
    Numeric(Box<Range>),
    Exists(bool),
    Cidr(Network),
    AnythingBut(Exclusion),
    /// An extension; see [`Wildcard`].
    Wildcard(Wildcard),
}

impl Rule {
    /// Whether the values of a key satisfy the rule; no values: the key is absent.
    pub(crate) fn admits(&self, values: &[Value<'_>]) -> bool {
        match self {
            Rule::Exists(wanted) => *wanted != values.is_empty(),
            Rule::AnythingBut(exclusion) => anything_but(exclusion, values),
            rule => values.iter().any(|value| rule.admits_one(value)),
        }
    }

    /// Of a rule that looks at each value alone.
    fn admits_one(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Rule::Equals(scalar), value) => scalar.equals(value),
            (Rule::Prefix(prefix), Value::Text(text)) => text.starts_with(&**prefix),
            (Rule::Suffix(suffix), Value::Text(text)) => text.ends_with(&**suffix),
            (Rule::EqualsIgnoreCase(folded), Value::Text(text)) => {
                text.chars().map(fold_char).eq(folded.chars())
            }
            (Rule::Numeric(range), Value::Number(number, _)) => range.contains(number),
            (Rule::Cidr(network), Value::Text(text)) => {
                text.parse().is_ok_and(|address| network.contains(address))
            }
            (Rule::Wildcard(wildcard), Value::Text(text)) => wildcard.matches(text),
            _ => false,
        }
    }
}

/// How `anything-but` sees several values: no element may be listed, and there has to be one. AWS's texts disagree:
/// older ones say that one unlisted element suffices.
fn anything_but(exclusion: &Exclusion, values: &[Value<'_>]) -> bool {
    !values.is_empty() && !values.iter().any(|value| exclusion.lists(value))
}

/// A value of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Scalar {
    Text(Box<str>),
    Number(Decimal),
    Bool(bool),
    Null,
}

impl Scalar {
    fn equals(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Scalar::Text(own), Value::Text(text)) => **own == **text,
            (Scalar::Number(own), Value::Number(number, _)) => own == number,
            (Scalar::Bool(own), Value::Bool(value)) => own == value,
            (Scalar::Null, Value::Null) => true,
            _ => false,
        }
    }
}

/// What `anything-but` excludes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Exclusion {
    Values(Vec<Scalar>),
    Prefix(Box<str>),
    /// An extension.
    Suffix(Box<str>),
}

impl Exclusion {
    fn lists(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Exclusion::Values(scalars), value) => scalars.iter().any(|scalar| scalar.equals(value)),
            (Exclusion::Prefix(prefix), Value::Text(text)) => text.starts_with(&**prefix),
            (Exclusion::Suffix(suffix), Value::Text(text)) => text.ends_with(&**suffix),
            _ => false,
        }
    }
}

/// One end of a range.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct End {
    pub(crate) number: Decimal,
    pub(crate) included: bool,
}

/// `numeric`. Equality is a range from a number to itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Range {
    pub(crate) low: Option<End>,
    pub(crate) high: Option<End>,
}

impl Range {
    fn contains(&self, number: &Decimal) -> bool {
        let above = |end: &End| end.number < *number || (end.included && end.number == *number);
        let below = |end: &End| *number < end.number || (end.included && end.number == *number);
        self.low.as_ref().is_none_or(above) && self.high.as_ref().is_none_or(below)
    }
}

/// `cidr`: a network, with the bits of the host cleared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// `None` if the address has fewer bits.
    pub(crate) fn new(address: IpAddr, bits: u8) -> Option<Network> {
        Some(Network {
            address: masked(address, bits)?,
            bits,
        })
    }

    pub(crate) fn bits(&self) -> u8 {
        self.bits
    }

    fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.bits) == Some(self.address)
    }
}

/// The first `bits` of an address.
fn masked(address: IpAddr, bits: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            let drop = 32_u32.checked_sub(bits.into())?;
            let mask = u32::MAX.checked_shl(drop).unwrap_or(0);
            Some(IpAddr::V4((address.to_bits() & mask).into()))
        }
        IpAddr::V6(address) => {
            let drop = 128_u32.checked_sub(bits.into())?;
            let mask = u128::MAX.checked_shl(drop).unwrap_or(0);
            Some(IpAddr::V6((address.to_bits() & mask).into()))
        }
    }
}

/// A pattern in which `*` stands for any number of characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Wildcard {
    /// The literal texts before, between and behind the stars: one more than there are stars.
    literals: Vec<Box<str>>,
}

impl Wildcard {
    /// Reads a pattern; `\*` and `\\` stand for the characters themselves.
    pub(crate) fn parse(pattern: &str) -> Result<Wildcard, &'static str> {
        let mut literals = vec![String::new()];
        let mut chars = pattern.chars();
        let mut after_star = false;
        while let Some(char) = chars.next() {
            let literal = match char {
                '*' if after_star => return Err("Consecutive wildcard characters"),
                '*' => None,
                '\\' => match chars.next() {
                    Some(escaped @ ('*' | '\\')) => Some(escaped),
                    _ => return Err("Invalid escape character"),
                },
                other => Some(other),
            };
            after_star = literal.is_none();
            match (literal, literals.last_mut()) {
                (Some(literal), Some(last)) => last.push(literal),
                _ => literals.push(String::new()),
            }
        }
        Ok(Wildcard {
            literals: literals.into_iter().map(String::into_boxed_str).collect(),
        })
    }

    /// What a text begins and ends with that matches.
    pub(crate) fn ends(&self) -> (&str, &str) {
        match &self.literals[..] {
            [first, .., last] => (first, last),
            [only] => (only, only),
            [] => ("", ""),
        }
    }

    /// Takes the leftmost place for each literal, which is right because a star takes anything; linear.
    fn matches(&self, text: &str) -> bool {
        let (first, last) = match &self.literals[..] {
            [only] => return **only == *text,
            [first, .., last] => (first, last),
            [] => return false,
        };
        let Some(mut rest) = text.strip_prefix(&**first) else {
            return false;
        };
        for literal in &self.literals[1..self.literals.len() - 1] {
            match rest.find(&**literal) {
                Some(at) => rest = &rest[at + literal.len()..],
                None => return false,
            }
        }
        rest.ends_with(&**last)
    }
}

/// A text in which letters that differ only in case are the same.
pub(crate) fn fold_case(text: &str) -> String {
    text.chars().map(fold_char).collect()
}

/// Simple case folding: to upper case and back, where each step is one character.
fn fold_char(char: char) -> char {
    fn one(mut mapped: impl Iterator<Item = char>) -> Option<char> {
        let first = mapped.next()?;
        mapped.next().is_none().then_some(first)
    }
    if char.is_ascii() {
        return char.to_ascii_lowercase();
    }
    let upper = one(char.to_uppercase()).unwrap_or(char);
    one(upper.to_lowercase()).unwrap_or(upper)
}

impl fmt::Display for Scalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scalar::Text(text) => write!(f, "{:?}", Short(text)),
            Scalar::Number(number) => write!(f, "{number}"),
            Scalar::Bool(value) => write!(f, "{value}"),
            Scalar::Null => f.write_str("null"),
        }
    }
}

/// As a person would say it after "satisfies none of".
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rule::Equals(scalar) => write!(f, "{scalar}"),
            Rule::Prefix(text) => write!(f, "prefix {:?}", Short(text)),
            Rule::Suffix(text) => write!(f, "suffix {:?}", Short(text)),
            Rule::EqualsIgnoreCase(text) => write!(f, "equals-ignore-case {:?}", Short(text)),
            Rule::Numeric(range) => write!(f, "numeric {range}"),
            Rule::Exists(wanted) => write!(f, "exists {wanted}"),
            Rule::Cidr(Network { address, bits }) => write!(f, "cidr {address}/{bits}"),
            Rule::AnythingBut(exclusion) => write!(f, "anything-but {exclusion}"),
            Rule::Wildcard(wildcard) => write!(f, "wildcard {:?}", Short(&wildcard.to_string())),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.low, &self.high) {
            (Some(low), Some(high)) if low == high => return write!(f, "[=, {}]", low.number),
            _ => {}
        }
        let mut parts = Vec::new();
        if let Some(End { number, included }) = &self.low {
            parts.push(format!("{}, {number}", if *included { ">=" } else { ">" }));
        }
        if let Some(End { number, included }) = &self.high {
            parts.push(format!("{}, {number}", if *included { "<=" } else { "<" }));
        }
        write!(f, "[{}]", parts.join(", "))
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Values that a person reads in a line.
        const SHOWN: usize = 10;
        match self {
            Exclusion::Prefix(text) => write!(f, "prefix {:?}", Short(text)),
            Exclusion::Suffix(text) => write!(f, "suffix {:?}", Short(text)),
            Exclusion::Values(scalars) => {
                let shown: Vec<String> = scalars.iter().take(SHOWN).map(Scalar::to_string).collect();
                let more = if scalars.len() > SHOWN { ", …" } else { "" };
                write!(f, "[{}{more}]", shown.join(", "))
            }
        }
    }
}

impl fmt::Display for Wildcard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, literal) in self.literals.iter().enumerate() {
            let star = if place == 0 { "" } else { "*" };
            write!(f, "{star}{}", literal.replace('\\', "\\\\").replace('*', "\\*"))?;
        }
        Ok(())
    }
}
