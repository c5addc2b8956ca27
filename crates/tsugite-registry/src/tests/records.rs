//! Records and snapshots: round trips, garbage, and the equivalence of running, replaying and restoring.

use proptest::prelude::*;

use super::*;

fn arb_text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9._-]{0,12}"
}

fn arb_attributes() -> impl Strategy<Value = Attributes> {
    proptest::collection::btree_map(arb_text(), arb_text(), 0..5)
}

fn arb_uuid() -> impl Strategy<Value = Uuid> {
    any::<[u8; 16]>().prop_map(Uuid)
}

fn arb_time() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}

fn arb_namespace() -> impl Strategy<Value = Namespace> {
    let kind = prop_oneof![
        Just(NamespaceKind::Http),
        Just(NamespaceKind::DnsPrivate),
        Just(NamespaceKind::DnsPublic)
    ];
    let texts = (
        arb_text(),
        proptest::option::of(arb_text()),
        proptest::option::of(arb_text()),
    );
    let rest = (
        proptest::option::of(any::<u32>()),
        proptest::option::of(arb_uuid()),
        arb_time(),
    );
    (any::<u64>(), kind, texts, rest).prop_map(|(id, kind, texts, rest)| Namespace {
        id: NamespaceId(id),
        name: texts.0,
        kind,
        description: texts.1,
        creator_request_id: texts.2,
        soa_ttl: rest.0,
        operation: rest.1,
        created: rest.2,
    })
}

fn arb_dns() -> impl Strategy<Value = DnsConfig> {
    let kind = prop_oneof![
        Just(RecordType::A),
        Just(RecordType::Aaaa),
        Just(RecordType::Srv),
        Just(RecordType::Cname)
    ];
    let record = (kind, proptest::option::of(any::<u32>())).prop_map(|(kind, ttl)| DnsRecord { kind, ttl });
    let routing = prop_oneof![Just(RoutingPolicy::Multivalue), Just(RoutingPolicy::Weighted)];
    (routing, proptest::collection::vec(record, 0..3))
        .prop_map(|(routing, records)| DnsConfig { routing, records })
}

fn arb_health() -> impl Strategy<Value = HealthSource> {
    let kind = prop_oneof![
        arb_text().prop_map(|path| CheckKind::Http { path }),
        Just(CheckKind::Tcp),
        (arb_text(), any::<bool>()).prop_map(|(path, verify)| CheckKind::Https { path, verify }),
        arb_text().prop_map(|service| CheckKind::Grpc { service }),
    ];
    let check = (kind, any::<[u32; 4]>()).prop_map(|(kind, n)| HealthCheck {
        kind,
        interval_ms: n[0],
        timeout_ms: n[1],
        unhealthy: n[2],
        healthy: n[3],
    });
    prop_oneof![
        Just(HealthSource::None),
        Just(HealthSource::Custom),
        check.prop_map(HealthSource::Active)
    ]
}

fn arb_service() -> impl Strategy<Value = Service> {
    let texts = (
        arb_text(),
        proptest::option::of(arb_text()),
        proptest::option::of(arb_text()),
    );
    let rest = (proptest::option::of(arb_dns()), arb_health(), arb_time());
    (any::<[u64; 2]>(), texts, rest).prop_map(|(ids, texts, rest)| Service {
        id: ServiceId(ids[0]),
        namespace: NamespaceId(ids[1]),
        name: texts.0,
        description: texts.1,
        creator_request_id: texts.2,
        dns: rest.0,
        health: rest.1,
        created: rest.2,
    })
}

fn arb_instance() -> impl Strategy<Value = Instance> {
    let rest = (
        proptest::option::of(arb_uuid()),
        proptest::option::of(any::<u32>()),
        proptest::option::of(any::<bool>()),
        arb_time(),
    );
    (
        arb_text(),
        arb_attributes(),
        proptest::option::of(arb_text()),
        rest,
    )
        .prop_map(|(id, attributes, creator_request_id, rest)| Instance {
            id: id.into(),
            attributes: attributes.into(),
            creator_request_id,
            operation: rest.0,
            lease_ms: rest.1,
            custom: rest.2,
            registered: rest.3,
        })
}

