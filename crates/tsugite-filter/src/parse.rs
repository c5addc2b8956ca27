//! From the text of a policy to its meaning, with AWS's limits and in AWS's words.
//!
//! Three steps: the text becomes a tree of JSON items that remember their places (`item.rs`), the items become rules
//! in the order of the text (here and in `operators.rs`), and the whole is held against the limits. Messages are
//! those that AWS is publicly known to answer; the place at their end is where AWS's own reader would stand.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::decimal::Decimal;
use crate::item::{Item, Kind};
use crate::operators;
use crate::policy::{Key, PolicyError, Scope, Tree};
use crate::rule::{Rule, Scalar};

/// AWS's limits for one policy.
pub(crate) const MAX_BYTES: usize = 256 * 1024;
const MAX_KEYS: usize = 5;
pub(crate) const MAX_COMPLEXITY: u64 = 150;

const OR: &str = "$or";

/// A refusal and the place in the text that it is about, in bytes.
#[derive(Debug)]
pub(crate) struct Fault {
    message: String,
    at: Option<usize>,
}

impl Fault {
    pub(crate) fn at(at: usize, message: impl Into<String>) -> Fault {
        Fault {
            message: message.into(),
            at: Some(at),
        }
    }

    pub(crate) fn whole(message: impl Into<String>) -> Fault {
        Fault {
            message: message.into(),
            at: None,
        }
    }

    fn tell(self, text: &str) -> PolicyError {
        let place = self.at.map(|at| place(text, at)).unwrap_or_default();
        PolicyError {
            message: format!("FilterPolicy: {}{place}", self.message),
        }
    }
}

/// A place as Java's JSON reader tells it: columns count UTF-16 units from 1, and the text is cut after 500.
fn place(text: &str, at: usize) -> String {
    const SHOWN: usize = 500;
    let before = &text[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let column = before[line_start..].encode_utf16().count() + 1;
    let (shown, cut) = match text.char_indices().nth(SHOWN) {
        Some((at, _)) => (
            &text[..at],
            format!("[truncated {} chars]", text[at..].chars().count()),
        ),
        None => (text, String::new()),
    };
    format!("\n at [Source: (String)\"{shown}\"{cut}; line: {line}, column: {column}]")
}

/// A part of a policy whose keys have not got their paths yet: paths repeat what stands above them, so they are
/// written out only once the limits hold.
enum Draft<'a> {
    Rules(Cow<'a, str>, Vec<Rule>),
    Nested(Cow<'a, str>, Vec<Draft<'a>>),
    Or(Vec<Vec<Draft<'a>>>),
}

/// The meaning of a policy and its complexity.
pub(crate) fn parse(text: &str, scope: Scope, extensions: bool) -> Result<(Tree, u32), PolicyError> {
    let drafts = draft(text, extensions).map_err(|fault| fault.tell(text))?;
    if scope == Scope::MessageAttributes && drafts.iter().any(Draft::is_nested) {
        return Err(PolicyError {
            message: "Filter policy scope MessageAttributes does not support nested filter policy".into(),
        });
    }
    let complexity = check_limits(&drafts).map_err(|fault| fault.tell(text))?;
    Ok((tree(drafts, ""), complexity))
}

fn draft(text: &str, extensions: bool) -> Result<Vec<Draft<'_>>, Fault> {
    if text.len() > MAX_BYTES {
        let bytes = text.len();
        return Err(Fault::whole(format!(
            "Filter policy is too long: {bytes} bytes, the limit is {MAX_BYTES}"
        )));
    }
    let item = Item::read(text)?;
    match item.kind {
        Kind::Object(members) if members.is_empty() => Ok(Vec::new()),
        Kind::Object(members) => object(members, item.end, extensions),
        _ => Err(Fault::at(item.at, "Filter is not an object")),
    }
}

fn check_limits(drafts: &[Draft<'_>]) -> Result<u32, Fault> {
    if drafts.len() > MAX_KEYS {
        let message = format!("Filter policy can not have more than {MAX_KEYS} keys");
        return Err(Fault::whole(message));
    }
    let complexity = complexity(drafts, 1);
    match u32::try_from(complexity) {
        Ok(small) if complexity <= MAX_COMPLEXITY => Ok(small),
        _ => Err(Fault::whole("Filter policy is too complex")),
    }
}

/// The product over the keys; see [`crate::Policy::complexity`].
fn complexity(drafts: &[Draft<'_>], depth: u64) -> u64 {
    let factor = |draft: &Draft<'_>| match draft {
        Draft::Rules(_, rules) => (rules.len() as u64).saturating_mul(depth),
        Draft::Nested(_, below) => complexity(below, depth + 1),
        Draft::Or(alternatives) => alternatives
            .iter()
            .map(|alternative| complexity(alternative, depth))
            .fold(0, u64::saturating_add),
    };
    drafts.iter().map(factor).fold(1, u64::saturating_mul)
}

impl Draft<'_> {
    fn is_nested(&self) -> bool {
        match self {
            Draft::Rules(..) => false,
            Draft::Nested(..) => true,
            Draft::Or(alternatives) => alternatives.iter().flatten().any(Draft::is_nested),
        }
    }
}

/// Writes out the paths. `above` is that of the object, with its dot.
fn tree(drafts: Vec<Draft<'_>>, above: &str) -> Tree {
    let part = |draft| match draft {
        Draft::Rules(name, rules) => Tree::Key(Key {
            name: format!("{above}{name}").into(),
            rules: rules.into(),
        }),
        Draft::Nested(name, below) => tree(below, &format!("{above}{name}.")),
        Draft::Or(alternatives) => {
            let alternatives = alternatives.into_iter();
            Tree::Any(alternatives.map(|alternative| tree(alternative, above)).collect())
        }
    };
    Tree::All(drafts.into_iter().map(part).collect())
}

fn object<'a>(
    members: Vec<(Cow<'a, str>, Item<'a>)>,
    end: usize,
    extensions: bool,
) -> Result<Vec<Draft<'a>>, Fault> {
    if members.is_empty() {
        return Err(Fault::at(end, "Empty objects are not allowed"));
    }
    check_names(&members)?;
    let mut drafts = Vec::with_capacity(members.len());
    for (name, item) in members {
        drafts.push(match item.kind {
            Kind::Array(items) if name == OR && is_or(&items) => Draft::Or(or(items, extensions)?),
            Kind::Array(items) => {
                let rules = rules(items, item.end, extensions)?;
                Draft::Rules(name, rules)
            }
            Kind::Object(below) => Draft::Nested(name, object(below, item.end, extensions)?),
            _ => {
                let message = format!("\"{name}\" must be an object or an array");
                return Err(Fault::at(item.at, message));
            }
        });
    }
    Ok(drafts)
}

