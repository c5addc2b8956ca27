//! Judges a history that was recorded as JSON lines: `tsugite-checker HISTORY.jsonl [slack] [grace]`, in milliseconds.
//! Exits with 1 if a promise was broken, with 2 if the history cannot be read.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its terminal"
)]

use std::process::ExitCode;

use tsugite_checker::{Rules, check, parse};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(path) = arguments.first() else {
        eprintln!("tsugite-checker HISTORY.jsonl [slack] [grace]");
        return ExitCode::from(2);
    };
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse().ok());
    let mut rules = Rules::default();
    rules.slack = number(1).unwrap_or(rules.slack);
    rules.grace = number(2).unwrap_or(rules.grace);
    let events = std::fs::read_to_string(path)
        .map_err(|e| e.to_string())
        .and_then(|text| parse(&text));
    let events = match events {
        Ok(events) => events,
        Err(error) => {
            eprintln!("{path}: {error}");
            return ExitCode::from(2);
        }
    };
    let report = check(&events, rules);
    for violation in report.violations.iter().take(100) {
        println!("VIOLATION {violation}");
    }
    println!(
        "{} events, {} calls done, {} unknown, {} deliveries; violations: {} {:?}",
        events.len(),
        report.done,
        report.unknown,
        report.deliveries,
        report.violations.len(),
        report.classes()
    );
    ExitCode::from(u8::from(!report.violations.is_empty()))
}