fn arb_resource() -> impl Strategy<Value = Resource> {
    (any::<bool>(), any::<u64>()).prop_map(|(service, id)| {
        if service {
            Resource::Service(ServiceId(id))
        } else {
            Resource::Namespace(NamespaceId(id))
        }
    })
}

fn arb_change() -> impl Strategy<Value = Record> {
    let keys = || proptest::collection::vec(arb_text(), 0..4);
    let text = || proptest::option::of(arb_text());
    let namespace = (any::<u64>(), text(), proptest::option::of(any::<u32>()), text());
    let service = (
        any::<u64>(),
        text(),
        proptest::option::of(arb_dns()),
        arb_health(),
    );
    prop_oneof![
        (namespace, arb_uuid(), arb_time()).prop_map(|(n, operation, at)| Record::NamespaceUpdated {
            id: NamespaceId(n.0),
            description: n.1,
            soa_ttl: n.2,
            updater_request_id: n.3,
            operation,
            at,
        }),
        (service, arb_uuid(), arb_time(), arb_time()).prop_map(|(s, operation, at, steady)| {
            Record::ServiceUpdated {
                id: ServiceId(s.0),
                description: s.1,
                dns: s.2,
                health: s.3,
                operation,
                at,
                steady,
            }
        }),
        (any::<u64>(), arb_attributes(), keys()).prop_map(|(id, set, removed)| {
            Record::ServiceAttributesChanged {
                id: ServiceId(id),
                set,
                removed,
            }
        }),
        (arb_resource(), arb_attributes(), keys()).prop_map(|(resource, set, removed)| {
            Record::TagsChanged {
                resource,
                set,
                removed,
            }
        }),
    ]
}

fn arb_leaving() -> impl Strategy<Value = Record> {
    let operation = proptest::option::of(arb_uuid());
    let times = (any::<u32>(), arb_time(), arb_time());
    prop_oneof![
        (any::<u64>(), arb_text(), operation, times).prop_map(|(id, instance, operation, times)| {
            Record::InstanceLeaving {
                service: ServiceId(id),
                instance: instance.into(),
                operation,
                drain_ms: times.0,
                at: times.1,
                steady: times.2,
            }
        }),
        (any::<u64>(), arb_text(), proptest::option::of(arb_text())).prop_map(|(id, instance, out)| {
            Record::AdminHealthSet {
                service: ServiceId(id),
                instance: instance.into(),
                out,
            }
        }),
    ]
}

fn arb_record() -> impl Strategy<Value = Record> {
    let causes = [Removal::Deregistered, Removal::Expired, Removal::Left];
    let cause = prop::sample::select(causes.to_vec());
    prop_oneof![
        arb_namespace().prop_map(Record::NamespaceCreated),
        (any::<u64>(), arb_uuid(), arb_time()).prop_map(|(id, operation, at)| Record::NamespaceDeleted {
            id: NamespaceId(id),
            operation,
            at,
        }),
        arb_service().prop_map(Record::ServiceCreated),
        any::<u64>().prop_map(|id| Record::ServiceDeleted { id: ServiceId(id) }),
        (any::<u64>(), arb_instance(), arb_time()).prop_map(|(id, instance, steady)| {
            Record::InstanceRegistered {
                service: ServiceId(id),
                instance,
                steady,
            }
        }),
        (
            any::<u64>(),
            arb_text(),
            cause,
            proptest::option::of(arb_uuid()),
            arb_time()
        )
            .prop_map(|(id, instance, cause, operation, at)| Record::InstanceRemoved {
                service: ServiceId(id),
                instance: instance.into(),
                cause,
                operation,
                at,
            }),
        (any::<u64>(), arb_text(), any::<bool>()).prop_map(|(id, instance, healthy)| {
            Record::CustomHealthSet {
                service: ServiceId(id),
                instance: instance.into(),
                healthy,
            }
        }),
        Just(Record::Reset),
        arb_change(),
        arb_leaving(),
    ]
}

