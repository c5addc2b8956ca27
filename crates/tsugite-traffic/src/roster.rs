//! What outlives a table: each service's breaker, and each endpoint's breaker and place in the balancers.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tsugite_base::Mono;
use tsugite_base::rng::SplitMix64;

use crate::balancer::Plan;
use crate::circuit::{Breaker, Transition};
use crate::ejection::Ejector;
use crate::limits::Room;
use crate::report::CircuitReport;
use crate::settings::CircuitSettings;
use crate::table::{Service, ServiceKey, ServiceSpec, Slot};

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
    services: HashMap<ServiceKey, Enrolled>,
    /// Sorted by name: what the control task goes through.
    listed: Arc<[Arc<Breaker>]>,
    /// The endpoints of each, in the same order.
    ejectors: Arc<[Arc<Ejector>]>,
    endpoints: HashMap<(ServiceKey, String, SocketAddr), Place>,
    free: Vec<u32>,
    next_index: u32,
    next_serial: u64,
}

/// What a service keeps.
#[derive(Clone, Debug)]
struct Enrolled {
    breaker: Arc<Breaker>,
    ejector: Arc<Ejector>,
    slot: Slot,
    room: Room,
}

/// What an endpoint keeps.
#[derive(Clone, Debug)]
struct Place {
    slot: Slot,
    /// `None` where ejection is off.
    breaker: Option<Arc<Breaker>>,
    room: Room,
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

    /// The breaker with this name: of a service (`orders.shop`) or of an endpoint (`orders.shop/i-1`).
    pub fn breaker(&self, name: &str) -> Option<Arc<Breaker>> {
        let (listed, ejectors) = self.listed();
        if let Some(service) = listed.iter().find(|b| b.name() == name) {
            return Some(Arc::clone(service));
        }
        let owns = |service: &Arc<Breaker>| {
            let rest = name.strip_prefix(service.name());
            rest.is_some_and(|rest| rest.starts_with('/'))
        };
        let owners = listed.iter().zip(ejectors.iter()).filter(|(b, _)| owns(b));
        let mut endpoints = owners.flat_map(|(_, ejector)| ejector.breakers());
        endpoints.find(|b| b.name() == name)
    }

    /// Ticks every breaker ([`Breaker::tick`]), and ejects. Returns the changes of state, each with the circuit's name.
    pub fn tick(&self, now: Mono, rng: &mut SplitMix64) -> Vec<(String, Transition)> {
        let (listed, ejectors) = {
            let mut inner = self.lock();
            inner.now = inner.now.max(now);
            (Arc::clone(&inner.listed), Arc::clone(&inner.ejectors))
        };
        let mut changes = Vec::new();
        for (breaker, ejector) in listed.iter().zip(ejectors.iter()) {
            let new = breaker.tick(now, rng);
            changes.extend(new.into_iter().map(|t| (breaker.name().to_owned(), t)));
            ejector.tick(now, rng, &mut changes);
        }
        changes
    }

    /// A report of every service's circuit with those of its endpoints, ordered by name.
    pub fn reports(&self, now: Mono) -> Vec<CircuitReport> {
        let (listed, ejectors) = self.listed();
        let both = listed.iter().zip(ejectors.iter());
        both.map(|(breaker, ejector)| with_endpoints(breaker, ejector, now))
            .collect()
    }

    /// A report of the circuit with this name; that of a service comes with those of its endpoints.
    pub fn report(&self, name: &str, now: Mono) -> Option<CircuitReport> {
        let (listed, ejectors) = self.listed();
        let service = listed.iter().position(|b| b.name() == name);
        match service {
            Some(at) => Some(with_endpoints(&listed[at], &ejectors[at], now)),
            None => self.breaker(name).map(|breaker| breaker.report(now)),
        }
    }

