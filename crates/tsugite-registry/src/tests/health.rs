//! Active checks: when probes are due, what their results decide; pushed health; the merged verdict.

use super::*;

fn check() -> HealthCheck {
    HealthCheck {
        interval_ms: 1_000,
        timeout_ms: 200,
        unhealthy: 3,
        healthy: 2,
        ..HealthCheck::new(CheckKind::Http {
            path: "/health".into(),
        })
    }
}

const WHERE: &[(&str, &str)] = &[(IPV4, "127.0.0.1"), (PORT, "8001")];

fn probes(rig: &mut Rig) -> Vec<Probe> {
    let now = rig.now();
    rig.registry.due_probes(100, SEED, now)
}

fn report(rig: &mut Rig, probe: &Probe, passed: bool) -> bool {
    let now = rig.now();
    rig.registry.probe_result(&answer(probe, passed), now)
}

fn active(rig: &Rig, service: ServiceId, id: &str) -> HealthStatus {
    rig.registry
        .get_instance(service, id)
        .unwrap()
        .health
        .active
        .unwrap()
}

#[test]
fn the_first_probe_is_due_at_once_and_later_ones_with_jitter() {
    let (mut rig, service) = Rig::orders(HealthSource::Active(check()));
    rig.register(service, "i1", WHERE).unwrap();
    let first = probes(&mut rig);
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].address, "127.0.0.1:8001".parse().unwrap());
    assert_eq!((&first[0].kind, first[0].timeout_ms), (&check().kind, 200));
    assert!(probes(&mut rig).is_empty(), "one at a time");
    for seed in 0..100 {
        let due = rig.registry.next_probe().unwrap().0;
        assert!(
            (rig.now + 850..=rig.now + 1_150).contains(&due),
            "{due} at {}",
            rig.now
        );
        rig.now = due;
        let now = rig.now();
        assert_eq!(rig.registry.due_probes(100, seed, now).len(), 1);
    }
}

#[test]
fn the_first_result_decides_then_thresholds_do() {
    use HealthStatus::{Healthy, Unhealthy, Unknown};
    for (results, expected) in [
        (&[][..], Unknown),
        (&[true], Healthy),
        (&[false], Unhealthy),
        (&[true, false, false], Healthy),
        (&[true, false, false, false], Unhealthy),
        (&[true, false, false, true, false, false], Healthy),
        (&[false, true], Unhealthy),
        (&[false, true, false, true], Unhealthy),
        (&[false, true, true], Healthy),
    ] {
        let (mut rig, service) = Rig::orders(HealthSource::Active(check()));
        rig.register(service, "i1", WHERE).unwrap();
        let probe = probes(&mut rig).remove(0);
        for &passed in results {
            let before = active(&rig, service, "i1");
            let changed = report(&mut rig, &probe, passed);
            assert_eq!(changed, before != active(&rig, service, "i1"));
        }
        assert_eq!(active(&rig, service, "i1"), expected, "{results:?}");
    }
}

#[test]
fn a_late_result_for_an_older_registration_is_ignored() {
    let (mut rig, service) = Rig::orders(HealthSource::Active(check()));
    rig.register(service, "i1", WHERE).unwrap();
    let old = probes(&mut rig).remove(0);
    rig.register(service, "i1", &[(IPV4, "127.0.0.2"), (PORT, "8001")])
        .unwrap();
    assert!(!report(&mut rig, &old, false));
    assert_eq!(active(&rig, service, "i1"), HealthStatus::Unknown);
    let new = probes(&mut rig).remove(0);
    assert!(report(&mut rig, &new, true));

    // The same address with other attributes keeps its verdict, and is probed at once.
    rig.register(
        service,
        "i1",
        &[(IPV4, "127.0.0.2"), (PORT, "8001"), ("color", "red")],
    )
    .unwrap();
    assert_eq!(active(&rig, service, "i1"), HealthStatus::Healthy);
    assert_eq!(probes(&mut rig).len(), 1);
    assert!(probes(&mut rig).is_empty());
}

#[test]
fn what_leaves_or_has_no_address_is_not_probed() {
    let (mut rig, service) = Rig::orders(HealthSource::Active(check()));
    rig.register(service, "nowhere", &[("color", "red")]).unwrap();
    assert_eq!(rig.registry.next_probe(), NEVER);
    rig.register(service, "i1", WHERE).unwrap();
    let gone = DeregisterInstance {
        operation: Uuid([8; 16]),
        service,
        instance: "i1".into(),
        drain_ms: None,
    };
    let probe = probes(&mut rig).remove(0);
    rig.run(|r, now| r.deregister_instance(&gone, now)).unwrap();
    assert_eq!(rig.registry.next_probe(), NEVER);
    assert!(!report(&mut rig, &probe, true));
}

