//! The size ratchet: 500 lines a file without tests, 70 lines a function, exceptions listed with a reason.

use std::path::Path;

use super::exceptions::{Exception, Kind, read};
use super::{Problem, RustSource};

const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
/// Where exceptions live, from the root.
const EXCEPTIONS: &str = "xtask/tidy-exceptions.txt";

pub(super) fn check(root: &Path, sources: &[RustSource]) -> Vec<Problem> {
    match read(&root.join(EXCEPTIONS)) {
        Ok(exceptions) => judge(sources, &exceptions),
        Err(problem) => vec![format!("{EXCEPTIONS}: {problem}")],
    }
}

fn judge(sources: &[RustSource], exceptions: &[Exception]) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut used = vec![false; exceptions.len()];
    for (kind, name, lines) in sources
        .iter()
        .filter(|source| !source.is_test())
        .flat_map(oversized)
    {
        match exceptions
            .iter()
            .position(|exception| exception.kind == kind && exception.name == name)
        {
            Some(index) => {
                used[index] = true;
                if lines > exceptions[index].lines_max {
                    found.push(format!(
                        "{name}: {lines} lines, above its exception of {}",
                        exceptions[index].lines_max
                    ));
                }
            }
            None => found.push(format!("{name}: {lines} lines; {}", kind.advice())),
        }
    }
    for (exception, _) in exceptions.iter().zip(used).filter(|(_, used)| !used) {
        found.push(format!(
            "{EXCEPTIONS}: {} is within the limit now: remove its line",
            exception.name
        ));
    }
    found
}

fn oversized(source: &RustSource) -> Vec<(Kind, String, usize)> {
    let mut found = Vec::new();
    let lines = source.lines_without_tests();
    if lines > FILE_LINES_MAX {
        found.push((Kind::File, source.path.clone(), lines));
    }
    for function in source
        .functions()
        .into_iter()
        .filter(|function| function.lines > FUNCTION_LINES_MAX)
    {
        found.push((
            Kind::Function,
            format!("{}::{}", source.path, function.name),
            function.lines,
        ));
    }
    found
}

impl Kind {
    fn advice(self) -> &'static str {
        match self {
            Kind::File => "a file has 500 at most without tests: find the second subject in it",
            Kind::Function => "a function has 70 at most: find the step that has a name",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long_function() -> RustSource {
        let body = "    x();\n".repeat(FUNCTION_LINES_MAX);
        RustSource::new("crates/x/src/lib.rs".into(), format!("fn long() {{\n{body}}}\n"))
    }

    fn exception(lines_max: usize) -> Exception {
        Exception {
            kind: Kind::Function,
            name: "crates/x/src/lib.rs::long".into(),
            lines_max,
        }
    }

    #[test]
    fn the_ratchet_only_turns_one_way() {
        assert_eq!(judge(&[long_function()], &[]).len(), 1, "too long");
        assert_eq!(judge(&[long_function()], &[exception(72)]).len(), 0, "listed");
        assert_eq!(judge(&[long_function()], &[exception(71)]).len(), 1, "grown");
        assert_eq!(judge(&[], &[exception(72)]).len(), 1, "stale");
    }
}
