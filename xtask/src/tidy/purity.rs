//! Pure crates: no clock, randomness, environment, I/O, threads or async, by word and by lint.
//!
//! The lint (a `clippy.toml` in each pure crate) sees through imports; the words catch what the lint
//! cannot name, such as `async`. Test modules may use threads and files.

use std::path::Path;

use super::{Problem, RustSource};

/// Floors 0 and 1: they decide and translate, and do nothing.
const PURE: &[&str] = &[
    "tsugite-base",
    "tsugite-filter",
    "tsugite-broker",
    "tsugite-registry",
    "tsugite-traffic",
    "tsugite-aws",
    "tsugite-discovery",
    "tsugite-grpc",
];

const BANNED: &[(&str, &str)] = &[
    ("SystemTime", "take `now: Now` as an argument"),
    ("Instant::now", "take `now: Now` as an argument"),
    ("time::Instant", "use tsugite_base::Mono"),
    ("RandomState::new", "take ids and seeds as arguments"),
    ("getrandom", "take ids and seeds as arguments"),
    ("std::env", "take settings as arguments"),
    ("std::fs", "disks belong to tsugite-log, files to the shell"),
    ("std::process", "processes belong to the shell"),
    ("std::thread", "threads belong to the shell"),
    ("thread_local!", "keep state in the machine"),
    ("TcpStream", "sockets belong to the shell"),
    ("TcpListener", "sockets belong to the shell"),
    ("UdpSocket", "sockets belong to the shell"),
    ("ToSocketAddrs", "name resolution belongs to the shell"),
    ("tokio", "no runtime in a pure crate"),
    ("hyper", "no HTTP engine in a pure crate"),
    ("tracing", "return what happened; the shell logs it"),
    ("async fn", "no async in a pure crate"),
    ("async move", "no async in a pure crate"),
    (".await", "no async in a pure crate"),
    ("println!", "return what happened; the shell prints it"),
];

pub(super) fn check(root: &Path, sources: &[RustSource]) -> Vec<Problem> {
    let mut found: Vec<Problem> = sources
        .iter()
        .filter(|source| is_pure(source))
        .flat_map(words)
        .collect();
    found.extend(lints(root));
    found
}

fn is_pure(source: &RustSource) -> bool {
    !source.is_test()
        && PURE
            .iter()
            .any(|name| source.path.starts_with(&format!("crates/{name}/")))
}

fn words(source: &RustSource) -> Vec<Problem> {
    let mut found = Vec::new();
    for (number, line) in source.shipped.lines().enumerate() {
        for (word, instead) in BANNED {
            if has_word(line, word) {
                found.push(format!(
                    "{}:{}: `{word}` in a pure crate: {instead}",
                    source.path,
                    number + 1
                ));
            }
        }
    }
    found
}

/// Whether `line` has `word` with no letter, digit or underscore on either side.
fn has_word(line: &str, word: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(part_of_name);
        let after = line[at + word.len()..].chars().next().is_some_and(part_of_name);
        let continues = before && word.starts_with(part_of_name);
        let continued = after && word.ends_with(part_of_name);
        !continues && !continued
    })
}

/// A nearer clippy.toml replaces the root's, so each pure crate's has to repeat it.
fn lints(root: &Path) -> Vec<Problem> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
    let shared = read("clippy.toml");
    let model = read("crates/tsugite-base/clippy.toml");
    let mut found = Vec::new();
    for line in shared.lines().filter(|line| !model.contains(line)) {
        found.push(format!(
            "crates/tsugite-base/clippy.toml: lacks the root's line `{line}`"
        ));
    }
    for name in PURE {
        let path = format!("crates/{name}/clippy.toml");
        if model.is_empty() || read(&path) != model {
            found.push(format!(
                "{path}: must be the same as crates/tsugite-base/clippy.toml"
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_words(text: &str, expected: usize) {
        let source = RustSource::new("crates/tsugite-broker/src/lib.rs".into(), text.into());
        assert_eq!(words(&source).len(), expected, "{text}");
    }

    #[test]
    fn impure_calls_are_found() {
        check_words("use std::time::Instant;", 1);
        check_words("let x = SystemTime::now();", 1);
        check_words("pub async fn f() { g().await }", 2);
    }

    #[test]
    fn names_comments_and_tests_are_not_calls() {
        check_words("let hyperbole = 1; // tokio", 0);
        check_words("#[cfg(test)]\nmod tests {\n    use std::thread;\n}\n", 0);
    }
}
