//! What is wrong with a configuration, and where: one line for each problem.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_saphyr::Location;

/// Where a bad value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line and column (both from 1) of the configuration file.
    File(PathBuf, u64, u64),
    /// The whole configuration file, or one that cannot be read.
    WholeFile(PathBuf),
    /// A flag or the environment variable that stands for it.
    Flag(&'static str),
    /// No one place: a combination of settings.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(file, line, column) => write!(f, "{}:{line}:{column}: ", file.display()),
            Place::WholeFile(file) => write!(f, "{}: ", file.display()),
            Place::Flag(flag) => write!(f, "{flag}: "),
            Place::Nowhere => Ok(()),
        }
    }
}

/// One problem at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What, naming the value and the rule.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.place, self.text)
    }
}

/// A refused configuration: all the problems that were found, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// An error of one problem.
    pub fn one(place: Place, text: impl Into<String>) -> ConfigError {
        let text = text.into();
        ConfigError {
            problems: vec![Problem { place, text }],
        }
    }

    /// Translates what the YAML reader reports.
    pub(super) fn yaml(file: &Path, error: &serde_saphyr::Error) -> ConfigError {
        let place = match error.location() {
            Some(at) if at != Location::UNKNOWN => Place::File(file.to_owned(), at.line(), at.column()),
            _ => Place::WholeFile(file.to_owned()),
        };
        ConfigError::one(place, yaml_text(error.without_snippet()))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            let line_end = if i == 0 { "" } else { "\n" };
            write!(f, "{line_end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

fn yaml_text(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    match error {
        Error::SerdeUnknownField { field, expected, .. } => unknown("key", field, expected),
        Error::SerdeUnknownVariant {
            variant, expected, ..
        } => unknown("value", variant, expected),
        Error::SerdeInvalidType {
            unexpected, expected, ..
        } => {
            format!("expected {expected}, found {unexpected}")
        }
        Error::SerdeMissingField { field, .. } => format!("the key `{field}` is missing"),
        Error::Unexpected { expected, .. } => format!("expected {}", plain(expected)),
        Error::MultipleDocuments { .. } => "a second document begins here; a configuration is one".to_owned(),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("the key `{key}` stands here twice"),
        // The place is printed in front already; the reader's own text repeats it behind.
        other => {
            let text = other.render_with_options(serde_saphyr::render_options! {
                snippets: serde_saphyr::SnippetMode::Off,
            });
            strip_place(&text).to_owned()
        }
    }
}

/// The reader's words for what YAML is made of, in those of people who write it.
fn plain(expected: &str) -> &str {
    match expected {
        "string scalar" => "a text",
        "sequence start" => "a list",
        "mapping start" => "keys with values",
        other => other,
    }
}

fn strip_place(text: &str) -> &str {
    let line = text.lines().next().unwrap_or(text);
    let line = line.strip_prefix("error: ").unwrap_or(line);
    match line.find(" at line ") {
        Some(at) => &line[..at],
        None => line,
    }
}

fn unknown(kind: &str, name: &str, expected: &[&str]) -> String {
    if let Some(near) = nearest(name, expected) {
        return format!("unknown {kind} `{name}`; did you mean `{near}`?");
    }
    let list: Vec<String> = expected.iter().map(|key| format!("`{key}`")).collect();
    format!("unknown {kind} `{name}`; known here: {}", list.join(", "))
}

/// The candidate nearest to `name` by edits, unless more than a third of its letters differ.
pub fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let distance = |candidate: &str| edits(&lower, &candidate.to_lowercase());
    let best = candidates.iter().min_by_key(|candidate| distance(candidate))?;
    let allowed = (best.chars().count().max(name.chars().count()) / 3).clamp(1, 3);
    (distance(best) <= allowed).then_some(*best)
}

/// Levenshtein distance with adjacent swaps counted as one edit (optimal string alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_found_or_nothing() {
        let keys = ["gateway", "aws", "admin", "dns", "xds"];
        for (name, expected) in [
            ("gatway", Some("gateway")),
            ("Admin", Some("admin")),
            ("amdin", Some("admin")),
            ("asw", Some("aws")),
            ("completely_else", None),
        ] {
            assert_eq!(nearest(name, &keys), expected, "{name}");
        }
        assert_eq!(nearest("x", &[]), None);
    }
}
