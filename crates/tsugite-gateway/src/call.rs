//! The bookkeeping of one exchange with a service, from admission to outcome: it reports to the circuit, the balancer
//! and the counters, each exactly once, whichever way the exchange ends.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

use tsugite_base::Mono;
use tsugite_traffic::{Budget, Chosen, Entry, Outcome, Pick, Service, Ticket};

use crate::core::{Core, View};
use crate::leaving::{Complaint, InUse};
use crate::limit::{Deadline, Limit};
use crate::metrics::{ResponseClass, ServiceCounters};
use crate::pool::Pool;

/// The facts of a call. Shared by the request's body (which knows when the request is complete) and whoever waits for
/// or relays the answer.
pub(crate) struct Call {
    pub(crate) core: Rc<Core>,
    view: Rc<View>,
    service: usize,
    /// Of the latest try.
    endpoint: Cell<usize>,
    /// Tells that the endpoint is in use, for as long as the try lives.
    in_use: RefCell<InUse>,
    pub(crate) grpc: bool,
    /// The answer is a long stream: its outcome is known with its head or first message.
    pub(crate) streaming: bool,
    pub(crate) limit: Limit,
    /// What decides about the endpoint, where the policy is by hash.
    pub(crate) hash: Option<u64>,
    pub(crate) started: Mono,
    /// Of the service's circuit.
    ticket: RefCell<Option<Ticket>>,
    /// Of the circuit of the latest try's endpoint.
    endpoint_ticket: RefCell<Option<Ticket>>,
    pick: Cell<Option<Pick>>,
    /// The places that it takes, where there are limits: at the service, and at the latest try's endpoint.
    entry: Cell<Option<Entry>>,
    endpoint_entry: Cell<Option<Entry>>,
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
    pub(crate) entry: Option<Entry>,
    pub(crate) chosen: Chosen,
    pub(crate) hash: Option<u64>,
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
        &self.service().endpoints[self.endpoint.get()]
    }

    pub(crate) fn pool(&self) -> &Rc<Pool> {
        self.view.pool(self.service, self.endpoint.get())
    }

    /// The index of the endpoint among those of the service.
    pub(crate) fn endpoint_index(&self) -> usize {
        self.endpoint.get()
    }

    /// This core's budget for retries of the service.
    pub(crate) fn budget(&self) -> &Rc<RefCell<Budget>> {
        self.view.budget(self.service)
    }

    /// Says if nobody accepts connections at the endpoint's address.
    fn complain(&self, outcome: Outcome) {
        if outcome != Outcome::ConnectFailure {
            return;
        }
        let (service, endpoint) = (self.service(), self.endpoint());
        self.core.shared.departures.complain(Complaint {
            service: service.key.clone(),
            instance: endpoint.id.clone(),
            address: endpoint.address,
        });
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
        if self.grpc && !self.responded.get() {
            for ticket in [&self.ticket, &self.endpoint_ticket] {
                if let Some(ticket) = &mut *ticket.borrow_mut() {
                    ticket.resume(now);
                }
            }
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
        match self.limit.client {
            Some(Deadline { at, allowed }) if at.since(self.core.now()) <= allowed / 10 => {
                Outcome::ClientDeadline { allowed }
            }
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
        for ticket in [&self.ticket, &self.endpoint_ticket] {
            if let Some(ticket) = &mut *ticket.borrow_mut() {
                ticket.responded(now);
            }
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
        self.complain(outcome);
        self.tell_balancer(outcome, None, now);
        for ticket in [&self.ticket, &self.endpoint_ticket] {
            if let Some(ticket) = ticket.borrow_mut().take() {
                ticket.record(outcome, now);
            }
        }
        self.counters().response(class);
    }

    /// A try failed, and another will follow: the endpoint's circuit hears of it, the service's does not yet.
    pub(crate) fn try_failed(&self, outcome: Outcome, retry_after: Option<Duration>) {
        let now = self.core.now();
        self.complain(outcome);
        self.tell_balancer(outcome, retry_after, now);
        if let Some(ticket) = self.endpoint_ticket.borrow_mut().take() {
            ticket.record(outcome, now);
        }
        self.endpoint_entry.set(None);
    }

    /// Another try begins.
    pub(crate) fn try_again(&self, chosen: Chosen) {
        let Chosen {
            pick,
            mut ticket,
            entry,
        } = chosen;
        self.endpoint_entry.set(entry);
        if self.grpc
            && self.upload_done.get().is_none()
            && let Some(ticket) = &mut ticket
        {
            ticket.pause();
        }
        self.endpoint.set(pick.index);
        *self.in_use.borrow_mut() = self.view.in_use(self.service, pick.index);
        self.pick.set(Some(pick));
        *self.endpoint_ticket.borrow_mut() = ticket;
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
            entry,
            chosen,
            hash,
            grpc,
            streaming,
            limit,
            uploads,
        } = admitted;
        let Chosen {
            pick,
            ticket: mut endpoint_ticket,
            entry: endpoint_entry,
        } = chosen;
        let started = ticket.started();
        if uploads && grpc {
            ticket.pause();
            if let Some(ticket) = &mut endpoint_ticket {
                ticket.pause();
            }
        }
        let call = Call {
            core: core.clone(),
            in_use: RefCell::new(view.in_use(service, pick.index)),
            view,
            service,
            endpoint: Cell::new(pick.index),
            grpc,
            streaming,
            limit,
            hash,
            started,
            ticket: RefCell::new(Some(ticket)),
            endpoint_ticket: RefCell::new(endpoint_ticket),
            pick: Cell::new(Some(pick)),
            entry: Cell::new(entry),
            endpoint_entry: Cell::new(endpoint_entry),
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
        // The body of the request may hold the call for a while yet.
        self.entry.set(None);
        self.endpoint_entry.set(None);
        self.counters().active.sub(1);
        self.core.counters().active.sub(1);
    }
}
