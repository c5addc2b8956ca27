//! What watchers are told, and what does not wake them.

use super::*;

const BOUNDS: Bounds = Bounds {
    services: 3,
    instances: 2,
};

fn name(service: &str) -> ServiceName {
    ServiceName {
        namespace: "internal".into(),
        service: service.into(),
    }
}

/// Puts an instance at a port of a service of `internal`.
fn put(rig: &mut Rig, service: &str, id: &str, port: u16) {
    let mut command = rig.put_command(id, None);
    command.service = service.into();
    command.address = Some(([127, 0, 0, 1], port).into());
    rig.run(|r, now| r.put_instance(command, now)).unwrap();
}

/// The names that are told of, those that are gone with a minus.
fn told(news: &News) -> Vec<String> {
    let told = news.stories.iter().map(|story| match story {
        Story::Is(sight) => sight.view.service.name.clone(),
        Story::Gone { name, .. } => format!("-{}", name.service),
    });
    told.collect()
}

fn remove(rig: &mut Rig, service: &str, id: &str) {
    let gone = InstanceName {
        service: service.into(),
        ..named(id)
    };
    rig.run(|r, now| r.delete_instance(&gone, now)).unwrap();
    let (view, _) = rig.registry.show_service("internal", service).unwrap();
    rig.run(|r, _| r.delete_service(view.service.id)).unwrap();
}

#[test]
fn an_index_grows_with_instances_and_health_and_with_nothing_else() {
    let (mut rig, service) = Rig::orders(HealthSource::Custom);
    let orders = ServiceName {
        namespace: "SHOP".into(),
        service: "Orders".into(),
    };
    let look = |rig: &Rig| {
        let sight = rig.registry.sight(&orders, &page(10)).unwrap();
        assert_eq!(sight.index, rig.registry.service_index(&orders));
        (sight.index, sight.view.revision, sight.health_index)
    };
    let empty = look(&rig);
    rig.register(service, "i", &[("a", "1")]).unwrap();
    let registered = look(&rig);
    assert!(registered.0 > empty.0 && registered.1 > empty.1);
    assert_eq!(registered.2, empty.2, "a new instance is no change of health");
    let push = |rig: &mut Rig, healthy| {
        let command = UpdateCustomHealth {
            service,
            instance: "i".into(),
            healthy,
        };
        rig.run(|r, _| r.update_custom_health(&command)).unwrap();
    };
    push(&mut rig, false);
    let sick = look(&rig);
    assert!(sick.0 > registered.0 && sick.2 > registered.2);
    assert_eq!(sick.1, registered.1, "health does not change the revision");
    // What changes nothing: the same status, the same registration, another service.
    push(&mut rig, false);
    rig.register(service, "i", &[("a", "1")]).unwrap();
    put(&mut rig, "elsewhere", "i", 1);
    assert_eq!(look(&rig), sick);
    assert_eq!(rig.registry.service_index(&name("nothing")), 0);
}

#[test]
fn news_come_once_in_order_and_in_portions() {
    let mut rig = Rig::new();
    for service in ["a", "b", "c", "d", "e"] {
        put(&mut rig, service, "one", 1);
    }
    let first = rig.registry.news(&Scope::All, 0, BOUNDS);
    assert!(first.anew && !first.complete);
    assert_eq!(told(&first), ["a", "b", "c"]);
    // What changes meanwhile moves to the end.
    put(&mut rig, "a", "two", 2);
    put(&mut rig, "a", "three", 3);
    let second = rig.registry.news(&Scope::All, first.index, BOUNDS);
    assert!(!second.anew && second.complete);
    assert_eq!(told(&second), ["d", "e", "a"]);
    let Some(Story::Is(sight)) = second.stories.last() else {
        panic!("{second:?}")
    };
    assert_eq!((sight.instances.len(), sight.view.instances), (2, 3));
    assert!(sight.next.is_some());
    let none = rig.registry.news(&Scope::All, second.index, BOUNDS);
    assert_eq!((told(&none), none.complete, none.anew), (vec![], true, false));
    remove(&mut rig, "d", "one");
    put(&mut rig, "b", "one", 9);
    let third = rig.registry.news(&Scope::All, second.index, BOUNDS);
    assert_eq!(told(&third), ["-d", "b"]);
}

