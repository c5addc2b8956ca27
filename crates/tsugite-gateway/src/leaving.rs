//! Instances that leave: each core says when it sends them nothing new and has finished what it had begun; and what the
//! cores find out about instances that cannot be reached.
//!
//! A core takes over a new table with its next request. Whoever waits for an instance to be left alone nudges the cores,
//! so that idle ones do so too. Each answers with the number of its table and the leaving instances that it still has
//! calls to. Both happen beside the requests: these only hold an [`InUse`], which is a count of one core's own.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tsugite_traffic::{Endpoint, ServiceKey, Table};

use crate::core::Core;
use crate::shared::Shared;

/// Between two looks at the cores while an instance has calls, at first and later.
const LOOKS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(20));
/// Looks after which it may take longer.
const QUICK_LOOKS: u32 = 50;
/// Complaints that may wait; more say nothing new.
const COMPLAINTS: usize = 256;

/// How many calls one core has to an endpoint.
type Count = Rc<Cell<u32>>;

/// That a call uses an endpoint, for as long as this lives.
#[derive(Debug)]
pub(crate) struct InUse(Count);

impl InUse {
    fn begin(count: &Count) -> InUse {
        count.set(count.get() + 1);
        InUse(Rc::clone(count))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Nobody accepted a connection at an instance's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The service.
    pub service: ServiceKey,
    /// The instance.
    pub instance: String,
    /// Where it was looked for.
    pub address: SocketAddr,
}

/// The uses of the endpoints in one core's view of a table.
pub(crate) struct Users {
    /// `[service][endpoint]`, in the order of the table.
    endpoints: Vec<Vec<Count>>,
    /// The same of those that are leaving.
    leaving: Vec<Vec<Count>>,
}

impl Users {
    /// Endpoints that were in the table before keep their users.
    pub(crate) fn new(table: &Table, before: Option<(&Table, &Users)>) -> Users {
        let mut known = HashMap::new();
        if let Some((table, users)) = before {
            for (at, service) in table.services().iter().enumerate() {
                let endpoints = service.endpoints.iter().zip(&users.endpoints[at]);
                let all = endpoints.chain(service.leaving.iter().zip(&users.leaving[at]));
                known.extend(all.map(|(e, count)| ((&service.key, e.id.as_str(), e.address), count)));
            }
        }
        let of = |key, endpoint: &Endpoint| {
            let count: Option<&&Count> = known.get(&(key, endpoint.id.as_str(), endpoint.address));
            count.map_or_else(Count::default, |count| Rc::clone(count))
        };
        let services = || table.services().iter();
        Users {
            endpoints: services()
                .map(|s| s.endpoints.iter().map(|e| of(&s.key, e)).collect())
                .collect(),
            leaving: services()
                .map(|s| s.leaving.iter().map(|e| of(&s.key, e)).collect())
                .collect(),
        }
    }

    pub(crate) fn of(&self, service: usize, endpoint: usize) -> InUse {
        InUse::begin(&self.endpoints[service][endpoint])
    }

    /// The leaving instances that calls are still under way to.
    pub(crate) fn busy_leavers(&self, table: &Table) -> Vec<(ServiceKey, String)> {
        let services = table.services().iter().zip(&self.leaving);
        let leavers = services.flat_map(|(service, users)| {
            let leaving = service.leaving.iter().zip(users);
            leaving.map(|(endpoint, count)| (&service.key, endpoint, count))
        });
        leavers
            .filter(|(_, _, count)| count.get() > 0)
            .map(|(key, endpoint, _)| (key.clone(), endpoint.id.clone()))
            .collect()
    }
}

/// What the cores say about those who leave, and about those whom they cannot reach.
#[derive(Debug)]
pub(crate) struct Departures {
    cores: Box<[CoreSays]>,
    complaints: mpsc::Sender<Complaint>,
    complained: Mutex<Option<mpsc::Receiver<Complaint>>>,
}

#[derive(Debug, Default)]
struct CoreSays {
    /// Whether the core serves at all.
    serves: AtomicBool,
    nudge: Notify,
    word: Mutex<Word>,
}

/// A core's word.
#[derive(Debug, Default)]
struct Word {
    /// The number of the table that it uses.
    table: u64,
    /// Leaving instances that it still has calls to.
    busy: Vec<(ServiceKey, String)>,
}

impl CoreSays {
    fn word(&self) -> MutexGuard<'_, Word> {
        self.word.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Departures {
    pub(crate) fn new(cores: usize) -> Departures {
        let (complaints, complained) = mpsc::channel(COMPLAINTS);
        Departures {
            cores: (0..cores.max(1)).map(|_| CoreSays::default()).collect(),
            complaints,
            complained: Mutex::new(Some(complained)),
        }
    }

    /// Tells that an instance cannot be reached. Where many wait to be heard, this one is not needed.
    pub(crate) fn complain(&self, complaint: Complaint) {
        let _ = self.complaints.try_send(complaint);
    }

    /// Whether every core that serves uses at least that table, and has no call to the instance.
    fn are_over(&self, table: u64, service: &ServiceKey, instance: &str) -> bool {
        let serving = self
            .cores
            .iter()
            .filter(|core| core.serves.load(Ordering::SeqCst));
        serving.map(CoreSays::word).all(|word| {
            let busy = |(key, id): &(ServiceKey, String)| key == service && id == instance;
            word.table >= table && !word.busy.iter().any(busy)
        })
    }

    fn nudge(&self) {
        self.cores.iter().for_each(|core| core.nudge.notify_one());
    }
}

impl Shared {
    /// Completes when no core begins calls to an instance any more, and all that were under way have ended. To be asked
    /// once a table was published in which the instance is leaving or gone.
    pub async fn left(&self, service: &ServiceKey, instance: &str) {
        let mut looks = 0_u32;
        loop {
            if self.has_left(service, instance) {
                return;
            }
            self.departures.nudge();
            let (quick, slow) = LOOKS;
            tokio::time::sleep(if looks < QUICK_LOOKS { quick } else { slow }).await;
            looks = looks.saturating_add(1);
        }
    }

    fn has_left(&self, service: &ServiceKey, instance: &str) -> bool {
        let published = self.published();
        let offered = published.table.service(service);
        let offered = offered.is_some_and(|s| s.endpoints.iter().any(|e| e.id == instance));
        !offered && self.departures.are_over(published.number, service, instance)
    }

    /// The complaints about instances that cannot be reached. There is one receiver; who asks later gets none.
    pub fn complaints(&self) -> Option<mpsc::Receiver<Complaint>> {
        let complained = self.departures.complained.lock();
        complained.unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Says what this core uses whenever somebody wants to know, until it is aborted.
pub(crate) async fn tell(core: Rc<Core>) {
    let says = &core.shared.departures.cores[core.index.min(core.shared.departures.cores.len() - 1)];
    let _serving = Serving::begin(says);
    loop {
        says.nudge.notified().await;
        let view = core.view();
        *says.word() = Word {
            table: view.number(),
            busy: view.busy_leavers(),
        };
    }
}

/// That a core serves, for as long as it does.
struct Serving<'c>(&'c CoreSays);

impl Serving<'_> {
    fn begin(says: &CoreSays) -> Serving<'_> {
        says.serves.store(true, Ordering::SeqCst);
        Serving(says)
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        self.0.serves.store(false, Ordering::SeqCst);
    }
}
