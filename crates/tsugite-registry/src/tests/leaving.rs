//! Leaving: nothing new for who leaves, an end by word or by time, operations that wait; and who else is withdrawn or
//! spared.

use super::*;

fn shown(rig: &Rig) -> Vec<(String, bool)> {
    let (_, instances) = rig.registry.show_service("internal", "orders").unwrap();
    instances
        .iter()
        .map(|i| (i.id.to_string(), i.takes_calls))
        .collect()
}

fn used(rig: &Rig) -> Vec<String> {
    shown(rig)
        .into_iter()
        .filter(|(_, used)| *used)
        .map(|(id, _)| id)
        .collect()
}

fn leave(rig: &mut Rig, id: &str, drain_ms: u32) {
    let command = LeaveInstance {
        name: named(id),
        drain_ms,
    };
    rig.run(|r, now| r.leave_instance(&command, now)).unwrap();
}

fn discover(rig: &Rig, health: HealthFilter) -> Vec<String> {
    let command = Discover {
        namespace: "internal".into(),
        service: "orders".into(),
        health,
        max_results: 100,
        ..Discover::default()
    };
    let found = rig.registry.discover_instances(&command).unwrap();
    let mut ids: Vec<_> = found.instances.iter().map(|i| i.id.to_string()).collect();
    ids.sort();
    ids
}

#[test]
fn who_leaves_takes_nothing_new_and_goes_when_it_is_told_or_in_time() {
    for told in [true, false] {
        let mut rig = Rig::new();
        rig.put("i1", Some(15_000));
        rig.put("i2", None);
        let revision = rig.registry.discover_revision("internal", "orders").unwrap();
        leave(&mut rig, "i1", 30_000);
        assert_eq!(used(&rig), ["i2"]);
        assert!(rig.registry.discover_revision("internal", "orders").unwrap() > revision);
        assert_eq!(discover(&rig, HealthFilter::Healthy), ["i2"]);
        assert_eq!(discover(&rig, HealthFilter::HealthyOrElseAll), ["i2"]);
        assert_eq!(discover(&rig, HealthFilter::All), ["i1", "i2"]);
        // Its lease does not end it, nor does a heartbeat or being put again stop it.
        rig.pass(20_000);
        assert_eq!(rig.put("i1", Some(15_000)), PutOutcome::Leaving);
        assert_eq!(used(&rig), ["i2"]);
        if told {
            let leaver = rig.registry.leavers().1.remove(0);
            assert_eq!(leaver.name, named("i1"));
            let decision = rig.registry.finish_leaving(&leaver, rig.now());
            rig.take(decision);
        } else {
            rig.pass(9_999);
            assert_eq!(shown(&rig).len(), 2);
            rig.pass(1);
        }
        assert_eq!(shown(&rig), [("i2".to_owned(), true)]);
        assert!(rig.registry.leavers().1.is_empty());
        assert_eq!(rig.registry.next_deadline(), NEVER);
    }
}

#[test]
fn the_operation_is_pending_until_it_has_left() {
    let (mut rig, service) = Rig::orders(HealthSource::None);
    rig.register(service, "i1", &[]).unwrap();
    let mut command = DeregisterInstance {
        operation: Uuid([7; 16]),
        service,
        instance: "i1".into(),
        drain_ms: Some(30_000),
    };
    let first = rig.run(|r, now| r.deregister_instance(&command, now)).unwrap();
    command.operation = Uuid([8; 16]);
    let again = rig.run(|r, now| r.deregister_instance(&command, now)).unwrap();
    assert_eq!((first, again), (Uuid([7; 16]), Uuid([7; 16])));
    let status = |r: &Registry| r.get_operation(first).unwrap().status;
    assert_eq!(status(&rig.registry), OperationStatus::Pending);

    // A crash forgets neither that it is leaving nor who waits.
    let mut restored = Rig::new();
    restored.registry = Registry::restore(&snapshot(&rig.registry), Settings::default(), rig.now()).unwrap();
    restored.now = rig.now;
    assert_eq!(restored.registry.leavers().1.len(), 1);
    assert_eq!(status(&restored.registry), OperationStatus::Pending);
    restored.pass(30_000);
    assert_eq!(status(&restored.registry), OperationStatus::Success);
    assert!(restored.registry.get_instance(service, "i1").is_err());
    let mut replayed = rig.replayed();
    assert_eq!(replayed.leavers().1.len(), 1);
    let deadline = replayed.next_deadline().unwrap();
    assert_eq!(deadline.0, rig.now + 30_000);
    replayed.advance(Now::at(deadline.0));
    assert_eq!(replayed.expire(Now::at(deadline.0)).reply.len(), 1);

    let leaver = rig.registry.leavers().1.remove(0);
    rig.now += 5;
    let decision = rig.registry.finish_leaving(&leaver, rig.now());
    rig.take(decision);
    let done = rig.registry.get_operation(first).unwrap();
    assert_eq!(
        (done.status, done.updated),
        (OperationStatus::Success, rig.now().wall)
    );
    assert!(done.at < done.updated);
}

