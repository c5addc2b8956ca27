//! Why a policy does not admit a message, in sentences for people.

use std::fmt;

use crate::message::{Message, Value};
use crate::policy::{Key, Policy, Scope, Tree};
use crate::rule::Rule;

/// Values and rules that a person reads in a line.
const SHOWN: usize = 5;

/// One thing that stands between a message and a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason {
    /// The name or dotted path of the key that it is about; `None` if it is about the whole message.
    pub key: Option<String>,
    /// The sentence, which names the key.
    pub text: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Policy {
    /// Why the message is not admitted: a reason for each key whose rules all fail. Of an `$or` that fails, those of
    /// each alternative, which say so. Empty exactly if [`Policy::matches`].
    pub fn explain(&self, message: &Message<'_>) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if self.matches(message) {
            return reasons;
        }
        if !message.offers(self.scope()) {
            reasons.push(Reason {
                key: None,
                text: "the body is not a JSON object".into(),
            });
            return reasons;
        }
        explain(&self.meaning().tree, self.scope(), message, "", &mut reasons);
        reasons
    }
}

/// Adds the reasons of a part; none if it is satisfied.
fn explain(tree: &Tree, scope: Scope, message: &Message<'_>, context: &str, reasons: &mut Vec<Reason>) {
    match tree {
        Tree::All(parts) => {
            for part in parts {
                explain(part, scope, message, context, reasons);
            }
        }
        Tree::Any(parts) => {
            let before = reasons.len();
            for (place, part) in parts.iter().enumerate() {
                let count = reasons.len();
                let context = format!("{context}$or, alternative {} of {}: ", place + 1, parts.len());
                explain(part, scope, message, &context, reasons);
                if reasons.len() == count {
                    // This one is satisfied, so what is wrong with the others does not matter.
                    reasons.truncate(before);
                    return;
                }
            }
        }
        Tree::Key(key) => {
            let values = message.values(scope, &key.name);
            if !key.admits(values) {
                let sentence = sentence(key, values);
                reasons.push(Reason {
                    key: Some(key.name.to_string()),
                    text: format!("{context}{sentence}"),
                });
            }
        }
    }
}

/// Why none of a key's rules admits these values.
fn sentence(key: &Key, values: &[Value<'_>]) -> String {
    let name = &key.name;
    if values.is_empty() {
        return format!("key `{name}` is absent");
    }
    let shown = list(values);
    match &key.rules[..] {
        [Rule::Exists(_)] => format!("key `{name}` is present: {shown}"),
        [rule @ Rule::Numeric(_)] => format!("key `{name}`: {shown} is not in {rule}"),
        [rule @ Rule::AnythingBut(_)] => format!("key `{name}`: {shown} is excluded by {rule}"),
        [Rule::Equals(scalar)] => format!("key `{name}`: {shown} is not {scalar}"),
        [rule] => format!("key `{name}`: {shown} does not satisfy {rule}"),
        rules => format!("key `{name}`: {shown} satisfies none of {}", list(rules)),
    }
}

fn list(items: &[impl fmt::Display]) -> String {
    let shown: Vec<String> = items.iter().take(SHOWN).map(|item| item.to_string()).collect();
    match items.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
