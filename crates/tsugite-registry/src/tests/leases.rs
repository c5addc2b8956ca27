//! Leases: silence makes a suspect, then ends the registration; a heartbeat and a restart give full time.

use super::*;

#[test]
fn silence_makes_a_suspect_and_then_an_end() {
    let mut rig = Rig::new();
    assert_eq!(rig.put("i1", Some(15_000)), PutOutcome::Created);
    rig.pass(9_999);
    assert_eq!(rig.status("i1"), Some(HealthStatus::Healthy));
    rig.pass(1);
    assert_eq!(rig.status("i1"), Some(HealthStatus::Unhealthy));
    rig.pass(4_999);
    assert_eq!(rig.status("i1"), Some(HealthStatus::Unhealthy));
    rig.pass(1);
    assert_eq!(rig.status("i1"), None);
    let last = Record::decode(rig.log.last().unwrap()).unwrap();
    assert!(matches!(
        last,
        Record::InstanceRemoved {
            cause: Removal::Expired,
            ..
        }
    ));
    assert_eq!(rig.registry.next_deadline(), NEVER);
}

#[test]
fn heartbeats_keep_it_and_are_not_logged() {
    let mut rig = Rig::new();
    rig.put("i1", Some(15_000));
    let logged = rig.log.len();
    for _ in 0..20 {
        rig.pass(5_000);
        assert_eq!(rig.put("i1", Some(15_000)), PutOutcome::Renewed);
        assert_eq!(rig.status("i1"), Some(HealthStatus::Healthy));
    }
    assert_eq!(rig.log.len(), logged);
    assert_eq!(rig.registry.lease_timers.len(), 1);
}

#[test]
fn a_heartbeat_clears_the_suspicion_even_at_the_last_moment() {
    let mut rig = Rig::new();
    rig.put("i1", Some(15_000));
    rig.pass(14_999);
    let change = rig.registry.change();
    rig.put("i1", Some(15_000));
    assert_eq!(rig.status("i1"), Some(HealthStatus::Healthy));
    assert!(rig.registry.change() > change, "watchers hear of it");

    // The lease is found to be over, but a heartbeat comes before the removal is decided.
    rig.pass(14_999);
    rig.now += 1;
    let now = rig.now();
    rig.registry.advance(now);
    assert_eq!(rig.registry.overdue.len(), 1);
    rig.put("i1", Some(15_000));
    assert!(rig.registry.expire(now).reply.is_empty());
    rig.pass(9_000);
    assert_eq!(rig.status("i1"), Some(HealthStatus::Healthy));
}

#[test]
fn a_restart_grants_each_lease_its_full_time() {
    let mut rig = Rig::new();
    rig.put("i1", Some(15_000));
    rig.put("forever", None);
    rig.pass(14_000);
    let before = rig.now;
    for restarted in [
        rig.replayed(),
        Registry::restore(&snapshot(&rig.registry), Settings::default(), rig.now()).unwrap(),
    ] {
        let mut after = Rig {
            registry: restarted,
            ..Rig::new()
        };
        after.now = before;
        assert_eq!(after.status("i1"), Some(HealthStatus::Healthy));
        after.pass(14_999);
        assert_eq!(after.status("i1"), Some(HealthStatus::Unhealthy));
        after.pass(1);
        assert_eq!(
            (after.status("i1"), after.status("forever")),
            (None, Some(HealthStatus::Healthy))
        );
    }
}

#[test]
fn a_deregistered_instance_leaves_no_timer() {
    let mut rig = Rig::new();
    rig.put("i1", Some(15_000));
    rig.run(|r, now| r.delete_instance(&named("i1"), now)).unwrap();
    assert_eq!(rig.registry.next_deadline(), NEVER);
    rig.put("i2", Some(1_000));
    rig.now += 700;
    rig.registry.advance(rig.now());
    rig.ask();
    rig.now += 300;
    let now = rig.now();
    rig.registry.advance(now);
    rig.run(|r, now| r.delete_instance(&named("i2"), now)).unwrap();
    assert_eq!(rig.registry.next_deadline(), NEVER);
    assert!(rig.registry.heartbeat(&named("i2"), now).is_err());
}

#[test]
fn a_changed_lease_takes_effect() {
    let mut rig = Rig::new();
    rig.put("i1", Some(15_000));
    assert_eq!(rig.put("i1", Some(3_000)), PutOutcome::Changed);
    rig.pass(3_000);
    assert_eq!(rig.status("i1"), None);
    rig.put("i1", Some(3_000));
    assert_eq!(rig.put("i1", None), PutOutcome::Changed);
    rig.pass(1_000_000);
    assert_eq!(rig.status("i1"), Some(HealthStatus::Healthy));
    let now = rig.now();
    assert_eq!(
        rig.registry.heartbeat(&named("i1"), now),
        Ok(Renewal { lease_ms: None })
    );
}

#[test]
fn a_fleet_that_falls_silent_goes_in_batches() {
    let mut rig = Rig::new();
    for n in 0..3_000 {
        rig.put(&format!("i{n}"), Some(1_000));
    }
    rig.now += 700;
    rig.registry.advance(rig.now());
    assert_eq!(rig.ask().len(), 3_000);
    rig.now += 300;
    let now = rig.now();
    rig.registry.advance(now);
    let mut batches = Vec::new();
    while rig.registry.next_deadline().is_some() {
        let decision = rig.registry.expire(now);
        batches.push(rig.take(decision).len());
    }
    assert_eq!(batches, [1_024, 1_024, 952]);
    assert_eq!(rig.registry.instances, 0);
}