#[test]
fn probes_are_handed_out_in_bounded_numbers() {
    let (mut rig, service) = Rig::orders(HealthSource::Active(check()));
    for n in 0..10 {
        rig.register(service, &format!("i{n}"), WHERE).unwrap();
    }
    let now = rig.now();
    assert_eq!(rig.registry.due_probes(7, SEED, now).len(), 7);
    assert_eq!(
        rig.registry.next_probe(),
        Some(now.steady),
        "the rest is still due"
    );
    assert_eq!(rig.registry.due_probes(7, SEED, now).len(), 3);
}

#[test]
fn pushed_health_needs_a_service_that_takes_it() {
    let push = |rig: &mut Rig, service, id: &str, healthy| {
        let command = UpdateCustomHealth {
            service,
            instance: id.into(),
            healthy,
        };
        rig.run(|r, _| r.update_custom_health(&command))
    };
    let (mut rig, service) = Rig::orders(HealthSource::None);
    rig.register(service, "i", &[]).unwrap();
    let refused = push(&mut rig, service, "i", true);
    assert!(matches!(refused, Err(CustomHealthError::CustomHealthNotFound(_))));

    let (mut rig, service) = Rig::orders(HealthSource::Custom);
    let missing = push(&mut rig, service, "i", true);
    assert!(matches!(missing, Err(CustomHealthError::InstanceNotFound(_))));
    rig.register(service, "i", &[]).unwrap();
    let status = |rig: &Rig| rig.registry.get_instance(service, "i").unwrap().health;
    assert_eq!(status(&rig).status, HealthStatus::Healthy);
    push(&mut rig, service, "i", false).unwrap();
    assert_eq!(status(&rig).custom, Some(HealthStatus::Unhealthy));
    let logged = rig.log.len();
    push(&mut rig, service, "i", false).unwrap();
    assert_eq!(rig.log.len(), logged, "a repeat is not logged");
    rig.register(service, "i", &[("color", "red"), (INIT_HEALTH, "HEALTHY")])
        .unwrap();
    assert_eq!(
        status(&rig).status,
        HealthStatus::Unhealthy,
        "a new registration does not overrule what was pushed"
    );
}

#[test]
fn the_verdict_is_the_worst_of_the_sources() {
    let mut rig = Rig::new();
    let command = PutService {
        new_namespace: NamespaceId(1),
        new_service: ServiceId(2),
        namespace: "internal".into(),
        service: "orders".into(),
        health: Some(HealthSource::Active(check())),
    };
    rig.run(|r, now| r.put_service(&command, now)).unwrap();
    rig.put("i1", Some(15_000));
    let health = |rig: &Rig| rig.registry.show_service("internal", "orders").unwrap().1[0].health;
    assert_eq!(health(&rig).status, HealthStatus::Unknown);
    let probe = probes(&mut rig).remove(0);
    report(&mut rig, &probe, true);
    assert_eq!(health(&rig).status, HealthStatus::Healthy);
    rig.pass(12_000);
    let merged = Health {
        status: HealthStatus::Unhealthy,
        decided_by: Some(HealthSay::Lease),
        lease: Some(LeaseHealth::Unhealthy),
        active: Some(HealthStatus::Healthy),
        flapping: false,
        custom: None,
        passive: None,
        admin: None,
        leaving: false,
    };
    assert_eq!(health(&rig), merged);
}

#[test]
fn a_check_that_changes_its_mind_too_often_is_not_listened_to_for_a_minute() {
    use HealthStatus::{Healthy, Unhealthy};
    let quick = HealthCheck {
        unhealthy: 1,
        healthy: 1,
        ..check()
    };
    let (mut rig, service) = Rig::orders(HealthSource::Active(quick));
    rig.register(service, "i1", WHERE).unwrap();
    let probe = probes(&mut rig).remove(0);
    report(&mut rig, &probe, true);
    let flapping = |rig: &Rig| rig.registry.get_instance(service, "i1").unwrap().health.flapping;
    for passed in [false, true, false, true] {
        rig.now += 5_000;
        assert!(report(&mut rig, &probe, passed));
        assert!(!flapping(&rig));
    }
    // The fifth change within a minute does not happen, nor any for a minute.
    rig.now += 5_000;
    assert!(!report(&mut rig, &probe, false));
    assert_eq!((active(&rig, service, "i1"), flapping(&rig)), (Healthy, true));
    rig.now += 59_999;
    assert!(!report(&mut rig, &probe, false));
    assert_eq!(active(&rig, service, "i1"), Healthy);
    rig.now += 1;
    assert!(report(&mut rig, &probe, false), "then it is believed again");
    assert_eq!((active(&rig, service, "i1"), flapping(&rig)), (Unhealthy, false));
    // Four changes, then a pause of a minute: no flapping.
    rig.now += 60_001;
    for passed in [true, false, true, false] {
        assert!(report(&mut rig, &probe, passed));
    }
    rig.now += 60_001;
    assert!(report(&mut rig, &probe, true));
    assert!(!flapping(&rig));
}
