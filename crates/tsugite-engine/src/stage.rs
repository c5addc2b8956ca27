//! Where a battery plays: a store on its own, with the clock and the plug in the test's hand.

#![allow(clippy::unwrap_used, reason = "a step that fails fails the test")]

use std::future::Future;
use std::time::Duration;

/// A store on its own, with a clock in the test's hand.
pub trait Stage {
    /// The store.
    type Store: Clone;
    /// The store as it is now.
    fn store(&self) -> Self::Store;
    /// Lets time pass, and lets the store notice.
    fn pass(&self, time: Duration);
    /// Stops the store, cleanly or not, and starts it again over what it left. Clones are dropped before.
    fn restart(&mut self);
}

/// Runs one case.
pub fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.unwrap().block_on(case);
}
