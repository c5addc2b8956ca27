//! How long a call may take, and waiting no longer than that.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tsugite_base::Mono;
use tsugite_traffic::Outcome;

use crate::call::Call;

/// The time limit of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// None: streaming routes, and gRPC without a deadline.
    None,
    /// Ours: so long after the request is complete, until the answer's last byte.
    Route(Duration),
    /// The client's own (`grpc-timeout`): until then, whatever happens; and how long it allowed.
    Client(Mono, Duration),
}

/// The time limit is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TimedOut;

impl Limit {
    /// The longest that the call may take, as far as that is known at its start.
    pub(crate) const fn total(self) -> Option<Duration> {
        match self {
            Limit::None => None,
            Limit::Route(timeout) | Limit::Client(_, timeout) => Some(timeout),
        }
    }

    /// The time that the client itself allowed.
    pub(crate) const fn client_allowed(self) -> Option<Duration> {
        match self {
            Limit::Client(_, allowed) => Some(allowed),
            Limit::None | Limit::Route(_) => None,
        }
    }

    /// What its end says about the service.
    pub(crate) const fn outcome(self) -> Outcome {
        match self {
            Limit::Client(_, allowed) => Outcome::ClientDeadline { allowed },
            Limit::None | Limit::Route(_) => Outcome::Timeout,
        }
    }
}

impl Call {
    /// How long until the limit is to be looked at again: `None` for never, zero if it is over.
    ///
    /// While the request is still being sent, the route's limit lies in the future; instead of being woken when the
    /// request is complete, whoever waits looks again after a whole limit, and then knows the rest.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let now = self.core.now();
        match self.limit {
            Limit::None => None,
            Limit::Client(at, _) => Some(at.since(now)),
            Limit::Route(timeout) => Some((self.complete_since().unwrap_or(now) + timeout).since(now)),
        }
    }

    /// Waits for `work`, for as long as the limit allows. It comes pinned, so that it is not stored twice.
    pub(crate) async fn within<F: Future>(&self, mut work: Pin<&mut F>) -> Result<F::Output, TimedOut> {
        loop {
            let Some(left) = self.time_left() else {
                return Ok(work.await);
            };
            if left.is_zero() {
                return Err(TimedOut);
            }
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                () = tokio::time::sleep(left) => {}
            }
        }
    }
}