/// What a client may do, with few enough names that commands meet.
#[derive(Clone, Debug)]
enum Step {
    Namespace(u8, bool),
    DeleteNamespace(u8),
    Service(u8, u8, HealthSource),
    DeleteService(u8),
    Register(u8, u8, u8),
    Deregister(u8, u8, Option<u16>),
    Finish,
    Admin(u8, Option<u8>),
    Leave(u8, u16),
    Health(u8, u8, bool),
    Put(u8, Option<u16>),
    Pass(u16),
    UpdateNamespace(u8, u8),
    UpdateService(u8, Option<u8>),
    Attributes(u8, u8, u8),
    Tags(u8, u8, u8),
    Reset,
}

fn arb_step() -> impl Strategy<Value = Step> {
    let small = || 0..3u8;
    let health = prop_oneof![
        Just(HealthSource::None),
        Just(HealthSource::Custom),
        Just(HealthSource::Active(HealthCheck::new(CheckKind::Tcp)))
    ];
    prop_oneof![
        3 => (small(), any::<bool>()).prop_map(|(n, dns)| Step::Namespace(n, dns)),
        1 => small().prop_map(Step::DeleteNamespace),
        3 => (small(), small(), health).prop_map(|(n, s, h)| Step::Service(n, s, h)),
        1 => small().prop_map(Step::DeleteService),
        6 => (small(), small(), small()).prop_map(|(s, i, a)| Step::Register(s, i, a)),
        4 => (small(), small(), proptest::option::of(0..9_000u16))
            .prop_map(|(s, i, drain)| Step::Deregister(s, i, drain)),
        2 => Just(Step::Finish),
        2 => (small(), proptest::option::of(small())).prop_map(|(i, out)| Step::Admin(i, out)),
        2 => (small(), 0..9_000u16).prop_map(|(i, drain)| Step::Leave(i, drain)),
        3 => (small(), small(), any::<bool>()).prop_map(|(s, i, h)| Step::Health(s, i, h)),
        4 => (small(), proptest::option::of(100..20_000u16)).prop_map(|(i, l)| Step::Put(i, l)),
        4 => (0..20_000u16).prop_map(Step::Pass),
        2 => (small(), small()).prop_map(|(n, t)| Step::UpdateNamespace(n, t)),
        3 => (small(), proptest::option::of(small())).prop_map(|(s, h)| Step::UpdateService(s, h)),
        2 => (small(), small(), small()).prop_map(|(s, k, v)| Step::Attributes(s, k, v)),
        2 => (0..6u8, small(), small()).prop_map(|(r, k, v)| Step::Tags(r, k, v)),
        1 => Just(Step::Reset),
    ]
}

impl Rig {
    fn nth_namespace(&self, n: u8) -> NamespaceId {
        let ids: Vec<_> = self.registry.namespaces.keys().copied().collect();
        ids.get(usize::from(n)).copied().unwrap_or(NamespaceId(0))
    }

    fn nth_service(&self, n: u8) -> ServiceId {
        let ids: Vec<_> = self.registry.services.keys().copied().collect();
        ids.get(usize::from(n)).copied().unwrap_or(ServiceId(0))
    }

