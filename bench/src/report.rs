//! Figures as Markdown tables, and the machine that they were measured on.

use std::path::Path;
use std::process::Command;

use crate::Result;

/// The middle of the values and their extremes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Spread {
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
        Spread {
            median: (at(low) + at(high)) / 2.0,
            min: at(0),
            max: at(values.len().saturating_sub(1)),
        }
    }

    /// `median [min..max]` with so many decimals.
    pub(crate) fn show(self, decimals: usize) -> String {
        let Spread { median, min, max } = self;
        if median.is_nan() {
            return "-".into();
        }
        format!("{median:.decimals$} [{min:.decimals$}..{max:.decimals$}]")
    }
}

/// Per round, ours divided by theirs; then the spread over the rounds.
pub(crate) fn ratio(ours: &[f64], theirs: &[f64]) -> Spread {
    Spread::of(
        ours.iter()
            .zip(theirs)
            .map(|(ours, theirs)| ours / theirs)
            .collect(),
    )
}

/// A Markdown table.
pub(crate) struct Table {
    text: String,
}

impl Table {
    pub(crate) fn new(columns: &[&str]) -> Table {
        let rule = vec!["---"; columns.len()].join(" | ");
        Table {
            text: format!("| {} |\n| {rule} |\n", columns.join(" | ")),
        }
    }

    pub(crate) fn row(&mut self, cells: &[String]) {
        self.text.push_str(&format!("| {} |\n", cells.join(" | ")));
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// Processor, cores, kernel, file system and the versions of the programs named.
pub(crate) fn machine(programs: &[(&str, &[&str])]) -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("?", |(_, m)| m);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = first_line("uname", &["-r"]);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let disk = first_line("stat", &["-f", "-c", "%T", "."]);
    let mut text = format!(
        "Machine: {model}, {cores} cores, Linux {kernel}, {disk}; load before the run {}.\n",
        load.split(' ').next().unwrap_or("?")
    );
    let versions = programs
        .iter()
        .map(|(program, arguments)| without_path(program, &first_line(program, arguments)));
    let versions: Vec<String> = versions.collect();
    if !versions.is_empty() {
        text.push_str(&format!("Programs: {}.\n", versions.join("; ")));
    }
    text
}

/// A version line that begins with where the program lies begins with its name instead.
fn without_path(program: &str, line: &str) -> String {
    match line.split_once(char::is_whitespace) {
        Some((path, rest)) if path.starts_with('/') => format!("{program} {}", rest.trim_start()),
        _ => line.to_owned(),
    }
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output
        .map(|output| [output.stdout, output.stderr].concat())
        .unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("?")
        .trim()
        .to_owned()
}

/// Prints a section and, when asked, puts it between its marks in `bench/RESULTS.md`.
pub(crate) fn publish(section: &str, text: &str, write: bool) -> Result<()> {
    println!("{text}");
    if write {
        let path = crate::peers::repository().join("bench/RESULTS.md");
        replace_section(&path, section, text)?;
    }
    Ok(())
}

fn replace_section(path: &Path, section: &str, text: &str) -> Result<()> {
    let (open, close) = (
        format!("<!-- {section} -->\n"),
        format!("<!-- end of {section} -->"),
    );
    let old = std::fs::read_to_string(path)?;
    let missing = || format!("{}: has no marks for {section}", path.display());
    let (before, rest) = old.split_once(&open).ok_or_else(missing)?;
    let (_, after) = rest.split_once(&close).ok_or_else(missing)?;
    std::fs::write(path, format!("{before}{open}\n{text}\n{close}{after}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]).show(1), "2.0 [1.0..3.0]");
        assert_eq!(Spread::of(vec![1.0, 2.0]).median, 1.5);
        assert_eq!(Spread::of(vec![f64::NAN]).show(1), "-");
        assert_eq!(ratio(&[1.0, 4.0], &[2.0, 2.0]).show(2), "1.25 [0.50..2.00]");
    }
}
