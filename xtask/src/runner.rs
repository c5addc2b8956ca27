//! Runs steps one after the other, shows their output, counts tests, and sums up.

use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// What the steps so far have come to.
#[derive(Default)]
pub(crate) struct Runner {
    steps: Vec<Step>,
    counts: Counts,
}

struct Step {
    name: String,
    took: Duration,
    passed: bool,
}

/// Tests that ran, by outcome.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    passed: u64,
    failed: u64,
}

impl Runner {
    /// Whether every step so far passed.
    pub(crate) fn all_passed(&self) -> bool {
        self.steps.iter().all(|step| step.passed)
    }

    /// Runs a command with its output shown, and counts the tests that its output tells of.
    pub(crate) fn run(&mut self, name: &str, command: &mut Command) -> bool {
        println!("\n==> {name}");
        let begin = Instant::now();
        let mut counts = Counts::default();
        let status = command
            .current_dir(crate::root())
            .stdout(Stdio::piped())
            .spawn()
            .and_then(|mut child| {
                for line in child
                    .stdout
                    .take()
                    .into_iter()
                    .flat_map(|output| BufReader::new(output).split(b'\n'))
                {
                    let line = String::from_utf8_lossy(&line?).into_owned();
                    println!("{line}");
                    counts.read(&line);
                }
                child.wait()
            });
        let passed = match status {
            Ok(status) => status.success(),
            Err(error) => {
                eprintln!("{name}: cannot run {:?}: {error}", command.get_program());
                false
            }
        };
        self.note(name, begin.elapsed(), passed, counts);
        passed
    }

    /// Runs a check of our own, which returns what is wrong.
    pub(crate) fn check(&mut self, name: &str, check: impl FnOnce() -> Vec<String>) -> bool {
        println!("\n==> {name}");
        let begin = Instant::now();
        let problems = check();
        for problem in &problems {
            eprintln!("{problem}");
        }
        self.note(name, begin.elapsed(), problems.is_empty(), Counts::default());
        problems.is_empty()
    }

    fn note(&mut self, name: &str, took: Duration, passed: bool, mut counts: Counts) {
        if !passed && counts.failed == 0 {
            counts.failed = 1; // The step itself.
        }
        self.counts.passed += counts.passed;
        self.counts.failed += counts.failed;
        self.steps.push(Step {
            name: name.to_owned(),
            took,
            passed,
        });
    }

    /// Prints seconds per step and the closing line.
    pub(crate) fn finish(self) -> ExitCode {
        println!();
        for Step { name, took, passed } in &self.steps {
            println!(
                "{:>7.1} s  {}  {name}",
                took.as_secs_f64(),
                if *passed { "ok    " } else { "FAILED" }
            );
        }
        let total: Duration = self.steps.iter().map(|step| step.took).sum();
        println!("{:>7.1} s  in all", total.as_secs_f64());
        println!("{} passed, {} failed", self.counts.passed, self.counts.failed);
        if self.all_passed() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl Counts {
    /// Adds what one line of output says: libtest's `test result: ok. 3 passed; 0 failed; …`, pytest's
    /// `=== 3 passed, 1 failed in 2.1s ===`.
    fn read(&mut self, line: &str) {
        let sums_up = line.starts_with("test result: ") || (line.starts_with("==") && line.contains(" in "));
        if !sums_up {
            return;
        }
        let words: Vec<&str> = line
            .split([' ', ';', ',', '='])
            .filter(|word| !word.is_empty())
            .collect();
        for pair in words.windows(2) {
            let Ok(count) = pair[0].parse::<u64>() else {
                continue;
            };
            match pair[1] {
                "passed" => self.passed += count,
                "failed" | "error" | "errors" => self.failed += count,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[track_caller]
    fn check(line: &str, passed: u64, failed: u64) {
        let mut counts = Counts::default();
        counts.read(line);
        assert_eq!(counts, Counts { passed, failed }, "{line}");
    }

    #[test]
    fn summaries_are_counted() {
        check(
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1s",
            12,
            0,
        );
        check("test result: FAILED. 1 passed; 2 failed; 0 ignored", 1, 2);
        check("======== 1 failed, 40 passed, 2 errors in 12.31s ========", 40, 3);
        check("a line about 3 passed tests", 0, 0);
    }
}