    /// Takes a step; that it may be refused is part of the test.
    fn step(&mut self, step: &Step) {
        match *step {
            Step::Namespace(n, dns) => {
                let kind = if dns {
                    NamespaceKind::DnsPrivate
                } else {
                    NamespaceKind::Http
                };
                let _ = self.namespace(&format!("n{n}"), kind);
            }
            Step::DeleteNamespace(n) => {
                let command = DeleteNamespace {
                    id: self.nth_namespace(n),
                    operation: self.draw_uuid(),
                };
                let _ = self.run(|r, now| r.delete_namespace(&command, now));
            }
            Step::Service(n, s, ref health) => {
                let namespace = self.nth_namespace(n);
                let _ = self.service(namespace, &format!("s{s}"), health.clone());
            }
            Step::DeleteService(s) => {
                let id = self.nth_service(s);
                let _ = self.run(|r, _| r.delete_service(id));
            }
            Step::Register(s, i, a) => {
                let service = self.nth_service(s);
                let at = format!("127.0.0.{a}");
                let _ = self.register(service, &format!("i{i}"), &[(IPV4, &at)]);
            }
            Step::Finish | Step::Admin(..) | Step::Leave(..) => self.leaving_step(step),
            Step::Deregister(s, i, drain) => {
                let command = DeregisterInstance {
                    operation: self.draw_uuid(),
                    service: self.nth_service(s),
                    instance: format!("i{i}"),
                    drain_ms: drain.map(u32::from),
                };
                let _ = self.run(|r, now| r.deregister_instance(&command, now));
            }
            Step::Health(s, i, healthy) => {
                let command = UpdateCustomHealth {
                    service: self.nth_service(s),
                    instance: format!("i{i}"),
                    healthy,
                };
                let _ = self.run(|r, _| r.update_custom_health(&command));
            }
            Step::Put(i, lease) => {
                self.put(&format!("i{i}"), lease.map(u32::from));
            }
            Step::Pass(ms) => self.pass(ms.into()),
            Step::UpdateNamespace(..) | Step::UpdateService(..) | Step::Attributes(..) | Step::Tags(..) => {
                self.update_step(step);
            }
            Step::Reset => {
                let record = self.registry.reset(self.now());
                self.take(Decision::record(vec![record], ()));
            }
        }
    }

    /// Takes a step about instances that leave or are out of service.
    fn leaving_step(&mut self, step: &Step) {
        match *step {
            Step::Finish => {
                for leaver in self.registry.leavers().1.into_iter().take(1) {
                    let decision = self.registry.finish_leaving(&leaver, self.now());
                    self.take(decision);
                }
            }
            Step::Admin(i, out) => {
                let command = SetAdminHealth {
                    name: named(&format!("i{i}")),
                    out: out.map(|out| out.to_string()),
                };
                let _ = self.run(|r, _| r.set_admin_health(command));
            }
            Step::Leave(i, drain) => {
                let command = LeaveInstance {
                    name: named(&format!("i{i}")),
                    drain_ms: drain.into(),
                };
                let _ = self.run(|r, now| r.leave_instance(&command, now));
            }
            _ => unreachable!("the other steps change something else"),
        }
    }

    /// Takes a step that changes what is there.
    fn update_step(&mut self, step: &Step) {
        match *step {
            Step::UpdateNamespace(n, t) => {
                let command = UpdateNamespace {
                    id: self.nth_namespace(n),
                    kind: NamespaceKind::DnsPrivate,
                    operation: self.draw_uuid(),
                    description: Some(format!("d{t}")),
                    soa_ttl: (t > 0).then_some(t.into()),
                    updater_request_id: Some(format!("u{}", t / 2)),
                };
                let _ = self.run(|r, now| r.update_namespace(command, now));
            }
            Step::UpdateService(s, failures) => {
                let command = UpdateService {
                    id: self.nth_service(s),
                    operation: self.draw_uuid(),
                    description: None,
                    records: None,
                    check: failures.map(|failures| HealthCheck {
                        unhealthy: u32::from(failures) + 1,
                        ..HealthCheck::new(CheckKind::Tcp)
                    }),
                };
                let _ = self.run(|r, now| r.update_service(command, now));
            }
            Step::Attributes(s, k, v) => {
                let id = self.nth_service(s);
                let (set, remove) = pairs(k, v);
                let command = ChangeServiceAttributes { id, set, remove };
                let _ = self.run(|r, _| r.change_service_attributes(command));
            }
            Step::Tags(which, k, v) => {
                let resource = if which < 3 {
                    Resource::Namespace(self.nth_namespace(which))
                } else {
                    Resource::Service(self.nth_service(which - 3))
                };
                let (set, remove) = pairs(k, v);
                let command = ChangeTags {
                    resource,
                    set,
                    remove,
                };
                let _ = self.run(|r, _| r.change_tags(command));
            }
            _ => unreachable!("the other steps change something else"),
        }
    }

