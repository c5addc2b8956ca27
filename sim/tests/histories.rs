//! Ten thousand crash histories; the same seed gives the same bytes; planted mistakes are found.
//!
//! `TSUGITE_SIM_SEED` replays one, and `TSUGITE_SIM_EVENTS` names a file for what clients saw in it: a history that
//! `tsugite-checker` reads.

use tsugite_sim::{Bug, Outcome, run};

/// Histories played unless `TSUGITE_SIM_SEEDS` says otherwise.
const SEEDS: u64 = 10_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn no_history_breaks_a_promise() {
    if let Some(seed) = number("TSUGITE_SIM_SEED") {
        if let Some(file) = std::env::var_os("TSUGITE_SIM_EVENTS") {
            let text = tsugite_checker::render(&tsugite_sim::events(seed, Bug::None)).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let outcome = run(seed, Bug::None).unwrap_or_else(|violation| panic!("{violation}"));
        assert!(outcome.crashes > 0);
        return;
    }
    let seeds = number("TSUGITE_SIM_SEEDS").unwrap_or(SEEDS);
    let first = number("TSUGITE_SIM_FIRST").unwrap_or(0);
    let mut sum = Outcome::default();
    for seed in first..first + seeds {
        let outcome = run(seed, Bug::None).unwrap_or_else(|violation| panic!("{violation}"));
        sum.commands += outcome.commands;
        sum.replies += outcome.replies;
        sum.crashes += outcome.crashes;
        sum.torn += outcome.torn;
        sum.checkpoints += outcome.checkpoints;
        sum.full += outcome.full;
        sum.flips += outcome.flips;
        sum.flips_reported += outcome.flips_reported;
        sum.repeats += outcome.repeats;
        sum.repeated_receives += outcome.repeated_receives;
        sum.deliveries += outcome.deliveries;
        sum.unknown += outcome.unknown;
        sum.dropped += outcome.dropped;
        sum.copied += outcome.copied;
        sum.found_again += outcome.found_again;
    }
    // The histories are worth something only if all of this happened in them, often.
    assert!(sum.crashes >= 3 * seeds, "{sum:?}");
    assert!(sum.commands >= 50 * seeds && sum.replies >= 20 * seeds, "{sum:?}");
    assert!(sum.torn >= seeds / 60, "{sum:?}");
    assert!(sum.checkpoints >= seeds / 4, "{sum:?}");
    assert!(sum.full >= seeds / 100, "{sum:?}");
    assert!(
        sum.flips >= seeds / 4 && sum.flips_reported >= sum.flips / 4,
        "{sum:?}"
    );
    assert!(
        sum.repeats >= seeds && sum.repeated_receives >= seeds / 20,
        "{sum:?}"
    );
    assert!(sum.deliveries >= 10 * seeds && sum.unknown >= seeds, "{sum:?}");
    assert!(sum.dropped >= seeds / 4 && sum.copied >= seeds / 4, "{sum:?}");
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let mut digests = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let outcome = run(seed, Bug::None).unwrap();
        assert_eq!(outcome, run(seed, Bug::None).unwrap(), "seed {seed}");
        digests.insert(outcome.digest);
    }
    assert_eq!(digests.len(), 200, "other seeds give other bytes");
}

fn finds(bug: Bug) {
    let found = (0..500).find_map(|seed| run(seed, bug).err());
    let violation = found.unwrap_or_else(|| panic!("{bug:?} was not found in 500 histories"));
    assert!(violation.to_string().contains("TSUGITE_SIM_SEED="), "{violation}");
    assert_eq!(
        run(violation.seed, bug),
        Err(violation.clone()),
        "and it can be replayed"
    );
    assert!(run(violation.seed, Bug::None).is_ok());
}

#[test]
fn replies_before_the_sync_are_found() {
    finds(Bug::EarlyReplies);
}

#[test]
fn syncs_that_do_nothing_are_found() {
    finds(Bug::LazySyncs);
}

#[test]
fn a_restart_that_trusts_the_page_cache_is_found() {
    finds(Bug::TrustingRestart);
}