    /// Gives services their breakers and endpoints their slots and breakers, the old ones where they exist, and forgets
    /// all others.
    pub(crate) fn enrol(&self, specs: Vec<ServiceSpec>) -> Vec<Service> {
        let mut inner = self.lock();
        let mut old_services = std::mem::take(&mut inner.services);
        let mut old_endpoints = std::mem::take(&mut inner.endpoints);
        let mut services = Vec::with_capacity(specs.len());
        for mut spec in specs {
            let old = old_services.remove(&spec.key);
            let breaker = inner.breaker_of(
                spec.key.to_string(),
                &spec.circuit,
                old.as_ref().map(|old| &old.breaker),
                self.cores,
            );
            let (mut circuits, mut rooms) = (Vec::new(), Vec::new());
            for at in 0..spec.endpoints.len() {
                let place = inner.place(&mut spec, at, &mut old_endpoints, self.cores);
                circuits.extend(place.breaker);
                rooms.push(place.room);
            }
            let room = old.as_ref().map(|old| old.room.clone()).unwrap_or_default();
            let slot = old.as_ref().map(|old| old.slot);
            let slot = slot.unwrap_or_else(|| inner.new_slot());
            let ejector = match old.map(|old| old.ejector) {
                Some(old) if *old.settings() == spec.ejection => old,
                _ => Arc::new(Ejector::new(spec.ejection.clone())),
            };
            ejector.enrol(&circuits, spec.unhealthy);
            let enrolled = Enrolled {
                breaker: Arc::clone(&breaker),
                ejector,
                slot,
                room: room.clone(),
            };
            inner.services.insert(spec.key.clone(), enrolled);
            services.push(Service {
                name: spec.key.to_string(),
                key: spec.key,
                retry: spec.retry,
                limits: spec.limits,
                room,
                rooms,
                plan: Plan::new(spec.balance, &spec.endpoints),
                slot,
                endpoints: spec.endpoints,
                leaving: spec.leaving,
                breaker,
                circuits,
            });
        }
        let gone = old_endpoints.into_values().map(|place| place.slot.index);
        inner.free.extend(gone);
        let gone = old_services.into_values().map(|service| service.slot.index);
        inner.free.extend(gone);
        let mut listed: Vec<_> = inner.services.values().cloned().collect();
        listed.sort_by(|a, b| a.breaker.name().cmp(b.breaker.name()));
        inner.ejectors = listed.iter().map(|e| Arc::clone(&e.ejector)).collect();
        inner.listed = listed.into_iter().map(|e| e.breaker).collect();
        services
    }

    fn listed(&self) -> (Arc<[Arc<Breaker>]>, Ejectors) {
        let inner = self.lock();
        (Arc::clone(&inner.listed), Arc::clone(&inner.ejectors))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ejectors of all services, in the order of their names.
type Ejectors = Arc<[Arc<Ejector>]>;

fn with_endpoints(breaker: &Breaker, ejector: &Ejector, now: Mono) -> CircuitReport {
    CircuitReport {
        endpoints: ejector.breakers().iter().map(|b| b.report(now)).collect(),
        ..breaker.report(now)
    }
}

impl Inner {
    /// The old breaker if its settings are the same, else a new one under the old one's override.
    fn breaker_of(
        &self,
        name: String,
        settings: &CircuitSettings,
        old: Option<&Arc<Breaker>>,
        cores: usize,
    ) -> Arc<Breaker> {
        match old {
            Some(old) if old.has_settings(settings) => Arc::clone(old),
            old => {
                let new = Breaker::new(name, settings.clone(), cores, self.now);
                if let Some(wish) = old.and_then(|o| o.wish()) {
                    new.set_override(wish.what, wish.until, wish.note, self.now);
                }
                Arc::new(new)
            }
        }
    }

    /// Gives an endpoint its place: a slot and, where ejection is on, a circuit.
    fn place(
        &mut self,
        spec: &mut ServiceSpec,
        at: usize,
        old: &mut HashMap<(ServiceKey, String, SocketAddr), Place>,
        cores: usize,
    ) -> Place {
        let endpoint = &mut spec.endpoints[at];
        let identity = (spec.key.clone(), endpoint.id.clone(), endpoint.address);
        let before = old
            .remove(&identity)
            .or_else(|| self.endpoints.get(&identity).cloned());
        let slot = before.as_ref().map(|place| place.slot);
        let slot = slot.unwrap_or_else(|| self.new_slot());
        let breaker = spec.ejection.enabled.then(|| {
            let settings = spec.ejection.circuit(&spec.circuit);
            let before = before.as_ref().and_then(|place| place.breaker.as_ref());
            let name = format!("{}/{}", spec.key, endpoint.id);
            self.breaker_of(name, &settings, before, cores)
        });
        endpoint.slot = slot;
        let place = Place {
            slot,
            breaker,
            room: before.map(|place| place.room).unwrap_or_default(),
        };
        self.endpoints.insert(identity, place.clone());
        place
    }

    fn new_slot(&mut self) -> Slot {
        let index = self.free.pop().unwrap_or(self.next_index);
        self.next_index = self.next_index.max(index + 1);
        self.next_serial += 1;
        Slot {
            index,
            serial: self.next_serial,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::circuit::{Admission, Override, State};
    use crate::classify::Outcome;
    use crate::table::{Endpoint, Protocol, Table, TableBuilder};

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
