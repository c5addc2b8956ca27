//! What is noted of changes of health.

use super::*;

/// Instance, verdict before and since, and why, the latest first.
fn noted(rig: &mut Rig, namespace: &str) -> Vec<(String, &'static str, &'static str, &'static str)> {
    let now = rig.now();
    rig.registry.advance(now);
    let name = ServiceName {
        namespace: namespace.into(),
        service: "orders".into(),
    };
    let sight = rig.registry.sight(&name, &page(1)).unwrap();
    let told = sight.history.iter().map(|change| {
        (
            change.instance.to_string(),
            change.from.name(),
            change.to.name(),
            change.decided_by.map_or("-", HealthSay::name),
        )
    });
    told.collect()
}

#[test]
fn a_new_registration_begins_with_its_own_health_and_the_history_is_bounded() {
    let (mut rig, service) = Rig::orders(HealthSource::Custom);
    rig.register(service, "sick", &[(INIT_HEALTH, "UNHEALTHY")])
        .unwrap();
    assert!(noted(&mut rig, "shop").is_empty());
    for turn in 0..40 {
        rig.now += 1;
        let command = UpdateCustomHealth {
            service,
            instance: "sick".into(),
            healthy: turn % 2 == 0,
        };
        rig.run(|r, _| r.update_custom_health(&command)).unwrap();
        noted(&mut rig, "shop");
    }
    let all = noted(&mut rig, "shop");
    assert_eq!(all.len(), 32);
    assert_eq!(all[0], ("sick".to_owned(), "HEALTHY", "UNHEALTHY", "pushed"));
    // Registering it anew with another attribute does not touch its pushed health, so nothing is noted.
    rig.register(service, "sick", &[("a", "b")]).unwrap();
    assert_eq!(noted(&mut rig, "shop"), all);
}
