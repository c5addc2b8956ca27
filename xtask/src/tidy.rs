//! `cargo xtask tidy`: the walls of ARCHITECTURE.md as a test.
//!
//! Each check returns the list of what is wrong, one line each, with the place and what to do instead.

mod documents;
mod exceptions;
mod graph;
mod purity;
mod rust_source;
mod sizes;

use std::path::{Path, PathBuf};

use rust_source::RustSource;

/// One thing that is wrong, as a line that names its place.
pub(crate) type Problem = String;

/// Runs every check on the work tree at `root`.
pub(crate) fn problems(root: &Path) -> Vec<Problem> {
    let sources = match rust_sources(root) {
        Ok(sources) => sources,
        Err(error) => return vec![format!("cannot read the sources: {error}")],
    };
    let mut found = graph::check(root);
    found.extend(purity::check(root, &sources));
    found.extend(sizes::check(root, &sources));
    found.extend(sources.iter().flat_map(hygiene));
    found.extend(documents::check(root, &sources));
    found
}

/// Rules that hold for every Rust file.
fn hygiene(source: &RustSource) -> Vec<Problem> {
    let mut found = Vec::new();
    if !source.text.starts_with("//!") {
        found.push(format!(
            "{}:1: starts with no `//!` line that says what the file is for",
            source.path
        ));
    }
    let banned = [
        ("todo!(", "finish it, or answer a proper error"),
        ("unimplemented!(", "finish it, or answer a proper error"),
        ("#[ignore", "a test either runs or goes"),
        (
            "#[allow(",
            "use #[expect(…, reason = \"…\")], which says when it is no longer needed",
        ),
    ];
    for (number, line) in source.code.lines().enumerate() {
        for (word, instead) in banned {
            if line.contains(word) {
                found.push(format!("{}:{}: `{word}`: {instead}", source.path, number + 1));
            }
        }
    }
    found
}

fn rust_sources(root: &Path) -> std::io::Result<Vec<RustSource>> {
    let mut files = Vec::new();
    for folder in ["crates", "xtask", "sim", "fuzz", "bench"] {
        collect(&root.join(folder), "rs", &mut files)?;
    }
    files.sort();
    files
        .into_iter()
        .map(|file| {
            let path = file
                .strip_prefix(root)
                .unwrap_or(&file)
                .to_string_lossy()
                .into_owned();
            Ok(RustSource::new(path, std::fs::read_to_string(&file)?))
        })
        .collect()
}

/// Every file below `folder` whose name ends in `.extension`, leaving out what builds and installs leave behind.
fn collect(folder: &Path, extension: &str, into: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            if !matches!(name.as_str(), "target" | "node_modules" | ".cache" | ".git") {
                collect(&path, extension, into)?;
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            into.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    //! The work tree itself is the fixture.

    #[test]
    fn the_tree_is_tidy() {
        let problems = super::problems(&crate::root());
        assert!(
            problems.is_empty(),
            "{} problems:\n{}",
            problems.len(),
            problems.join("\n")
        );
    }
}
