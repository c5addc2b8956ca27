//! Documents must be true: relative links lead somewhere, every problem type has its entry.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Problem, RustSource, collect};

const PROBLEMS: &str = "docs/problems.md";
const PROBLEM_PREFIX: &str = "urn:tsugite:problem:";

pub(super) fn check(root: &Path, sources: &[RustSource]) -> Vec<Problem> {
    let mut found = links(root);
    let documented = std::fs::read_to_string(root.join(PROBLEMS)).unwrap_or_default();
    let listed = problem_types(&documented);
    let shipped: Vec<&RustSource> = sources
        .iter()
        .filter(|source| source.path.starts_with("crates/"))
        .collect();
    let used: BTreeSet<String> = shipped
        .iter()
        .flat_map(|source| problem_types(&source.text))
        .collect();
    for name in used.difference(&listed) {
        found.push(format!("{PROBLEMS}: has no entry for {PROBLEM_PREFIX}{name}"));
    }
    // Most types are made from their bare name.
    let is_made = |name: &str| {
        shipped
            .iter()
            .any(|source| source.text.contains(&format!("\"{name}\"")))
    };
    for name in listed
        .iter()
        .filter(|name| !used.contains(*name) && !is_made(name))
    {
        found.push(format!(
            "{PROBLEMS}: {PROBLEM_PREFIX}{name} is nowhere in the code"
        ));
    }
    found
}

/// Names that follow the prefix in `text`. A prefix with nothing behind it (a format string) is none.
fn problem_types(text: &str) -> BTreeSet<String> {
    let name = |rest: &str| {
        rest.chars()
            .take_while(|c| c.is_ascii_lowercase() || *c == '-')
            .collect::<String>()
    };
    let names = text
        .match_indices(PROBLEM_PREFIX)
        .map(|(at, prefix)| name(&text[at + prefix.len()..]));
    names.filter(|name| !name.is_empty()).collect()
}

fn links(root: &Path) -> Vec<Problem> {
    let mut files = Vec::new();
    if let Err(error) = collect(root, "md", &mut files) {
        return vec![format!("cannot list the documents: {error}")];
    }
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let folder = file.parent().unwrap_or(root);
        for target in relative_targets(&text) {
            if !folder.join(&target).exists() {
                let shown = file.strip_prefix(root).unwrap_or(&file).display();
                found.push(format!("{shown}: the link to {target} leads nowhere"));
            }
        }
    }
    found
}

/// Targets of `](…)` that are paths of this repository, without their fragment.
fn relative_targets(text: &str) -> Vec<String> {
    let parts = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let paths = parts.filter_map(|target| target.split('#').next());
    paths
        .filter(|path| !path.is_empty() && !path.contains(':') && !path.contains(' '))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_links() {
        let text = "[a](docs/a.md#x) [b](https://b) [c](#here) [d](d.md)";
        assert_eq!(relative_targets(text), ["docs/a.md", "d.md"]);
    }

    #[test]
    fn problem_names_end_where_the_name_ends() {
        let text = "`urn:tsugite:problem:no-route`, urn:tsugite:problem:{name}";
        assert_eq!(problem_types(text), BTreeSet::from(["no-route".to_owned()]));
    }
}
