//! The list of files and functions that may be larger than the rule, each with its reason.

use std::path::Path;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Function,
}

/// One line of the list.
#[derive(Debug)]
pub(super) struct Exception {
    pub(super) kind: Kind,
    /// A path, or `path::function`.
    pub(super) name: String,
    /// It may be this long and no longer.
    pub(super) lines_max: usize,
}

pub(super) fn read(path: &Path) -> Result<Vec<Exception>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| parse(line).ok_or_else(|| format!("line {}: {FORM}", number + 1)))
        .collect()
}

const FORM: &str = "write `file|function NAME LINES REASON`";

fn parse(line: &str) -> Option<Exception> {
    let mut words = line.split_whitespace();
    let kind = match words.next()? {
        "file" => Kind::File,
        "function" => Kind::Function,
        _ => return None,
    };
    let name = words.next()?.to_owned();
    let lines_max = words.next()?.parse().ok()?;
    words.next()?; // The reason.
    Some(Exception {
        kind,
        name,
        lines_max,
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_line_needs_all_four_parts() {
        assert!(parse("function a.rs::f 80 one match over every record kind").is_some());
        assert!(parse("function a.rs::f 80").is_none(), "no reason");
        assert!(parse("module a.rs 80 reason").is_none(), "no such kind");
        assert!(parse("file a.rs many reason").is_none(), "no number");
    }
}
