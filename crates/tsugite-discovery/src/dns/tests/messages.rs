//! What strangers may send, and what a message may be.

use proptest::prelude::*;

use super::*;

#[test]
fn a_query_is_read_with_its_case() {
    let bytes = query_bytes("OrDers.Internal", kind::SRV, Some(4096));
    let query = Query::parse(&bytes).unwrap();
    assert_eq!((query.kind, query.class), (kind::SRV, CLASS_IN));
    assert_eq!(query.name(), b"\x06orders\x08internal\0");
    assert_eq!(&query.question()[..17], b"\x06OrDers\x08Internal\0");
    assert!(query.recursion_desired());
    let edns = query.edns.unwrap();
    assert_eq!((edns.udp_size, edns.version, edns.dnssec_ok), (4096, 0, true));
    assert_eq!(query.udp_limit(1232), 1232);
}

#[test]
fn udp_limits_follow_the_client_within_bounds() {
    for (edns, limit) in [
        (None, 512),
        (Some(0), 512),
        (Some(700), 700),
        (Some(u16::MAX), 1232),
    ] {
        let bytes = query_bytes("a", kind::A, edns);
        assert_eq!(Query::parse(&bytes).unwrap().udp_limit(1232), limit, "{edns:?}");
    }
}

#[test]
fn bad_queries_are_ignored_or_answered() {
    let good = query_bytes("a.b", kind::A, None);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let pointer = |to: u8| {
        let mut bytes = with(12, 0xc0);
        bytes[13] = to;
        bytes
    };
    let opt = |options: &[u8], owner: &[u8]| {
        let mut bytes = with(11, 1);
        bytes.extend_from_slice(owner);
        bytes.extend_from_slice(&[0, 41, 2, 0, 0, 0, 0, 0, 0, u8::try_from(options.len()).unwrap()]);
        bytes.extend_from_slice(options);
        bytes
    };
    let two_opts = {
        let mut bytes = query_bytes("a", kind::A, Some(512));
        let opt = bytes[bytes.len() - 11..].to_vec();
        bytes.extend_from_slice(&opt);
        bytes[11] = 2;
        bytes
    };
    let long_name = query_for(&[&b"\x3f"[..], &[b'x'; 63]].concat().repeat(4), kind::A, None);
    const IGNORED: Option<u8> = None;
    const FORM_ERR: Option<u8> = Some(1);
    for (what, bytes, code) in [
        ("empty", vec![], IGNORED),
        ("short", good[..11].to_vec(), IGNORED),
        ("an answer", with(2, 0x81), IGNORED),
        ("update", with(2, 5 << 3), Some(4)),
        ("no question", with(5, 0), FORM_ERR),
        ("two questions", with(5, 2), FORM_ERR),
        ("answers", with(7, 1), FORM_ERR),
        ("authorities", with(9, 1), FORM_ERR),
        ("missing additional", with(11, 1), FORM_ERR),
        ("many additional", with(11, 200), FORM_ERR),
        ("label type", with(12, 0x41), FORM_ERR),
        ("pointer to itself", pointer(12), FORM_ERR),
        ("pointer into the header", pointer(0), FORM_ERR),
        ("pointer ahead", pointer(20), FORM_ERR),
        ("cut off", good[..good.len() - 1].to_vec(), FORM_ERR),
        ("name of 256 bytes", long_name, FORM_ERR),
        ("two OPT records", two_opts, FORM_ERR),
        ("OPT with a name", opt(&[], b"\x01x\0"), FORM_ERR),
        ("OPT with a pointer", opt(&[], b"\xc0\x0c"), FORM_ERR),
        ("half an option", opt(&[0, 1, 0], b"\0"), FORM_ERR),
        (
            "an option that is longer than it is",
            opt(&[0, 1, 0, 9, 1], b"\0"),
            FORM_ERR,
        ),
        ("a question for OPT", query_bytes("a", kind::OPT, None), FORM_ERR),
    ] {
        let expected = match code {
            None => BadQuery::Ignore,
            Some(code) => {
                let operation = bytes[2] & 0x79;
                BadQuery::Answer([0x12, 0x34, 0x80 | operation, code, 0, 0, 0, 0, 0, 0, 0, 0])
            }
        };
        assert_eq!(Query::parse(&bytes).err(), Some(expected), "{what}");
    }
    for (what, bytes) in [
        (
            "unknown options",
            opt(&[0, 10, 0, 2, 1, 2, 0xff, 0xff, 0, 0], b"\0"),
        ),
        ("bytes at the end", [&good[..], &[1, 2, 3]].concat()),
    ] {
        assert!(Query::parse(&bytes).is_ok(), "{what}");
    }
}

