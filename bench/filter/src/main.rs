//! Filter policies by the thousand on one topic: the index beside a loop over all of them, on one core.
//!
//! `cargo run --release -p tsugite-filter-bench [POLICIES]` prints a table. A publish is what the broker does for
//! one: read attributes and body, and gather the subscriptions. Nothing here is random: seeds are fixed.
#![expect(clippy::print_stdout, reason = "a command prints")]

mod mix;

use std::hint::black_box;
use std::time::Duration;

use mix::{Mix, Published};
use tsugite_filter::{Index, Message, Policy};

/// A measurement is the best of this many runs: other work on the machine makes runs slower, never faster.
const RUNS: usize = 8;
/// How long on the processor each run takes at least.
const SPAN: Duration = Duration::from_millis(200);

fn main() {
    let count = std::env::args()
        .nth(1)
        .and_then(|count| count.parse().ok())
        .unwrap_or(10_000);
    println!("one core; a publish reads the message and gathers its subscriptions\n");
    println!(
        "{:<44} {:>9} {:>9} {:>12} {:>12} {:>8}",
        "policies", "count", "matches", "index /s", "loop /s", "factor"
    );
    for count in [10, count / 10, count] {
        measure("realistic mix", Mix::Realistic, count);
    }
    for (name, mix) in [
        ("all of one text", Mix::Same),
        ("one event, a customer each", Mix::RareSecond),
        ("ranges, each with one event in 20", Mix::Ranges),
        ("unselective: anything-but alone, all match", Mix::AnythingBut),
        ("unselective: half-open ranges, half match", Mix::HalfOpen),
    ] {
        measure(name, mix, count);
    }
}

fn measure(name: &str, mix: Mix, count: usize) {
    let policies: Vec<Policy> = mix::policies(mix, count);
    let messages = mix::messages(1000);
    let mut index = Index::new();
    for (key, policy) in policies.iter().enumerate() {
        index.insert(key as u32, policy);
    }
    let bodies = index.reads_bodies();
    let mut matches = 0;
    for published in &messages {
        let mut found = Vec::new();
        index.matching(&published.read(bodies), &mut found);
        matches += found.len();
    }
    let by_index = per_second(&messages, bodies, |message, found| index.matching(message, found));
    let by_loop = per_second(&messages, bodies, |message, found| {
        let matching = policies
            .iter()
            .enumerate()
            .filter(|(_, policy)| policy.matches(message));
        found.extend(matching.map(|(key, _)| key as u32));
    });
    println!(
        "{name:<44} {count:>9} {:>9.1} {by_index:>12.0} {by_loop:>12.0} {:>8.1}",
        matches as f64 / messages.len() as f64,
        by_index / by_loop
    );
}

/// How often in a second `gather` takes a message and finds its subscriptions.
fn per_second(messages: &[Published], bodies: bool, gather: impl Fn(&Message<'_>, &mut Vec<u32>)) -> f64 {
    let mut found = Vec::new();
    let mut run = || {
        let (start, mut done) = (on_processor(), 0_u64);
        for published in messages.iter().cycle() {
            found.clear();
            gather(&published.read(bodies), &mut found);
            black_box(&found);
            done += 1;
            if done.is_multiple_of(64) && on_processor() >= start + SPAN {
                break;
            }
        }
        done as f64 / (on_processor() - start).as_secs_f64()
    };
    (0..RUNS).map(|_| run()).fold(0.0, f64::max)
}

/// How long this process had a processor to itself, which is what one core means on a machine that does other work
/// too. Linux says it in nanoseconds.
fn on_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = text
        .split_whitespace()
        .next()
        .and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.expect("Linux with /proc/self/schedstat"))
}
