//! What outlives a table: each service's breaker, and each endpoint's place in the balancers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tsugite_base::Mono;
use tsugite_base::rng::SplitMix64;

use crate::circuit::{Breaker, Transition};
use crate::report::CircuitReport;
use crate::table::{Endpoint, Service, ServiceKey, ServiceSpec, Slot};

/// The roster of services and endpoints. Shared by the feed, which builds tables, the control task, which calls
/// [`Roster::tick`], and the admin API. Never touched on the request path.
#[derive(Debug)]
pub struct Roster {
    cores: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    now: Mono,
    breakers: HashMap<ServiceKey, Arc<Breaker>>,
    /// Sorted by name: what the control task goes through.
    listed: Arc<[Arc<Breaker>]>,
    slots: HashMap<(ServiceKey, String, SocketAddr), Slot>,
    free: Vec<u32>,
    next_index: u32,
    next_serial: u64,
}

impl Roster {
    /// An empty roster for `cores` cores.
    pub fn new(cores: usize) -> Roster {
        Roster {
            cores,
            inner: Mutex::default(),
        }
    }

    /// All breakers, ordered by name.
    pub fn breakers(&self) -> Arc<[Arc<Breaker>]> {
        Arc::clone(&self.lock().listed)
    }

    /// The breaker with this name (`orders.shop`).
    pub fn breaker(&self, name: &str) -> Option<Arc<Breaker>> {
        self.lock().listed.iter().find(|b| b.name() == name).cloned()
    }

    /// Ticks every breaker ([`Breaker::tick`]). Returns the changes of state, each with the circuit's name.
    pub fn tick(&self, now: Mono, rng: &mut SplitMix64) -> Vec<(String, Transition)> {
        let listed = {
            let mut inner = self.lock();
            inner.now = inner.now.max(now);
            Arc::clone(&inner.listed)
        };
        let mut changes = Vec::new();
        for breaker in listed.iter() {
            let new = breaker.tick(now, rng);
            changes.extend(new.into_iter().map(|t| (breaker.name().to_owned(), t)));
        }
        changes
    }

    /// A report of every circuit, ordered by name.
    pub fn reports(&self, now: Mono) -> Vec<CircuitReport> {
        self.breakers().iter().map(|b| b.report(now)).collect()
    }

    /// Gives services their breakers and endpoints their slots, the old ones where they exist, and forgets all others.
    pub(crate) fn enrol(&self, specs: Vec<ServiceSpec>) -> Vec<Service> {
        let mut inner = self.lock();
        let mut old_breakers = std::mem::take(&mut inner.breakers);
        let mut old_slots = std::mem::take(&mut inner.slots);
        let mut services = Vec::with_capacity(specs.len());
        for mut spec in specs {
            let breaker = inner.breaker_of(&spec, old_breakers.remove(&spec.key), self.cores);
            inner.breakers.insert(spec.key.clone(), Arc::clone(&breaker));
            for endpoint in &mut spec.endpoints {
                inner.place(&spec.key, endpoint, &mut old_slots);
            }
            let name = spec.key.to_string();
            services.push(Service {
                key: spec.key,
                name,
                endpoints: spec.endpoints,
                breaker,
            });
        }
        inner.free.extend(old_slots.into_values().map(|slot| slot.index));
        let mut listed: Vec<_> = inner.breakers.values().cloned().collect();
        listed.sort_by(|a, b| a.name().cmp(b.name()));
        inner.listed = listed.into();
        services
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn breaker_of(&self, spec: &ServiceSpec, old: Option<Arc<Breaker>>, cores: usize) -> Arc<Breaker> {
        match old {
            Some(old) if old.has_settings(&spec.circuit) => old,
            old => {
                let new = Breaker::new(spec.key.to_string(), spec.circuit.clone(), cores, self.now);
                if let Some(wish) = old.and_then(|o| o.wish()) {
                    new.set_override(wish.what, wish.until, wish.note, self.now);
                }
                Arc::new(new)
            }
        }
    }

    fn place(
        &mut self,
        key: &ServiceKey,
        endpoint: &mut Endpoint,
        old: &mut HashMap<(ServiceKey, String, SocketAddr), Slot>,
    ) {
        let identity = (key.clone(), endpoint.id.clone(), endpoint.address);
        let slot = match (old.remove(&identity), self.slots.get(&identity)) {
            (Some(slot), _) => slot,
            (None, Some(twice)) => *twice,
            (None, None) => {
                let index = self.free.pop().unwrap_or(self.next_index);
                self.next_index = self.next_index.max(index + 1);
                self.next_serial += 1;
                Slot {
                    index,
                    serial: self.next_serial,
                }
            }
        };
        endpoint.slot = slot;
        self.slots.insert(identity, slot);
    }
}