#[test]
fn names_have_limits() {
    let name = |text: &str| Name::from_text(text).unwrap();
    let long_label = "x".repeat(64);
    let longest = [&"x".repeat(63)[..]; 3].join(".") + "." + &"x".repeat(61);
    assert_eq!(name(&longest).wire().len(), 255);
    for bad in ["a..b", ".a", &long_label, &format!("{longest}x")] {
        assert!(Name::from_text(bad).is_err(), "{bad}");
    }
    assert_eq!(name(".").wire(), [0]);
    assert_eq!(name("").to_string(), ".");
    assert_eq!(Name::under("i.1", &name("a.b")).unwrap(), name("i.1.a.b"));
    assert!(Name::under("y", &name(&longest)).is_err());
    assert!(Name::under("", &name("a")).is_err());
    let query = query_for(name(&longest).wire(), kind::A, None);
    assert_eq!(Query::parse(&query).unwrap().name().len(), 255);
}

#[test]
fn an_answer_byte_by_byte() {
    let mut catalog = catalog(
        &["internal"],
        vec![spec("orders", "internal", vec![instance("i", "127.0.0.1")])],
    );
    let query = query_bytes("oRders.internal", kind::A, None);
    let mut expected = vec![0x12, 0x34, 0x85, 0, 0, 1, 0, 1, 0, 0, 0, 0];
    expected.extend_from_slice(b"\x06oRders\x08internal\0\0\x01\0\x01");
    expected.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x05\0\x04\x7f\0\0\x01");
    assert_eq!(ask_as(&mut catalog, &query, &SETTINGS, OVER_UDP).bytes, expected);

    let missing = ask(&mut catalog, "x.internal", kind::AAAA).bytes;
    assert_eq!(&missing[2..12], [0x85, 3, 0, 1, 0, 0, 0, 1, 0, 1]);
    // `internal` of the question serves the owner, the primary and the mailbox.
    let soa = b"\xc0\x0e\0\x06\0\x01\0\0\0\x01\0\x26\x02ns\xc0\x0e\x0ahostmaster\xc0\x0e\0\0\0\x02";
    assert!(missing.windows(soa.len()).any(|w| w == soa), "{missing:02x?}");
    assert_eq!(
        missing[missing.len() - 11..],
        [0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]
    );
}

#[test]
fn what_is_not_served_is_told_so() {
    let mut catalog = catalog(&["internal"], vec![]);
    let version_1 = |mut bytes: Vec<u8>| {
        let at = bytes.len() - 5;
        bytes[at] = 1;
        bytes
    };
    let class = |class: u8| {
        let mut bytes = query_bytes("internal", kind::SOA, None);
        let at = bytes.len() - 1;
        bytes[at] = class;
        bytes
    };
    for (what, bytes, code) in [
        (
            "EDNS 1",
            version_1(query_bytes("internal", kind::A, Some(512))),
            Code::BadVers,
        ),
        ("class CH", class(3), Code::Refused),
        ("class ANY", class(255), Code::NoError),
        ("AXFR", query_bytes("internal", kind::AXFR, None), Code::Refused),
        ("IXFR", query_bytes("internal", kind::IXFR, None), Code::Refused),
        ("TKEY", query_bytes("internal", 249, None), Code::NotImp),
        (
            "another's name",
            query_bytes("example.com", kind::A, None),
            Code::Refused,
        ),
        ("the root", query_bytes(".", kind::NS, None), Code::Refused),
    ] {
        let message = ask_as(&mut catalog, &bytes, &SETTINGS, OVER_UDP);
        assert_eq!(
            (message.code, message.authoritative),
            (code.number(), false),
            "{what}"
        );
    }
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Query::parse(&bytes);
    }

    #[test]
    fn damaged_queries_get_readable_answers(at in 0usize..60, byte in any::<u8>(), cut in 12usize..70) {
        let mut catalog = catalog(&["internal"], vec![spec("orders", "internal", vec![instance("i", "10.0.0.1")])]);
        let mut bytes = query_bytes("i._orders._tcp.internal", kind::SRV, Some(1232));
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte;
        }
        bytes.truncate(cut);
        let mut out = Vec::new();
        let mut scratch = Scratch::new(SplitMix64::new(7));
        let snapshot = catalog.snapshot();
        if answer(&bytes, &snapshot, &SETTINGS, OVER_UDP, &mut scratch, &mut out) != Outcome::Ignored {
            prop_assert!(out.len() <= 1232);
            prop_assert_eq!(&out[..2], &bytes[..2]);
            read(&out);
        }
    }
}
