//! The registry driven by hand, with a clock that only the test moves.

mod discover;
mod doubts;
mod health;
mod history;
mod leases;
mod leaving;
mod model;
mod put;
mod records;
mod updates;
mod watch;

use std::collections::BTreeSet;

use tsugite_base::{Decision, Now, Place, Timestamp, Uuid};

use crate::*;

/// A registry with everything that it was told, so that it can be replayed.
struct Rig {
    registry: Registry,
    now: u64,
    drawn: u64,
    log: Vec<Vec<u8>>,
    /// Instances that answer when they are asked because they are in doubt.
    alive: BTreeSet<String>,
}

impl Rig {
    fn new() -> Rig {
        Rig::with(Settings::default())
    }

    fn with(settings: Settings) -> Rig {
        Rig {
            registry: Registry::new(settings),
            now: 1_000_000,
            drawn: 0,
            log: Vec::new(),
            alive: BTreeSet::new(),
        }
    }

    fn now(&self) -> Now {
        Now::at(self.now)
    }

    fn draw(&mut self) -> u64 {
        self.drawn += 1;
        self.drawn
    }

    fn draw_uuid(&mut self) -> Uuid {
        Uuid(u128::from(self.draw()).to_be_bytes())
    }

    /// Logs and applies a decision, as the store does.
    fn take<T>(&mut self, decision: Decision<Record, T>) -> T {
        for record in decision.records {
            let mut bytes = Vec::new();
            record.encode(&mut bytes);
            assert_eq!(Record::decode(&bytes).as_ref(), Ok(&record));
            self.log.push(bytes);
            self.registry.apply(record, Place::default());
        }
        decision.reply
    }

    /// Runs a command and takes its decision.
    fn run<T, E>(
        &mut self,
        decide: impl FnOnce(&Registry, Now) -> Result<Decision<Record, T>, E>,
    ) -> Result<T, E> {
        let decision = decide(&self.registry, self.now())?;
        Ok(self.take(decision))
    }

    fn namespace(&mut self, name: &str, kind: NamespaceKind) -> Result<NamespaceId, CreateNamespaceError> {
        let id = NamespaceId(self.draw());
        let command = CreateNamespace {
            id,
            operation: self.draw_uuid(),
            name: name.into(),
            kind,
            description: None,
            creator_request_id: None,
            soa_ttl: None,
            tags: Tags::new(),
        };
        self.run(|r, now| r.create_namespace(command, now)).map(|_| id)
    }

    fn service_command(&mut self, namespace: NamespaceId, name: &str, health: HealthSource) -> CreateService {
        CreateService {
            id: ServiceId(self.draw()),
            namespace,
            name: name.into(),
            description: None,
            creator_request_id: None,
            dns: None,
            health,
            tags: Tags::new(),
        }
    }

    fn service(
        &mut self,
        namespace: NamespaceId,
        name: &str,
        health: HealthSource,
    ) -> Result<ServiceId, CreateServiceError> {
        let command = self.service_command(namespace, name, health);
        self.run(|r, now| r.create_service(command, now))
            .map(|view| view.service.id)
    }

    /// Namespace `shop` with service `orders`.
    fn orders(health: HealthSource) -> (Rig, ServiceId) {
        let mut rig = Rig::new();
        let namespace = rig.namespace("shop", NamespaceKind::Http).unwrap();
        let service = rig.service(namespace, "orders", health).unwrap();
        (rig, service)
    }

    fn register(
        &mut self,
        service: ServiceId,
        id: &str,
        attributes: &[(&str, &str)],
    ) -> Result<Uuid, RegisterError> {
        let command = RegisterInstance {
            operation: self.draw_uuid(),
            service,
            instance: id.into(),
            attributes: map(attributes),
            creator_request_id: None,
        };
        self.run(|r, now| r.register_instance(command, now))
            .map(|done| done.operation)
    }

    fn put_command(&mut self, id: &str, lease_ms: Option<u32>) -> PutInstance {
        PutInstance {
            new_namespace: NamespaceId(self.draw()),
            new_service: ServiceId(self.draw()),
            namespace: "internal".into(),
            service: "orders".into(),
            instance: id.into(),
            address: Some("127.0.0.1:8001".parse().unwrap()),
            protocol: Some(Protocol::Http),
            attributes: Attributes::new(),
            lease_ms,
        }
    }

    /// Puts an instance of `orders.internal`, renewing as the store does.
    fn put(&mut self, id: &str, lease_ms: Option<u32>) -> PutOutcome {
        let command = self.put_command(id, lease_ms);
        let outcome = self.run(|r, now| r.put_instance(command, now)).unwrap();
        if outcome == PutOutcome::Renewed {
            let now = self.now();
            self.registry.heartbeat(&named(id), now).unwrap();
        }
        outcome
    }

    /// Lets time pass as the store does: advance at each deadline, then remove what is over. Those in doubt are asked.
    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        loop {
            let asked = self.registry.doubt_timers.first().map(|timer| timer.0);
            let next = self.registry.next_deadline().into_iter().chain(asked).min();
            let Some(due) = next.filter(|due| due.0 <= end) else {
                break;
            };
            self.now = self.now.max(due.0);
            let now = self.now();
            self.registry.advance(now);
            self.ask();
            let decision = self.registry.expire(now);
            self.take(decision);
        }
        self.now = end;
    }

    /// Asks those in doubt whose time has come; answers who was asked.
    fn ask(&mut self) -> Vec<String> {
        let (now, mut probes) = (self.now(), Vec::new());
        self.registry.due_doubts(usize::MAX, now, &mut probes);
        for probe in &probes {
            let passed = self.alive.contains(&*probe.instance);
            self.registry.probe_result(&answer(probe, passed), now);
        }
        probes.iter().map(|probe| probe.instance.to_string()).collect()
    }

    fn status(&self, id: &str) -> Option<HealthStatus> {
        let (_, instances) = self.registry.show_service("internal", "orders").ok()?;
        instances.iter().find(|i| &*i.id == id).map(|i| i.health.status)
    }

    /// The registry rebuilt from the log alone, with leases granted anew.
    fn replayed(&self) -> Registry {
        let mut replayed = Registry::new(self.registry.settings.clone());
        for bytes in &self.log {
            replayed.apply(Record::decode(bytes).unwrap(), Place::default());
        }
        replayed.grant_leases(self.now());
        replayed
    }
}

fn answer(probe: &Probe, passed: bool) -> ProbeResult {
    ProbeResult {
        service: probe.service,
        instance: probe.instance.clone(),
        generation: probe.generation,
        purpose: probe.purpose,
        passed,
    }
}

fn named(id: &str) -> InstanceName {
    InstanceName {
        namespace: "internal".into(),
        service: "orders".into(),
        instance: id.into(),
    }
}

fn map(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
}

fn snapshot(registry: &Registry) -> Vec<u8> {
    let mut out = Vec::new();
    registry.snapshot(&mut out);
    out
}

fn page(limit: usize) -> Page {
    Page { after: None, limit }
}

/// The seed of a shuffle, wherever the order does not matter.
const SEED: u64 = 7;
const NEVER: Option<Timestamp> = None;
