//! Doubts: who is silent is asked, who answers stays, who does not goes in time; complaints of callers; a process that
//! was asleep holds nothing against anybody.

use super::*;

const LEASE: Option<u32> = Some(15_000);

fn health(rig: &Rig, id: &str) -> Health {
    let (_, instances) = rig.registry.show_service("internal", "orders").unwrap();
    instances.iter().find(|i| &*i.id == id).unwrap().health
}

fn ids(rig: &Rig) -> Vec<String> {
    let shown = rig.registry.show_service("internal", "orders");
    shown.map_or_else(
        |_| Vec::new(),
        |(_, i)| i.iter().map(|i| i.id.to_string()).collect(),
    )
}

#[test]
fn a_silent_instance_that_answers_stays_in_use_as_a_suspect() {
    let mut rig = Rig::new();
    rig.put("i1", LEASE);
    rig.alive.insert("i1".into());
    rig.pass(9_999);
    assert_eq!(health(&rig, "i1").lease, Some(LeaseHealth::Healthy));
    rig.pass(1);
    let suspect = health(&rig, "i1");
    assert_eq!(suspect.lease, Some(LeaseHealth::Suspect));
    assert_eq!(
        (suspect.status, suspect.decided_by),
        (HealthStatus::Healthy, None)
    );
    for _ in 0..1_000 {
        rig.pass(3_600_000 / 1_000);
        assert_eq!(health(&rig, "i1"), suspect);
    }
    // It is asked every 2.5 s, once.
    rig.registry.advance(rig.now());
    assert_eq!(rig.registry.doubt_timers.len(), 1);
    // Then it dies: unused with the next question, gone within a lease.
    rig.alive.clear();
    rig.pass(2_500);
    let dead = health(&rig, "i1");
    assert_eq!(
        (dead.status, dead.decided_by),
        (HealthStatus::Unhealthy, Some(HealthSay::Lease))
    );
    rig.pass(12_500);
    assert_eq!(ids(&rig), Vec::<String>::new());
}

#[test]
fn a_heartbeat_ends_the_doubt() {
    let mut rig = Rig::new();
    rig.put("i1", LEASE);
    rig.pass(11_000);
    assert_eq!(health(&rig, "i1").status, HealthStatus::Unhealthy);
    rig.put("i1", LEASE);
    assert_eq!(health(&rig, "i1").lease, Some(LeaseHealth::Healthy));
    assert!(rig.registry.doubt_timers.is_empty());
    rig.pass(9_000);
    assert_eq!(health(&rig, "i1").status, HealthStatus::Healthy);
}

#[test]
fn half_a_fleet_that_dies_goes_and_half_that_is_only_silent_stays() {
    let mut rig = Rig::new();
    for n in 0..4_000 {
        rig.put(&format!("i{n:04}"), LEASE);
    }
    let alive = |n: &u32| n.is_multiple_of(2);
    rig.alive = (0..4_000).filter(alive).map(|n| format!("i{n:04}")).collect();
    rig.pass(15_000);
    let left: BTreeSet<String> = ids(&rig).into_iter().collect();
    assert_eq!(left, rig.alive);
    rig.pass(600_000);
    assert_eq!(ids(&rig).len(), 2_000);
}

#[test]
fn nobody_is_removed_who_was_not_asked() {
    let mut rig = Rig::new();
    rig.put("i1", LEASE);
    // The checker hangs: questions are not even asked.
    for _ in 0..60 {
        rig.now += 1_000;
        let now = rig.now();
        rig.registry.advance(now);
        let decision = rig.registry.expire(now);
        assert!(rig.take(decision).is_empty());
    }
    assert_eq!(health(&rig, "i1").lease, Some(LeaseHealth::Suspect));
    // It asks again, and nobody answers.
    rig.pass(5_000);
    assert_eq!(ids(&rig), Vec::<String>::new());
}

#[test]
fn after_a_minute_asleep_everybody_gets_time_to_be_heard() {
    for (id, address) in [("i1", "127.0.0.1"), ("nowhere", "")] {
        let mut rig = Rig::new();
        let mut command = rig.put_command(id, LEASE);
        command.address = (!address.is_empty()).then(|| format!("{address}:8001").parse().unwrap());
        rig.run(|r, now| r.put_instance(command, now)).unwrap();
        rig.now += 60_000;
        let now = rig.now();
        rig.registry.advance(now);
        assert!(rig.registry.expire(now).reply.is_empty(), "{id}");
        rig.pass(4_000);
        assert!(rig.registry.heartbeat(&named(id), rig.now()).is_ok(), "{id}");
        rig.pass(9_000);
        assert_eq!(health(&rig, id).status, HealthStatus::Healthy);
    }
}