/// All that a watcher is told who begins now, and in how many portions.
fn swept(rig: &mut Rig, mut meanwhile: impl FnMut(&mut Rig, usize)) -> (Vec<String>, usize) {
    let (mut seen, mut all, mut anew) = (Seen::default(), Vec::new(), 0);
    for portion in 1..100 {
        let news = rig.registry.news(&Scope::All, seen, BOUNDS);
        anew += usize::from(news.anew);
        all.extend(told(&news));
        if news.complete {
            assert_eq!(anew, 1, "all is told once");
            assert!(!rig.registry.news(&Scope::All, news.index, BOUNDS).anew);
            return (all, portion);
        }
        seen = news.next;
        meanwhile(rig, portion);
    }
    panic!("it never ends: {all:?}");
}

#[test]
fn all_is_told_once_after_a_restart_and_after_much_was_removed() {
    let mut rig = Rig::new();
    let names: Vec<String> = (0..10).map(|n| format!("s{n}")).collect();
    for service in &names {
        put(&mut rig, service, "one", 1);
    }
    rig.registry.begin_watches(Timestamp(1_000_000));
    assert_eq!(swept(&mut rig, |_, _| ()), (names.clone(), 4));
    for n in 0..2_000 {
        let gone = format!("gone{n}");
        put(&mut rig, &gone, "one", 1);
        remove(&mut rig, &gone, "one");
    }
    assert_eq!(swept(&mut rig, |_, _| ()), (names.clone(), 4));
    // Who goes while it lasts is told of, though it may be news that it was there.
    let go = |rig: &mut Rig, portion| {
        if portion == 1 {
            remove(rig, "s9", "one");
        }
    };
    let rest = names[..9].iter().cloned().chain(["-s9".to_owned()]).collect();
    assert_eq!(swept(&mut rig, go), (rest, 4));
}

#[test]
fn scopes_hear_of_their_own() {
    let mut rig = Rig::new();
    put(&mut rig, "a", "one", 1);
    put(&mut rig, "b", "one", 1);
    rig.namespace("shop", NamespaceKind::Http).unwrap();
    let some = Scope::Services(vec![name("B"), name("later")]);
    let internal = Scope::Namespace("Internal".into());
    let shop = Scope::Namespace("shop".into());
    let news = |rig: &Rig, scope: &Scope, seen| rig.registry.news(scope, seen, BOUNDS);
    let seen = news(&rig, &some, 0);
    assert_eq!(told(&seen), ["b"]);
    assert_eq!(told(&news(&rig, &internal, 0)), ["a", "b"]);
    assert_eq!(told(&news(&rig, &shop, 0)), [""; 0]);
    put(&mut rig, "a", "two", 1);
    put(&mut rig, "later", "one", 1);
    remove(&mut rig, "b", "one");
    let seen = seen.index;
    assert_eq!(told(&news(&rig, &some, seen)), ["later", "-b"]);
    assert_eq!(told(&news(&rig, &internal, seen)), ["a", "later", "-b"]);
    assert_eq!(told(&news(&rig, &shop, seen)), [""; 0]);
    let touched = rig.registry.touched_since(seen);
    let names: Vec<_> = touched.names.iter().map(|name| name.service.as_str()).collect();
    assert_eq!((touched.all, names), (false, vec!["a", "later", "b"]));
    assert!(rig.registry.touched_since(touched.index).names.is_empty());
}

#[test]
fn what_is_forgotten_or_of_another_process_is_told_anew() {
    let mut rig = Rig::new();
    put(&mut rig, "stays", "one", 1);
    let old = rig.registry.news(&Scope::All, 0, BOUNDS).index;
    let mut again = rig.replayed();
    again.begin_watches(Timestamp(rig.now));
    let told_again = again.news(&Scope::All, old, BOUNDS);
    assert!(told_again.anew && told_again.index > old, "{told_again:?}");
    assert_eq!(told(&told_again), ["stays"]);
    assert!(again.touched_since(old).all);
    // One that looked after the start goes on from there, one from the future does not.
    assert!(!again.news(&Scope::All, told_again.index, BOUNDS).anew);
    assert!(again.news(&Scope::All, told_again.index + 1, BOUNDS).anew);

    for n in 0..1_100 {
        put(&mut rig, &format!("s{n}"), "one", 1);
        remove(&mut rig, &format!("s{n}"), "one");
    }
    let late = rig.registry.news(&Scope::All, old, BOUNDS);
    assert!(late.anew, "the names of those that are gone are no longer known");
    assert_eq!(told(&late), ["stays"]);
    let dropped = rig.registry.reset(rig.now());
    rig.registry.apply(dropped, Place::default());
    let empty = rig.registry.news(&Scope::All, late.index, BOUNDS);
    assert!(empty.anew && empty.complete && empty.index > late.index);
}
