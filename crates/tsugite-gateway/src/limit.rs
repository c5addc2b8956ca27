//! How long a call may take, and waiting no longer than that.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tsugite_base::Mono;
use tsugite_traffic::Outcome;

use crate::call::Call;

/// The time limits of a call: the earlier one ends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Limit {
    /// Ours: so long after the request is complete, until the answer's last byte. None on streaming routes and for gRPC.
    pub(crate) route: Option<Duration>,
    /// The client's own (`grpc-timeout`, `Tsugite-Deadline`).
    pub(crate) client: Option<Deadline>,
}

/// A client's time limit: until then, whatever happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) at: Mono,
    /// The time that the client allowed.
    pub(crate) allowed: Duration,
}

/// A time limit is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimedOut {
    /// That of the call.
    Call,
    /// That of one try; the call may have time for another.
    Try,
}

impl Limit {
    /// The longest that the call may take, as far as that is known at its start.
    pub(crate) fn total(self) -> Option<Duration> {
        let client = self.client.map(|deadline| deadline.allowed);
        self.route.into_iter().chain(client).min()
    }

    /// The time that the client itself allowed.
    pub(crate) fn client_allowed(self) -> Option<Duration> {
        self.client.map(|deadline| deadline.allowed)
    }
}

impl Call {
    /// How long until the limit is to be looked at again: `None` for never, zero if it is over.
    ///
    /// While the request is still being sent, the route's limit lies in the future; instead of being woken when the
    /// request is complete, whoever waits looks again after a whole limit, and then knows the rest.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let Limit { route, client } = self.limit;
        if route.is_none() && client.is_none() {
            return None;
        }
        let now = self.core.now();
        let route = route.map(|timeout| (self.complete_since().unwrap_or(now) + timeout).since(now));
        let client = client.map(|deadline| deadline.at.since(now));
        route.into_iter().chain(client).min()
    }

    /// What it says about the service that the limit is over.
    pub(crate) fn overrun(&self) -> Outcome {
        match self.limit.client {
            Some(Deadline { at, allowed }) if at <= self.core.now() => Outcome::ClientDeadline { allowed },
            _ => Outcome::Timeout,
        }
    }

    /// Waits for `work`, for as long as the limit allows, and at most for `per_try`. It comes pinned, so that it is not
    /// stored twice.
    pub(crate) async fn within<F: Future>(
        &self,
        mut work: Pin<&mut F>,
        per_try: Option<Duration>,
    ) -> Result<F::Output, TimedOut> {
        let try_ends = per_try.map(|limit| self.core.now() + limit);
        loop {
            let left = self.time_left();
            if left.is_some_and(|left| left.is_zero()) {
                return Err(TimedOut::Call);
            }
            let of_try = try_ends.map(|at| at.since(self.core.now()));
            if of_try.is_some_and(|left| left.is_zero()) {
                return Err(TimedOut::Try);
            }
            let Some(left) = left.into_iter().chain(of_try).min() else {
                return Ok(work.await);
            };
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(left) => {}
            }
        }
    }
}