/// A name that comes twice in one object would silently lose one of its two lists of rules.
fn check_names(members: &[(Cow<'_, str>, Item<'_>)]) -> Result<(), Fault> {
    let mut seen = BTreeSet::new();
    match members.iter().find(|(name, _)| !seen.insert(name)) {
        Some((name, item)) => Err(Fault::at(
            item.at,
            format!("Key \"{name}\" appears more than once"),
        )),
        None => Ok(()),
    }
}

/// Whether the array of a key `$or` joins alternatives: there are two at least, all objects, none of them empty or
/// a rule. Otherwise `$or` is a key like any other.
fn is_or(items: &[Item<'_>]) -> bool {
    let is_alternative = |item: &Item<'_>| match &item.kind {
        Kind::Object(members) => {
            !members.is_empty()
                && !members
                    .iter()
                    .any(|(name, _)| operators::NAMES.contains(&&**name))
        }
        _ => false,
    };
    items.len() > 1 && items.iter().all(is_alternative)
}

fn or<'a>(items: Vec<Item<'a>>, extensions: bool) -> Result<Vec<Vec<Draft<'a>>>, Fault> {
    let alternative = |item: Item<'a>| match item.kind {
        Kind::Object(members) => object(members, item.end, extensions),
        _ => Ok(Vec::new()), // `is_or` has seen to it that all are objects.
    };
    items.into_iter().map(alternative).collect()
}

fn rules(items: Vec<Item<'_>>, end: usize, extensions: bool) -> Result<Vec<Rule>, Fault> {
    if items.is_empty() {
        return Err(Fault::at(end, "Empty arrays are not allowed"));
    }
    let rule = |item: Item<'_>| match item.kind {
        Kind::Object(members) => operators::rule(&members, item.end, extensions),
        _ => match scalar(&item) {
            Some(scalar) => Ok(Rule::Equals(scalar)),
            None => {
                let message = "Match value must be String, number, true, false, or null";
                Err(Fault::at(item.at, message))
            }
        },
    };
    items.into_iter().map(rule).collect()
}

/// The value of an item that is neither object nor array.
pub(crate) fn scalar(item: &Item<'_>) -> Option<Scalar> {
    match &item.kind {
        Kind::Text(text) => Some(Scalar::Text(text.as_ref().into())),
        Kind::Number(text) => Decimal::parse(text).map(Scalar::Number),
        Kind::Bool(value) => Some(Scalar::Bool(*value)),
        Kind::Null => Some(Scalar::Null),
        Kind::Object(_) | Kind::Array(_) => None,
    }
}
