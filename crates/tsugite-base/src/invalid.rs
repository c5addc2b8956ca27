//! The one error for a value that breaks a rule: it names the parameter, the value and the rule.

use std::fmt::{self, Write as _};

/// A refused input value. The wire edge decides which protocol error it becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The parameter as its protocol spells it, for example `DelaySeconds`.
    pub what: String,
    /// The value as given, shortened to at most 100 characters.
    pub value: String,
    /// The rule it breaks, as a phrase that follows the value: "must be between 0 and 900".
    pub rule: String,
}

impl Invalid {
    /// Builds the error, shortening `value` if it is long.
    pub fn new(what: impl Into<String>, value: impl fmt::Display, rule: impl Into<String>) -> Invalid {
        let value = value.to_string();
        let value = match value.char_indices().nth(100) {
            Some((cut, _)) => format!("{}…", &value[..cut]),
            None => value,
        };
        Invalid {
            what: what.into(),
            value,
            rule: rule.into(),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The rule stands as a sentence here, which begins with a capital as AWS writes it.
        let mut rule = self.rule.chars();
        let first = rule.next().map(|c| c.to_ascii_uppercase());
        write!(
            f,
            "Value {} for parameter {} is invalid. Reason: ",
            self.value, self.what
        )?;
        first.map_or(Ok(()), |first| f.write_char(first))?;
        write!(f, "{}.", rule.as_str())
    }
}

impl std::error::Error for Invalid {}

/// Checks that `value` lies in `range` (inclusive), naming `what` if it does not.
pub fn in_range(what: &str, value: i64, range: std::ops::RangeInclusive<i64>) -> Result<i64, Invalid> {
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(Invalid::new(
            what,
            value,
            format!("must be between {} and {}", range.start(), range.end()),
        ))
    }
}