#[test]
fn a_new_registration_is_another_and_ends_the_leaving() {
    let (mut rig, service) = Rig::orders(HealthSource::None);
    rig.register(service, "i1", &[]).unwrap();
    let command = DeregisterInstance {
        operation: Uuid([7; 16]),
        service,
        instance: "i1".into(),
        drain_ms: Some(30_000),
    };
    rig.run(|r, now| r.deregister_instance(&command, now)).unwrap();
    let leaver = rig.registry.leavers().1.remove(0);
    rig.register(service, "i1", &[]).unwrap();
    let operation = rig.registry.get_operation(Uuid([7; 16])).unwrap();
    assert_eq!(operation.status, OperationStatus::Success);
    let late = rig.registry.finish_leaving(&leaver, rig.now());
    assert!(late.records.is_empty());
    assert!(rig.registry.get_instance(service, "i1").unwrap().takes_calls);
    assert_eq!(rig.registry.next_deadline(), NEVER);
}

#[test]
fn a_second_leave_does_not_make_it_stay_longer() {
    let mut rig = Rig::new();
    rig.put("i1", Some(15_000));
    leave(&mut rig, "i1", 1_000);
    leave(&mut rig, "i1", 90_000);
    rig.pass(1_000);
    assert!(rig.registry.leavers().1.is_empty());
    rig.put("i1", None);
    leave(&mut rig, "i1", 90_000);
    rig.run(|r, now| r.delete_instance(&named("i1"), now)).unwrap();
    assert_eq!(rig.registry.next_deadline(), NEVER);
}

#[test]
fn an_operator_takes_out_of_service_and_puts_back() {
    let mut rig = Rig::new();
    rig.put("i1", None);
    let set = |rig: &mut Rig, out: Option<&str>| {
        let command = SetAdminHealth {
            name: named("i1"),
            out: out.map(str::to_owned),
        };
        rig.run(|r, _| r.set_admin_health(command))
    };
    set(&mut rig, Some("disk is being changed")).unwrap();
    assert_eq!(
        used(&rig),
        Vec::<String>::new(),
        "not even if nobody else is left"
    );
    // It is durable, and another registration does not overrule it.
    let logged = rig.log.len();
    set(&mut rig, Some("disk is being changed")).unwrap();
    assert_eq!(rig.log.len(), logged);
    rig.put("i1", Some(5_000));
    for registry in [
        rig.replayed(),
        Registry::restore(&snapshot(&rig.registry), Settings::default(), rig.now()).unwrap(),
    ] {
        let (_, instances) = registry.show_service("internal", "orders").unwrap();
        assert_eq!(
            instances[0].out_of_service.as_deref(),
            Some("disk is being changed")
        );
        assert_eq!(instances[0].health.decided_by, Some(HealthSay::Admin));
    }
    set(&mut rig, None).unwrap();
    assert_eq!(used(&rig), ["i1"]);
    assert!(set(&mut rig, Some(&"x".repeat(1_025))).is_err());
}

#[test]
fn too_few_healthy_ones_are_never_left_alone() {
    for (percent, dead, expected) in [
        (50, 0, 10),
        (50, 5, 5),
        (50, 6, 10),
        (50, 10, 10),
        (0, 9, 1),
        (0, 10, 10),
        (100, 1, 10),
        (90, 1, 9),
    ] {
        let mut rig = Rig::with(Settings {
            min_available_percent: percent,
            ..Settings::default()
        });
        for n in 0..10 {
            let mut command = rig.put_command(&format!("i{n}"), None);
            command.address = Some(format!("127.0.0.1:{}", 8_000 + n).parse().unwrap());
            rig.run(|r, now| r.put_instance(command, now)).unwrap();
        }
        for n in 0..dead {
            let at = format!("127.0.0.1:{}", 8_000 + n).parse().unwrap();
            let now = rig.now();
            rig.registry.report_unreachable(&named(&format!("i{n}")), at, now);
        }
        rig.pass(0);
        assert_eq!(used(&rig).len(), expected, "{dead} of 10 dead, {percent} %");
        assert_eq!(discover(&rig, HealthFilter::HealthyOrElseAll).len(), expected);
        // Whoever leaves is not among those who are spared, nor does it count.
        leave(&mut rig, "i9", 1_000);
        assert!(!used(&rig).contains(&"i9".to_owned()));
    }
}

#[test]
fn a_service_may_have_its_own_share() {
    let (mut rig, service) = Rig::orders(HealthSource::Custom);
    let set = |rig: &mut Rig, value: &str| {
        let command = ChangeServiceAttributes {
            id: service,
            set: map(&[(MIN_AVAILABLE, value)]),
            remove: Vec::new(),
        };
        rig.run(|r, _| r.change_service_attributes(command))
    };
    for bad in ["101", "-1", "half", ""] {
        assert!(set(&mut rig, bad).is_err(), "{bad}");
    }
    let before = rig.registry.change();
    set(&mut rig, "0").unwrap();
    assert!(rig.registry.change() > before, "watchers hear of it");
}

#[test]
fn a_pushed_status_is_a_word_and_no_measurement() {
    let (mut rig, service) = Rig::orders(HealthSource::Custom);
    for (id, status) in [("a", "HEALTHY"), ("b", "UNHEALTHY"), ("c", "UNHEALTHY")] {
        rig.register(service, id, &[(INIT_HEALTH, status)]).unwrap();
    }
    let used = |rig: &Rig| {
        let (_, instances) = rig.registry.show_service("shop", "orders").unwrap();
        instances.iter().filter(|i| i.takes_calls).count()
    };
    assert_eq!(
        used(&rig),
        1,
        "one of three is enough if the others were said to be down"
    );
    let command = UpdateCustomHealth {
        service,
        instance: "a".into(),
        healthy: false,
    };
    rig.run(|r, _| r.update_custom_health(&command)).unwrap();
    assert_eq!(used(&rig), 3, "all, if nobody is left");
}
