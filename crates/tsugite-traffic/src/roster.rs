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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::circuit::{Admission, Override, State};
    use crate::classify::Outcome;
    use crate::table::{Protocol, Table, TableBuilder};

    fn key(name: &str) -> ServiceKey {
        ServiceKey::new("shop", name)
    }

    fn endpoint(id: &str, port: u16) -> Endpoint {
        Endpoint::new(id, SocketAddr::from(([127, 0, 0, 1], port)), Protocol::Http)
    }

    fn build(roster: &Roster, services: &[(&str, &[(&str, u16)])]) -> Table {
        let mut builder = TableBuilder::new();
        for (name, endpoints) in services {
            let endpoints = endpoints.iter().map(|(id, port)| endpoint(id, *port)).collect();
            builder.service(ServiceSpec::new(key(name), endpoints));
        }
        builder.build(roster)
    }

    fn slots(table: &Table, name: &str) -> Vec<Slot> {
        table
            .service(&key(name))
            .unwrap()
            .endpoints
            .iter()
            .map(|e| e.slot)
            .collect()
    }

    #[test]
    fn breakers_outlive_tables_and_go_with_their_service() {
        let roster = Roster::new(2);
        let first = build(&roster, &[("a", &[]), ("b", &[])]);
        let breaker = Arc::clone(&first.service(&key("a")).unwrap().breaker);
        for _ in 0..20 {
            let Admission::Go(ticket) = breaker.admit(0, Mono(0), None) else {
                panic!("closed")
            };
            ticket.record(Outcome::Failure, Mono(1));
        }
        let changes = roster.tick(Mono(2), &mut SplitMix64::new(1));
        assert_eq!(
            (changes.len(), changes[0].0.as_str(), changes[0].1.to),
            (1, "a.shop", State::Open)
        );
        let second = build(&roster, &[("a", &[("i", 1)])]);
        assert_eq!(second.service(&key("a")).unwrap().breaker.state(), State::Open);
        let names: Vec<_> = roster.reports(Mono(2)).into_iter().map(|r| r.id).collect();
        assert_eq!(names, ["a.shop"]);
        assert!(roster.breaker("a.shop").is_some() && roster.breaker("b.shop").is_none());
    }

    #[test]
    fn changed_settings_start_a_new_circuit_and_keep_the_override() {
        let roster = Roster::new(1);
        let first = build(&roster, &[("a", &[])]);
        let old = Arc::clone(&first.service(&key("a")).unwrap().breaker);
        old.set_override(Override::ForcedOpen, None, "maintenance", Mono(0));
        let mut spec = ServiceSpec::new(key("a"), Vec::new());
        spec.circuit.slow_call_duration = Duration::from_secs(1);
        let mut builder = TableBuilder::new();
        builder.service(spec);
        let second = builder.build(&roster);
        let new = &second.service(&key("a")).unwrap().breaker;
        assert!(!Arc::ptr_eq(&old, new));
        assert_eq!(
            (new.state(), new.slow_call_duration()),
            (State::ForcedOpen, Duration::from_secs(1))
        );
    }

    #[test]
    fn slots_follow_the_endpoint_and_are_used_again_with_another_serial() {
        let roster = Roster::new(1);
        let before = slots(&build(&roster, &[("a", &[("x", 1), ("y", 2)])]), "a");
        let after = slots(&build(&roster, &[("a", &[("y", 2), ("z", 3)])]), "a");
        assert_eq!(after[0], before[1]);
        let third = slots(&build(&roster, &[("a", &[("y", 2), ("z", 3), ("w", 4)])]), "a");
        assert_eq!(third[..2], after[..]);
        assert_eq!(third[2].index, before[0].index);
        assert_ne!(third[2].serial, before[0].serial);
        // The same id at another address is another endpoint; the same endpoint twice is one.
        let moved = slots(&build(&roster, &[("a", &[("y", 9), ("z", 3), ("z", 3)])]), "a");
        assert_ne!(moved[0], third[0]);
        assert_eq!((moved[1], moved[2]), (third[1], third[1]));
    }
}
