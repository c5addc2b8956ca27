//! The control task: merges what the cores counted into the circuits, and lets their timers fire.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tsugite_base::rng::SplitMix64;

use crate::shared::Shared;

/// The longest time between two merges while there is traffic.
const TICK: Duration = Duration::from_millis(50);
/// Ticks without traffic after which the task sleeps until there is some, or until a circuit's timer is due.
const QUIET_TICKS: u32 = 4;
/// The longest sleep. A request that begins in the very moment in which the task falls asleep may not wake it; this is
/// how long it then goes unmerged, if no other follows: short enough for a hang to be noticed within the slow threshold
/// plus 0.2 s all the same.
const LONGEST_SLEEP: Duration = Duration::from_millis(150);

/// Runs the circuits until `shutdown` completes. To be run once for the process, on any runtime.
///
/// While requests come it wakes every 50 ms; an idle gateway wakes only for what a circuit has to do.
pub async fn control(shared: Arc<Shared>, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    tokio::select! {
        () = run(&shared) => {}
        () = &mut shutdown => {}
    }
}

async fn run(shared: &Shared) {
    let mut rng = SplitMix64::new(shared.world.random_u64());
    let (mut quiet, mut seen) = (0, 0);
    loop {
        tick(shared, &mut rng);
        let (requests, active) = shared.traffic();
        // A call in progress may become slow, and is to be noticed then.
        let busy = requests != seen || active > 0;
        quiet = if busy { 0 } else { quiet + 1 };
        seen = requests;
        if quiet < QUIET_TICKS {
            tokio::time::sleep(TICK).await;
        } else {
            shared.control.sleep(until_due(shared)).await;
            quiet = QUIET_TICKS - 1;
        }
    }
}

fn tick(shared: &Shared, rng: &mut SplitMix64) {
    for (circuit, change) in shared.roster().tick(shared.world.mono(), rng) {
        let (from, to, reason) = (change.from.as_str(), change.to.as_str(), change.reason.as_str());
        let (calls, generation) = (change.rates.calls, change.generation);
        tracing::warn!(
            circuit,
            from,
            to,
            reason,
            calls,
            generation,
            "circuit changed its state"
        );
    }
}

/// How long nothing is due: until a circuit's timer, but at most [`LONGEST_SLEEP`].
fn until_due(shared: &Shared) -> Duration {
    let now = shared.world.mono();
    let breakers = shared.roster().breakers();
    let due = breakers.iter().filter_map(|b| b.next_deadline()).min();
    due.map_or(LONGEST_SLEEP, |at| at.since(now).min(LONGEST_SLEEP))
}