    /// Every instance with a lease has one timer, every checked one has one probe, and the counts agree.
    fn check_books(&self) {
        let r = &self.registry;
        let instances: Vec<_> = r.services.values().flat_map(|s| s.instances.values()).collect();
        assert_eq!(r.instances, instances.len());
        let leased = instances.iter().filter(|i| i.lease.is_some()).count();
        let leaving = instances.iter().filter(|i| i.leaving.is_some()).count();
        assert_eq!(r.leaving.len(), leaving);
        assert_eq!(r.lease_timers.len() + r.overdue.len(), leased + leaving);
        let doubted = instances.iter().filter(|i| i.doubt.is_some()).count();
        assert_eq!(r.doubt_timers.len(), doubted);
        assert_eq!(
            r.probe_timers.len(),
            instances.iter().filter(|i| i.check.is_some()).count()
        );
        assert_eq!(
            r.service_names.values().map(Vec::len).sum::<usize>(),
            r.services.len()
        );
        assert_eq!(r.namespace_names.len(), r.namespaces.len());
        assert_eq!(
            r.namespaces.values().map(|n| n.services).sum::<usize>(),
            r.services.len()
        );
        assert_eq!(r.changes_since(0).services.len(), r.services.len());
    }
}

/// One pair to set, or one key to remove.
fn pairs(k: u8, v: u8) -> (Attributes, Vec<String>) {
    match v {
        0 => (Attributes::new(), vec![format!("k{k}")]),
        _ => (map(&[(&format!("k{k}"), &format!("v{v}"))]), Vec::new()),
    }
}

proptest! {
    #[test]
    fn records_round_trip(record in arb_record()) {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        prop_assert!(bytes[0] >= 0x80);
        prop_assert_eq!(Record::decode(&bytes), Ok(record));
    }

    #[test]
    fn damaged_records_are_refused_or_differ(record in arb_record(), at in any::<prop::sample::Index>(), cut in any::<bool>()) {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
            prop_assert!(Record::decode(&bytes).is_err());
        } else {
            bytes[at] ^= 0x55;
            prop_assert_ne!(Record::decode(&bytes), Ok(record));
        }
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Record::decode(&bytes);
        let _ = Registry::restore(&bytes, Settings::default(), Now::at(0));
    }

    #[test]
    fn records_of_another_history_never_panic(records in proptest::collection::vec(arb_record(), 0..20)) {
        let mut registry = Registry::new(Settings::default());
        for record in records {
            registry.apply(record, Place::default());
            registry.advance(Now::at(5));
            let _ = registry.due_probes(10, SEED, Now::at(5));
        }
    }

    #[test]
    fn running_replaying_and_restoring_agree(steps in proptest::collection::vec(arb_step(), 0..60), cut in any::<prop::sample::Index>()) {
        let mut rig = Rig::new();
        let cut = cut.index(steps.len().max(1));
        let mut checkpoint = (snapshot(&rig.registry), 0);
        for (at, step) in steps.iter().enumerate() {
            if at == cut {
                checkpoint = (snapshot(&rig.registry), rig.log.len());
            }
            rig.step(step);
            rig.check_books();
        }
        let live = snapshot(&rig.registry);
        prop_assert_eq!(&snapshot(&rig.replayed()), &live);
        let mut restored = Registry::restore(&checkpoint.0, Settings::default(), rig.now()).unwrap();
        for bytes in &rig.log[checkpoint.1..] {
            restored.apply(Record::decode(bytes).unwrap(), Place::default());
        }
        prop_assert_eq!(&snapshot(&restored), &live);
    }
}
