//! What a command waits for after it was decided: that its batch is worth a sync, and that the sync is over.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::log::Shared;
use crate::state::State;

/// Wakes the committer for a batch that was just begun, once everything that was ready to run on this thread has run:
/// what came in together is synced together, and the committer does not take the core from this thread amid its work.
/// Wakes it at once when it is dropped.
pub(crate) struct Gather<'a, S: State> {
    shared: &'a Shared<S>,
    yielded: bool,
}

impl<'a, S: State> Gather<'a, S> {
    pub(crate) const fn new(shared: &'a Shared<S>) -> Self {
        Gather {
            shared,
            yielded: false,
        }
    }
}

impl<S: State> Future for Gather<'_, S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.yielded {
            return Poll::Ready(());
        }
        self.yielded = true;
        // To the back of the thread's queue.
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: State> Drop for Gather<'_, S> {
    fn drop(&mut self) {
        self.shared.work.notify_one();
    }
}

/// Waits for a position to become durable.
pub(crate) struct Durable<'a, S: State> {
    shared: &'a Shared<S>,
    lsn: u64,
}

impl<'a, S: State> Durable<'a, S> {
    pub(crate) const fn new(shared: &'a Shared<S>, lsn: u64) -> Self {
        Durable { shared, lsn }
    }
}

impl<S: State> Future for Durable<'_, S> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let done = || self.shared.is_durable(self.lsn);
        if done() {
            return Poll::Ready(());
        }
        self.shared.wake_at(self.lsn, cx.waker());
        // The sync may have ended between the look and the entry in the list.
        if done() { Poll::Ready(()) } else { Poll::Pending }
    }
}
