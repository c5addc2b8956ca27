//! Services and zones that come, change and go.

use super::*;

fn told(catalog: &mut Catalog, name: &str, kind: u16) -> (u16, String) {
    let message = ask(catalog, name, kind);
    (message.code, message.told().join(" "))
}

fn put(catalog: &mut Catalog, id: u64, spec: ServiceSpec<'_>) {
    catalog.put(id, Some(Service::new(spec).unwrap()));
}

fn zones(catalog: &mut Catalog, names: &[(&str, u32)]) {
    let specs: Vec<_> = names
        .iter()
        .map(|(name, soa_ttl)| ZoneSpec {
            name,
            soa_ttl: *soa_ttl,
        })
        .collect();
    catalog.set_zones(&specs);
}

#[test]
fn a_snapshot_stays_what_it_was() {
    let mut catalog = catalog(&["n"], vec![spec("s", "n", vec![instance("a", "10.0.0.1")])]);
    let old = catalog.snapshot();
    put(&mut catalog, 0, spec("s", "n", vec![instance("a", "10.0.0.2")]));
    assert_eq!(told(&mut catalog, "s.n", kind::A), (0, "10.0.0.2".into()));
    let (mut scratch, mut out) = (Scratch::new(SplitMix64::new(1)), Vec::new());
    answer(
        &query_bytes("s.n", kind::A, None),
        &old,
        &SETTINGS,
        OVER_UDP,
        &mut scratch,
        &mut out,
    );
    assert_eq!(read(&out).told(), ["10.0.0.1"]);
}

#[test]
fn addresses_move_with_their_instances() {
    let mut catalog = catalog(&["n"], vec![]);
    let arpa = |last: u8| format!("{last}.0.0.10.in-addr.arpa");
    put(
        &mut catalog,
        0,
        spec(
            "s",
            "n",
            vec![instance("a", "10.0.0.1"), instance("b", "10.0.0.2")],
        ),
    );
    put(
        &mut catalog,
        0,
        spec(
            "s",
            "n",
            vec![instance("B", "10.0.0.3"), instance("c", "10.0.0.1")],
        ),
    );
    for (last, expected) in [(1, (0, "c.s.n")), (2, (3, "")), (3, (0, "B.s.n"))] {
        assert_eq!(
            told(&mut catalog, &arpa(last), kind::PTR),
            (expected.0, expected.1.into()),
            "{last}"
        );
    }
    put(&mut catalog, 0, spec("t", "n", vec![instance("B", "10.0.0.3")]));
    assert_eq!(told(&mut catalog, &arpa(3), kind::PTR), (0, "B.t.n".into()));
    assert_eq!(told(&mut catalog, &arpa(1), kind::PTR).0, 3);
    assert_eq!(told(&mut catalog, "s.n", kind::A).0, 3);
}

#[test]
fn names_between_live_as_long_as_what_is_below() {
    let mut catalog = catalog(&["n"], vec![]);
    let one = || vec![instance("i", "10.0.0.1")];
    put(&mut catalog, 0, spec("a.b.c", "n", one()));
    put(&mut catalog, 1, spec("d.b.c", "n", one()));
    assert_eq!(told(&mut catalog, "b.c.n", kind::A).0, 0);
    catalog.put(0, None);
    assert_eq!(told(&mut catalog, "b.c.n", kind::A).0, 0);
    put(&mut catalog, 2, spec("c", "n", one()));
    assert_eq!(told(&mut catalog, "c.n", kind::A).1, "10.0.0.1");
    put(&mut catalog, 2, spec("c", "n", vec![]));
    assert_eq!(told(&mut catalog, "c.n", kind::A), (0, String::new()));
    catalog.put(1, None);
    for name in ["b.c.n", "c.n", "_tcp.n"] {
        assert_eq!(told(&mut catalog, name, kind::A).0, 3, "{name}");
    }
}

#[test]
fn of_services_whose_names_differ_by_case_the_older_is_answered() {
    let mut catalog = catalog(&["n"], vec![]);
    put(&mut catalog, 5, spec("S", "n", vec![instance("i", "10.0.0.5")]));
    put(&mut catalog, 3, spec("s", "n", vec![instance("i", "10.0.0.3")]));
    assert_eq!(told(&mut catalog, "s.n", kind::A).1, "10.0.0.3");
    catalog.put(3, None);
    assert_eq!(told(&mut catalog, "s.n", kind::A).1, "10.0.0.5");
    catalog.clear();
    assert_eq!(told(&mut catalog, "s.n", kind::A).0, 3);
}

#[test]
fn zones_come_and_go_before_and_after_their_services() {
    let mut catalog = Catalog::default();
    let one = |ip| vec![instance("i", ip)];
    put(&mut catalog, 0, spec("a", "n.example", one("10.0.0.1")));
    put(&mut catalog, 1, spec("a.n", "example", one("10.0.0.2")));
    put(&mut catalog, 2, spec("n", "example", one("10.0.0.3")));
    assert_eq!(told(&mut catalog, "a.n.example", kind::A).0, 5);
    zones(&mut catalog, &[("example", 7)]);
    assert_eq!(told(&mut catalog, "a.n.example", kind::A).1, "10.0.0.2");
    assert_eq!(told(&mut catalog, "n.example", kind::A).1, "10.0.0.3");
    assert_eq!(ask(&mut catalog, "x.example", kind::A).authority[0].ttl, 7);
    // The longer name wins, and hides what the shorter one has there.
    zones(&mut catalog, &[("example", 7), ("N.example", 9)]);
    assert_eq!(told(&mut catalog, "a.n.example", kind::A).1, "10.0.0.1");
    assert_eq!(told(&mut catalog, "n.example", kind::A), (0, String::new()));
    assert_eq!(ask(&mut catalog, "x.n.example", kind::A).authority[0].ttl, 9);
    assert_eq!(
        told(&mut catalog, "_services._dns-sd._udp.n.example", kind::PTR).1,
        "_a._tcp.n.example"
    );
    zones(&mut catalog, &[("example", 7), ("n.example", 1)]);
    assert_eq!(ask(&mut catalog, "x.n.example", kind::A).authority[0].ttl, 1);
    assert_eq!(
        told(&mut catalog, "_services._dns-sd._udp.n.example", kind::PTR).1,
        "_a._tcp.n.example"
    );
    zones(&mut catalog, &[("example", 7)]);
    assert_eq!(told(&mut catalog, "a.n.example", kind::A).1, "10.0.0.2");
    assert_eq!(told(&mut catalog, "n.example", kind::A).1, "10.0.0.3");
    zones(&mut catalog, &[]);
    assert_eq!(told(&mut catalog, "a.n.example", kind::A).0, 5);
}

#[test]
fn serial_numbers_grow() {
    let mut catalog = catalog(&["n"], vec![]);
    let serial = |catalog: &mut Catalog| {
        let bytes = ask(catalog, "n", kind::SOA).bytes;
        // Before four times and the OPT record.
        let at = bytes.len() - 11 - 20;
        u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
    };
    let first = serial(&mut catalog);
    assert_eq!(serial(&mut catalog), first + 1);
}
