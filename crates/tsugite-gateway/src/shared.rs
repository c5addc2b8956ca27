//! What all cores share: the published table, the settings and the counters. Cores only read it, each its own
//! counters excepted.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tsugite_base::{Mono, World};
use tsugite_traffic::{Breaker, CircuitReport, Override, Roster, ServiceKey, Table};

use crate::leaving::Departures;
use crate::metrics::{CoreCounters, MetricsSnapshot, ResponseClass, ServiceCounters, ServiceMetrics};
use crate::settings::Settings;

/// The gateway as its cores, the feed and the admin API share it.
pub struct Shared {
    pub(crate) settings: Settings,
    pub(crate) world: World,
    roster: Roster,
    published: ArcSwap<Published>,
    /// Number of the published table, so that a core sees a change with one plain load.
    version: AtomicU64,
    counters: Mutex<HashMap<ServiceKey, Arc<PerCore<ServiceCounters>>>>,
    cores: PerCore<CoreCounters>,
    pub(crate) control: Wake,
    pub(crate) departures: Departures,
}

/// One value for each core, each on cache lines of its own.
#[derive(Debug)]
pub(crate) struct PerCore<T>(Box<[Padded<T>]>);

#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

impl<T: Default> PerCore<T> {
    fn new(cores: usize) -> PerCore<T> {
        PerCore((0..cores.max(1)).map(|_| Padded::default()).collect())
    }

    /// The value of a core; cores are numbered from 0, and a number too high shares that of the last.
    pub(crate) fn of(&self, core: usize) -> &T {
        &self.0[core.min(self.0.len() - 1)].0
    }

    fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|p| &p.0)
    }
}

/// A table with the counters of its services.
#[derive(Debug)]
pub(crate) struct Published {
    /// Counts tables.
    pub(crate) number: u64,
    pub(crate) table: Table,
    /// In the order of the table's services.
    pub(crate) counters: Vec<Arc<PerCore<ServiceCounters>>>,
}

/// Wakes the control task when traffic begins after a silence: an idle gateway does next to nothing.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    notify: Notify,
    asleep: AtomicBool,
}

impl Wake {
    /// Called for each request; almost always one load of a line that nobody writes.
    pub(crate) fn traffic(&self) {
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel) {
            self.notify.notify_one();
        }
    }

    /// Sleeps until there is traffic, at most for `limit`.
    pub(crate) async fn sleep(&self, limit: Duration) {
        self.asleep.store(true, Ordering::SeqCst);
        // Either it was woken or the time is over: both are a reason to look.
        let _ = tokio::time::timeout(limit, self.notify.notified()).await;
        self.asleep.store(false, Ordering::SeqCst);
    }
}

impl Shared {
    /// A gateway with an empty table.
    pub fn new(settings: Settings, world: World) -> Shared {
        let cores = settings.cores;
        Shared {
            roster: Roster::new(cores),
            settings,
            world,
            published: ArcSwap::from_pointee(Published {
                number: 1,
                table: Table::default(),
                counters: Vec::new(),
            }),
            version: AtomicU64::new(1),
            counters: Mutex::default(),
            cores: PerCore::new(cores),
            control: Wake::default(),
            departures: Departures::new(cores),
        }
    }

    /// What the feed builds tables with: circuits and what was learned about endpoints live on in it.
    pub fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Puts a new table into force on every core, from each one's next request on. Requests in progress keep the
    /// table that they began with.
    pub fn publish(&self, table: Table) {
        let mut known = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|key, _| table.service(key).is_some());
        let counters = table.services().iter().map(|service| {
            let new = || Arc::new(PerCore::new(self.settings.cores));
            known.entry(service.key.clone()).or_insert_with(new).clone()
        });
        let counters = counters.collect();
        let number = self.version() + 1;
        self.published.store(Arc::new(Published {
            number,
            table,
            counters,
        }));
        self.version.store(number, Ordering::Release);
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn published(&self) -> Arc<Published> {
        self.published.load_full()
    }

    pub(crate) fn core(&self, core: usize) -> &CoreCounters {
        self.cores.of(core)
    }

    /// Requests since the start, and exchanges in progress now.
    pub(crate) fn traffic(&self) -> (u64, u64) {
        let cores = self.cores.iter().map(|c| (c.requests.get(), c.active.get()));
        cores.fold((0, 0), |sum, core| {
            (sum.0.wrapping_add(core.0), sum.1.wrapping_add(core.1))
        })
    }

    /// Reads the table in force.
    pub fn with_table<R>(&self, read: impl FnOnce(&Table) -> R) -> R {
        read(&self.published.load().table)
    }

    /// A report of every circuit, ordered by name.
    pub fn circuits(&self) -> Vec<CircuitReport> {
        self.roster.reports(self.world.mono())
    }

    /// A report of the circuit with this name: of a service (`orders.shop`) or an endpoint (`orders.shop/i-1`).
    pub fn circuit(&self, name: &str) -> Option<CircuitReport> {
        self.roster.report(name, self.world.mono())
    }

    /// Puts an operator's wish above a circuit, for a time or until it is lifted. `None` if there is no such circuit.
    pub fn override_circuit(
        &self,
        name: &str,
        what: Override,
        lasts: Option<Duration>,
        note: &str,
    ) -> Option<CircuitReport> {
        self.change(name, |breaker, now| {
            breaker.set_override(what, lasts.map(|d| now + d), note, now)
        })
    }

    /// Lifts an override. `None` if there is no such circuit.
    pub fn lift_override(&self, name: &str) -> Option<CircuitReport> {
        self.change(name, |breaker, now| breaker.clear_override(now))
    }

    /// Closes a circuit, with an empty window. `None` if there is no such circuit.
    pub fn reset_circuit(&self, name: &str) -> Option<CircuitReport> {
        self.change(name, |breaker, now| breaker.reset(now))
    }

    fn change(&self, name: &str, change: impl FnOnce(&Breaker, Mono)) -> Option<CircuitReport> {
        let now = self.world.mono();
        let breaker = self.roster.breaker(name)?;
        change(&breaker, now);
        self.roster.report(name, now)
    }

    /// Adds up the counters of all cores. Counters that change meanwhile may be one event apart.
    pub fn metrics_snapshot(&self) -> MetricsSnapshot {
        let published = self.published();
        let services = published.table.services().iter().zip(&published.counters);
        let sum = |read: fn(&CoreCounters) -> u64| self.cores.iter().map(read).sum();
        MetricsSnapshot {
            services: services
                .map(|(service, cores)| of_service(&service.key, cores))
                .collect(),
            connections: sum(|c| c.connections.get()),
            accepted: sum(|c| c.accepted.get()),
            requests: sum(|c| c.requests.get()),
            active: sum(|c| c.active.get()),
            unrouted: sum(|c| c.unrouted.get()),
            bad_requests: sum(|c| c.bad_requests.get()),
        }
    }
}

fn of_service(key: &ServiceKey, cores: &PerCore<ServiceCounters>) -> ServiceMetrics {
    let mut total = ServiceMetrics {
        namespace: key.namespace.clone(),
        service: key.service.clone(),
        responses: ResponseClass::ALL.map(|class| (class, 0)).to_vec(),
        ..ServiceMetrics::default()
    };
    for core in cores.iter() {
        for ((_, sum), counter) in total.responses.iter_mut().zip(&core.responses) {
            *sum += counter.get();
        }
        core.latency.add_to(&mut total.latency);
        total.connect_errors += core.connect_errors.get();
        total.active += core.active.get();
        total.retries += core.retries.get();
        total.unaffordable += core.unaffordable.get();
    }
    total
}
