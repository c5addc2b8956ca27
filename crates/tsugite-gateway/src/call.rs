//! The bookkeeping of one exchange with a service, from admission to outcome: it reports to the circuit, the balancer
//! and the counters, each exactly once, whichever way the exchange ends.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use tsugite_base::Mono;
use tsugite_traffic::{Outcome, Pick, Service, Ticket};

use crate::core::{Core, View};
use crate::limit::Limit;
use crate::metrics::{ResponseClass, ServiceCounters};
use crate::pool::Pool;

/// The facts of a call. Shared by the request's body (which knows when the request is complete) and whoever waits for
/// or relays the answer.
pub(crate) struct Call {
    pub(crate) core: Rc<Core>,
    view: Rc<View>,
    service: usize,
    endpoint: usize,
    pub(crate) grpc: bool,
    /// The answer is a long stream: its outcome is known with its head or first message.
    pub(crate) streaming: bool,
    pub(crate) limit: Limit,
    pub(crate) started: Mono,
    ticket: RefCell<Option<Ticket>>,
    pick: Cell<Option<Pick>>,
    responded: Cell<bool>,
    settled: Cell<bool>,
    /// The endpoint's connection has asked for the body, so that it cannot be sent elsewhere.
    upload_started: Cell<bool>,
    /// When the last frame of the request went to the endpoint's connection.
    upload_done: Cell<Option<Mono>>,
    /// The client broke off its request.
    upload_failed: Cell<bool>,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("service", &self.service().name)
            .finish_non_exhaustive()
    }
}

/// What a call begins with.
pub(crate) struct Admitted {
    pub(crate) view: Rc<View>,
    pub(crate) service: usize,
    pub(crate) ticket: Ticket,
    pub(crate) pick: Pick,
    pub(crate) grpc: bool,
    pub(crate) streaming: bool,
    pub(crate) limit: Limit,
    /// The request has a body that is still to come.
    pub(crate) uploads: bool,
}

impl Call {
    pub(crate) fn service(&self) -> &Service {
        self.view.service(self.service)
    }

    pub(crate) fn endpoint(&self) -> &tsugite_traffic::Endpoint {
        &self.service().endpoints[self.endpoint]
    }

    pub(crate) fn pool(&self) -> &Rc<Pool> {
        self.view.pool(self.service, self.endpoint)
    }

    pub(crate) fn counters(&self) -> &ServiceCounters {
        self.view.counters(self.service, self.core.index)
    }

    pub(crate) fn upload_starts(&self) {
        self.upload_started.set(true);
    }

    pub(crate) fn upload_has_started(&self) -> bool {
        self.upload_started.get()
    }

    /// The request is complete. For gRPC, the circuit's clock starts here.
    pub(crate) fn upload_ends(&self) {
        if self.upload_done.get().is_some() {
            return;
        }
        let now = self.core.now();
        self.upload_done.set(Some(now));
        if self.grpc
            && !self.responded.get()
            && let Some(ticket) = &mut *self.ticket.borrow_mut()
        {
            ticket.resume(now);
        }
    }

    pub(crate) fn upload_fails(&self) {
        self.upload_failed.set(true);
    }

    pub(crate) fn upload_has_failed(&self) -> bool {
        self.upload_failed.get()
    }

    /// What it means that the client left. Its deadline began before the gateway heard of it, so a client that gives
    /// up at its deadline is gone a moment before the gateway's own timer: the last tenth belongs to the deadline.
    fn departure(&self) -> Outcome {
        match self.limit {
            Limit::Client(at, allowed) if at.since(self.core.now()) <= allowed / 10 => self.limit.outcome(),
            _ => Outcome::Ignored,
        }
    }

    /// When the request was complete, if it is.
    pub(crate) fn complete_since(&self) -> Option<Mono> {
        self.upload_done.get()
    }

    /// The head of the answer (HTTP) or its first message or trailers (gRPC) arrived: that is the call's latency.
    pub(crate) fn responded(&self, outcome: Outcome, retry_after: Option<Duration>) {
        if self.responded.replace(true) {
            return;
        }
        let now = self.core.now();
        if let Some(ticket) = &mut *self.ticket.borrow_mut() {
            ticket.responded(now);
        }
        self.counters().latency.record(now.since(self.started));
        self.tell_balancer(outcome, retry_after, now);
    }

    /// The outcome is known. Only the first call counts.
    pub(crate) fn settle(&self, outcome: Outcome, class: ResponseClass) {
        if self.settled.replace(true) {
            return;
        }
        let now = self.core.now();
        // An error that the client's broken upload caused says nothing about the service.
        let (outcome, class) = match self.upload_failed.get() && outcome == Outcome::Failure {
            true => (Outcome::Ignored, ResponseClass::Cancelled),
            false => (outcome, class),
        };
        self.tell_balancer(outcome, None, now);
        if let Some(ticket) = self.ticket.borrow_mut().take() {
            ticket.record(outcome, now);
        }
        self.counters().response(class);
    }

    fn tell_balancer(&self, outcome: Outcome, retry_after: Option<Duration>, now: Mono) {
        let Some(pick) = self.pick.take() else { return };
        let mut balancer = self.core.balancer.borrow_mut();
        match outcome {
            Outcome::Success => balancer.succeeded(pick, now),
            Outcome::Ignored | Outcome::ClientDeadline { .. } => balancer.abandoned(pick),
            Outcome::Failure | Outcome::ConnectFailure | Outcome::Timeout | Outcome::Overload => {
                balancer.failed(pick, retry_after, now);
            }
        }
    }
}

/// A call that is being waited for or relayed. Dropped before its outcome is known, it is one whose client left.
#[derive(Debug)]
pub(crate) struct Exchange(Rc<Call>);

impl Exchange {
    pub(crate) fn begin(core: &Rc<Core>, admitted: Admitted) -> Exchange {
        let Admitted {
            view,
            service,
            mut ticket,
            pick,
            grpc,
            streaming,
            limit,
            uploads,
        } = admitted;
        let started = ticket.started();
        if uploads && grpc {
            ticket.pause();
        }
        let call = Call {
            core: core.clone(),
            view,
            service,
            endpoint: pick.index,
            grpc,
            streaming,
            limit,
            started,
            ticket: RefCell::new(Some(ticket)),
            pick: Cell::new(Some(pick)),
            responded: Cell::new(false),
            settled: Cell::new(false),
            upload_started: Cell::new(false),
            upload_done: Cell::new((!uploads).then_some(started)),
            upload_failed: Cell::new(false),
        };
        call.counters().active.add(1);
        core.counters().active.add(1);
        Exchange(Rc::new(call))
    }

    pub(crate) fn share(&self) -> Rc<Call> {
        self.0.clone()
    }
}

impl Deref for Exchange {
    type Target = Call;
    fn deref(&self) -> &Call {
        &self.0
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.settle(self.departure(), ResponseClass::Cancelled);
        self.counters().active.sub(1);
        self.core.counters().active.sub(1);
    }
}
