//! `DiscoverInstances`: attributes, health, order.

use super::*;

fn rig() -> (Rig, ServiceId) {
    let (mut rig, service) = Rig::orders(HealthSource::Custom);
    for (id, attributes) in [
        ("red-1", &[("color", "red"), ("size", "1")][..]),
        ("red-2", &[("color", "red"), ("size", "2")]),
        ("blue-1", &[("color", "blue"), ("size", "1")]),
        ("sick", &[("color", "red"), (INIT_HEALTH, "UNHEALTHY")]),
    ] {
        rig.register(service, id, attributes).unwrap();
    }
    (rig, service)
}

fn discover(
    rig: &Rig,
    query: &[(&str, &str)],
    optional: &[(&str, &str)],
    health: HealthFilter,
) -> Vec<String> {
    let command = Discover {
        namespace: "SHOP".into(),
        service: "orders".into(),
        query: map(query),
        optional: map(optional),
        health,
        max_results: 100,
        seed: SEED,
    };
    let found = rig.registry.discover_instances(&command).unwrap();
    let mut ids: Vec<_> = found.instances.iter().map(|i| i.id.to_string()).collect();
    ids.sort();
    ids
}

#[test]
fn attributes_and_health_narrow_the_answer() {
    use HealthFilter::{All, Healthy, HealthyOrElseAll, Unhealthy};
    let (rig, _) = rig();
    for (query, optional, health, expected) in [
        (&[][..], &[][..], All, &["blue-1", "red-1", "red-2", "sick"][..]),
        (&[], &[], HealthyOrElseAll, &["blue-1", "red-1", "red-2"]),
        (&[], &[], Healthy, &["blue-1", "red-1", "red-2"]),
        (&[], &[], Unhealthy, &["sick"]),
        (&[("color", "red")], &[], Healthy, &["red-1", "red-2"]),
        (&[("color", "red"), ("size", "2")], &[], All, &["red-2"]),
        (&[("color", "RED")], &[], All, &[]),
        (&[("color", "red")], &[("size", "1")], All, &["red-1"]),
        (
            &[("color", "red")],
            &[("size", "3")],
            Healthy,
            &["red-1", "red-2"],
        ),
        (&[], &[("color", "red"), ("size", "1")], All, &["red-1"]),
        // Optional parameters are settled before health: the match is sick, so nothing healthy is left.
        (&[], &[(INIT_HEALTH, "UNHEALTHY")], Healthy, &[]),
        (&[], &[(INIT_HEALTH, "UNHEALTHY")], HealthyOrElseAll, &["sick"]),
    ] {
        let found = discover(&rig, query, optional, health);
        assert_eq!(found, expected, "{query:?} {optional:?} {health:?}");
    }
}

#[test]
fn no_health_source_passes_every_filter() {
    let (mut rig, service) = Rig::orders(HealthSource::None);
    rig.register(service, "i", &[]).unwrap();
    for health in [HealthFilter::Unhealthy, HealthFilter::Healthy, HealthFilter::All] {
        assert_eq!(discover(&rig, &[], &[], health), ["i"], "{health:?}");
    }
}

#[test]
fn none_healthy_means_all() {
    let (mut rig, service) = rig();
    for id in ["red-1", "red-2", "blue-1"] {
        let command = UpdateCustomHealth {
            service,
            instance: id.into(),
            healthy: false,
        };
        rig.run(|r, _| r.update_custom_health(&command)).unwrap();
    }
    assert_eq!(discover(&rig, &[], &[], HealthFilter::HealthyOrElseAll).len(), 4);
    assert_eq!(discover(&rig, &[], &[], HealthFilter::Healthy).len(), 0);
}

#[test]
fn the_order_is_random_and_the_number_bounded() {
    let (mut rig, service) = Rig::orders(HealthSource::None);
    for n in 0..20 {
        rig.register(service, &format!("i{n:02}"), &[]).unwrap();
    }
    let first = |seed| {
        let command = Discover {
            namespace: "shop".into(),
            service: "orders".into(),
            max_results: 3,
            seed,
            ..Discover::default()
        };
        let found = rig.registry.discover_instances(&command).unwrap().instances;
        assert_eq!(found.len(), 3);
        found[0].id.to_string()
    };
    assert_eq!(first(1), first(1), "the same seed gives the same order");
    let firsts: std::collections::BTreeSet<_> = (0..400).map(first).collect();
    assert_eq!(firsts.len(), 20, "each instance comes first at some time");
}

#[test]
fn what_is_not_there_is_named() {
    let (rig, _) = rig();
    let find = |namespace: &str, service: &str, max_results| {
        let command = Discover {
            namespace: namespace.into(),
            service: service.into(),
            max_results,
            ..Discover::default()
        };
        rig.registry.discover_instances(&command).unwrap_err()
    };
    assert!(
        matches!(find("nowhere", "orders", 1), DiscoverError::NamespaceNotFound(e) if e.wanted == "nowhere")
    );
    assert!(matches!(find("shop", "nothing", 1), DiscoverError::ServiceNotFound(e) if e.wanted == "nothing"));
    assert!(matches!(find("shop", "orders", 0), DiscoverError::Invalid(_)));
    assert!(matches!(find("shop", "orders", 1001), DiscoverError::Invalid(_)));
}

/// A service of a size at which instances are drawn, some of them red and some of them sick.
fn crowd() -> Rig {
    let (mut rig, service) = Rig::orders(HealthSource::Custom);
    for n in 0..3_000 {
        let color = if n % 2 == 0 { "red" } else { "blue" };
        let health = if n % 3 == 0 { "UNHEALTHY" } else { "HEALTHY" };
        let rare = if n % 1_000 == 1 { "yes" } else { "no" };
        let attributes = [("color", color), (INIT_HEALTH, health), ("rare", rare)];
        rig.register(service, &format!("i{n:04}"), &attributes).unwrap();
    }
    // Places in the order of drawing stay right while instances leave and change.
    for n in (0..3_000).step_by(7) {
        let command = DeregisterInstance {
            operation: rig.draw_uuid(),
            service,
            instance: format!("i{n:04}"),
            drain_ms: None,
        };
        rig.run(|r, now| r.deregister_instance(&command, now)).unwrap();
    }
    rig
}

#[test]
fn a_draw_from_many_answers_what_a_look_at_all_would() {
    let rig = crowd();
    let draw = |query: &[(&str, &str)], health, max_results, seed| {
        let command = Discover {
            namespace: "shop".into(),
            service: "orders".into(),
            query: map(query),
            health,
            max_results,
            seed,
            ..Discover::default()
        };
        rig.registry.discover_instances(&command).unwrap().instances
    };
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..500 {
        let found = draw(&[("color", "red")], HealthFilter::Healthy, 20, seed);
        let ids: std::collections::BTreeSet<_> = found.iter().map(|i| i.id.to_string()).collect();
        assert_eq!(ids.len(), 20, "none twice");
        for instance in &found {
            assert_eq!(instance.health.status, HealthStatus::Healthy);
            assert_eq!(instance.attributes.get("color"), Some("red"));
        }
        seen.extend(ids);
    }
    let all = draw(&[("color", "red")], HealthFilter::Healthy, 1_000, 1);
    assert_eq!(seen.len(), all.len(), "each of them comes up at some time");
    // Too rare to be drawn: found all the same, and so is what is not there.
    assert_eq!(draw(&[("rare", "yes")], HealthFilter::All, 20, 1).len(), 2);
    assert_eq!(draw(&[("rare", "never")], HealthFilter::All, 20, 1).len(), 0);
}