#[test]
fn an_answer_from_before_the_sleep_is_not_held_against_it() {
    let mut rig = Rig::new();
    rig.put("i1", LEASE);
    rig.pass(11_000);
    assert_eq!(health(&rig, "i1").lease, Some(LeaseHealth::Unhealthy));
    rig.now += 60_000;
    let now = rig.now();
    rig.registry.advance(now);
    assert!(rig.registry.expire(now).reply.is_empty());
    rig.alive.insert("i1".into());
    rig.pass(60_000);
    assert_eq!(health(&rig, "i1").lease, Some(LeaseHealth::Suspect));
}

#[test]
fn what_cannot_be_asked_goes_with_its_lease() {
    let mut rig = Rig::new();
    let mut command = rig.put_command("i1", LEASE);
    command.address = None;
    rig.run(|r, now| r.put_instance(command, now)).unwrap();
    rig.pass(10_000);
    assert_eq!(health(&rig, "i1").lease, Some(LeaseHealth::Unhealthy));
    rig.pass(5_000);
    assert_eq!(ids(&rig), Vec::<String>::new());
}

#[test]
fn the_services_own_check_is_the_question() {
    let mut rig = Rig::new();
    let kind = CheckKind::Http { path: "/up".into() };
    let command = PutService {
        new_namespace: NamespaceId(1),
        new_service: ServiceId(2),
        namespace: "internal".into(),
        service: "orders".into(),
        health: Some(HealthSource::Active(HealthCheck::new(kind.clone()))),
    };
    rig.run(|r, now| r.put_service(&command, now)).unwrap();
    rig.put("i1", LEASE);
    let now = rig.now();
    rig.registry.due_probes(10, SEED, now);
    rig.now += 10_000;
    let now = rig.now();
    rig.registry.advance(now);
    let probes = rig.registry.due_probes(1, SEED, now);
    assert_eq!(
        (probes[0].purpose, &probes[0].kind),
        (Purpose::Doubt, &kind),
        "those in doubt come first"
    );
}

#[test]
fn who_cannot_be_reached_is_not_used_until_it_answers() {
    let mut rig = Rig::new();
    rig.put("i1", None);
    let at = "127.0.0.1:8001".parse().unwrap();
    let elsewhere = "127.0.0.1:8002".parse().unwrap();
    let now = rig.now();
    assert!(!rig.registry.report_unreachable(&named("i1"), elsewhere, now));
    assert!(!rig.registry.report_unreachable(&named("i2"), at, now));
    assert!(rig.registry.report_unreachable(&named("i1"), at, now));
    assert!(!rig.registry.report_unreachable(&named("i1"), at, now), "no news");
    assert_eq!(health(&rig, "i1").status, HealthStatus::Healthy, "not yet asked");
    rig.pass(0);
    let doubted = health(&rig, "i1");
    assert_eq!(
        (doubted.status, doubted.decided_by),
        (HealthStatus::Unhealthy, Some(HealthSay::Passive))
    );
    rig.pass(5_000);
    assert_eq!(health(&rig, "i1").status, HealthStatus::Unhealthy);
    rig.alive.insert("i1".into());
    rig.pass(1_000);
    assert_eq!(health(&rig, "i1").status, HealthStatus::Healthy);
    assert!(rig.registry.doubt_timers.is_empty());
}

#[test]
fn a_heartbeat_does_not_overrule_callers() {
    let mut rig = Rig::new();
    rig.put("i1", LEASE);
    let now = rig.now();
    let at = "127.0.0.1:8001".parse().unwrap();
    rig.registry.report_unreachable(&named("i1"), at, now);
    rig.pass(11_000);
    rig.put("i1", LEASE);
    assert_eq!(health(&rig, "i1").decided_by, Some(HealthSay::Passive));
    assert_eq!(health(&rig, "i1").lease, Some(LeaseHealth::Healthy));
}

#[test]
fn many_leases_are_renewed_at_once() {
    let mut rig = Rig::new();
    for id in ["i1", "i2", "i3"] {
        rig.put(id, LEASE);
    }
    rig.pass(9_000);
    let mut beats = Heartbeats {
        namespace: "internal".into(),
        service: "orders".into(),
        instances: ["i1", "ix", "i3"].map(String::from).into(),
    };
    let now = rig.now();
    assert_eq!(rig.registry.heartbeats(&beats, now), Ok(vec!["ix".to_owned()]));
    rig.pass(6_000);
    assert_eq!(ids(&rig), ["i1", "i3"]);
    beats.service = "none".into();
    assert!(rig.registry.heartbeats(&beats, now).is_err());
}
