//! Messages byte by byte, limits, and what strangers may send.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Name {
    Name::from_text(text).unwrap()
}

/// A query as `dig` sends it.
fn query_bytes(text: &str, kind: u16, edns: Option<u16>) -> Vec<u8> {
    let mut out = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    out.extend_from_slice(name(text).wire());
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
    if let Some(size) = edns {
        out.extend_from_slice(&[0, 0, 41]);
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(&[0, 0, 0x80, 0, 0, 0]);
    }
    out
}

fn query(text: &str, kind: u16, edns: Option<u16>) -> Query {
    Query::parse(&query_bytes(text, kind, edns)).unwrap()
}

fn srv(owner: &str, number: u16) -> Record {
    Record {
        name: name(owner),
        ttl: 1,
        data: Data::Srv {
            priority: 1,
            weight: 1,
            port: number,
            target: name(&format!("i{number}.{owner}")),
        },
    }
}

#[test]
fn a_query_is_read_with_its_case() {
    let query = query("OrDers.Internal", kind::SRV, Some(4096));
    assert_eq!((query.id, query.kind, query.class), (0x1234, kind::SRV, CLASS_IN));
    assert_eq!(query.name.to_string(), "OrDers.Internal");
    assert_eq!(query.name.lookup_key().as_deref(), Some("orders.internal"));
    assert!(query.recursion_desired);
    let edns = query.edns.unwrap();
    assert_eq!((edns.udp_size, edns.version, edns.dnssec_ok), (4096, 0, true));
    assert_eq!(query.udp_limit(), 1232);
}

#[test]
fn udp_limits_follow_the_client_within_bounds() {
    for (edns, limit) in [
        (None, 512),
        (Some(0), 512),
        (Some(700), 700),
        (Some(u16::MAX), 1232),
    ] {
        assert_eq!(query("a", kind::A, edns).udp_limit(), limit, "{edns:?}");
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
    let refused = |code, opcode| BadQuery::Answer {
        id: 0x1234,
        opcode,
        code,
    };
    let looped = {
        let mut bytes = with(12, 0xc0);
        bytes[13] = 12;
        bytes
    };
    let forward = {
        let mut bytes = with(12, 0xc0);
        bytes[13] = 20;
        bytes
    };
    let two_opts = {
        let mut bytes = query_bytes("a", kind::A, Some(512));
        let opt = bytes[bytes.len() - 11..].to_vec();
        bytes.extend_from_slice(&opt);
        bytes[11] = 2;
        bytes
    };
    for (what, bytes, expected) in [
        ("short", good[..11].to_vec(), BadQuery::Ignore),
        ("an answer", with(2, 0x81), BadQuery::Ignore),
        ("update", with(2, 5 << 3), refused(Code::NotImp, 5)),
        ("no question", with(5, 0), refused(Code::FormErr, 0)),
        ("two questions", with(5, 2), refused(Code::FormErr, 0)),
        ("answers", with(7, 1), refused(Code::FormErr, 0)),
        ("missing additional", with(11, 1), refused(Code::FormErr, 0)),
        ("many additional", with(11, 200), refused(Code::FormErr, 0)),
        ("label type", with(12, 0x41), refused(Code::FormErr, 0)),
        ("pointer to itself", looped, refused(Code::FormErr, 0)),
        ("pointer ahead", forward, refused(Code::FormErr, 0)),
        (
            "cut off",
            good[..good.len() - 1].to_vec(),
            refused(Code::FormErr, 0),
        ),
        ("two OPT records", two_opts, refused(Code::FormErr, 0)),
    ] {
        assert_eq!(Query::parse(&bytes), Err(expected), "{what}");
    }
    assert_eq!(BadQuery::Ignore.encode(), None);
    assert_eq!(
        refused(Code::NotImp, 5).encode(),
        Some([0x12, 0x34, 0x80 | 5 << 3, 4, 0, 0, 0, 0, 0, 0, 0, 0])
    );
}

#[test]
fn names_have_limits() {
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
}

#[test]
fn an_answer_points_back_at_the_question() {
    let query = query("oRders.internal", kind::A, None);
    let reply = Reply {
        code: Code::NoError,
        authoritative: true,
        answers: vec![Record {
            name: name("orders.internal"),
            ttl: 1,
            data: Data::A(Ipv4Addr::new(127, 0, 0, 1)),
        }],
        authority: vec![],
        additional: vec![],
    };
    let mut expected = vec![0x12, 0x34, 0x85, 0, 0, 1, 0, 1, 0, 0, 0, 0];
    expected.extend_from_slice(b"\x06oRders\x08internal\0\0\x01\0\x01");
    expected.extend_from_slice(b"\xc0\x0c\0\x01\0\x01\0\0\0\x01\0\x04\x7f\0\0\x01");
    assert_eq!(reply.encode(&query, 512), expected);
}

#[test]
fn a_negative_answer_carries_the_soa() {
    let query = query("x.internal", kind::AAAA, Some(1232));
    let mut reply = Reply::empty(Code::NxDomain);
    reply.authority.push(Record {
        name: name("internal"),
        ttl: 1,
        data: Data::Soa {
            primary: name("ns.internal"),
            mailbox: name("hostmaster.internal"),
            serial: 7,
            minimum: 1,
        },
    });
    let bytes = reply.encode(&query, 1232);
    assert_eq!(&bytes[2..12], [0x81, 3, 0, 1, 0, 0, 0, 1, 0, 1]);
    // `internal` of the question serves the owner, the primary and the mailbox.
    let soa = b"\xc0\x0e\0\x06\0\x01\0\0\0\x01\0\x26\x02ns\xc0\x0e\x0ahostmaster\xc0\x0e\0\0\0\x07";
    assert!(bytes.windows(soa.len()).any(|w| w == soa), "{bytes:02x?}");
    assert_eq!(bytes[bytes.len() - 11..], [0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
}

#[test]
fn an_extended_code_is_split() {
    let bytes = Reply::empty(Code::BadVers).encode(&query("a", kind::A, Some(512)), 512);
    assert_eq!((bytes[3], bytes[bytes.len() - 6]), (0, 1));
}

#[test]
fn many_answers_are_cut_at_a_record_and_flagged() {
    let query = query("orders.internal", kind::SRV, Some(1232));
    let reply = Reply {
        code: Code::NoError,
        authoritative: true,
        answers: (0..5_000).map(|n| srv("orders.internal", n)).collect(),
        authority: vec![],
        additional: vec![],
    };
    let udp = reply.encode(&query, query.udp_limit());
    assert!(udp.len() <= 1232 && udp.len() > 1100, "{}", udp.len());
    assert_eq!(udp[2] & 2, 2, "TC");
    let count = u16::from_be_bytes([udp[6], udp[7]]);
    assert!((20..60).contains(&count), "{count}");
    let tcp = reply.encode(&query, usize::MAX);
    assert!(tcp.len() <= 65_535 && tcp.len() > 64_000, "{}", tcp.len());
}

#[test]
fn additional_records_are_dropped_in_silence() {
    let query = query("orders.internal", kind::SRV, None);
    let additional = (0..50)
        .map(|n| Record {
            name: name(&format!("i{n}.orders.internal")),
            ttl: 1,
            data: Data::Aaaa(Ipv6Addr::LOCALHOST),
        })
        .collect();
    let reply = Reply {
        code: Code::NoError,
        authoritative: true,
        answers: vec![srv("orders.internal", 1)],
        authority: vec![],
        additional,
    };
    let bytes = reply.encode(&query, 512);
    assert!(bytes.len() <= 512);
    assert_eq!(bytes[2] & 2, 0, "no TC");
    assert!(u16::from_be_bytes([bytes[10], bytes[11]]) > 5);
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = Query::parse(&bytes);
    }

    #[test]
    fn damaged_queries_never_panic(at in 0usize..40, byte in any::<u8>(), cut in 0usize..60) {
        let mut bytes = query_bytes("a.bc.def", kind::A, Some(1232));
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte;
        }
        bytes.truncate(cut.max(12));
        if let Ok(query) = Query::parse(&bytes) {
            let reply = Reply::empty(Code::NxDomain).encode(&query, 512);
            prop_assert!(reply.len() <= 512);
        }
    }

    #[test]
    fn names_survive_compression(labels in proptest::collection::vec("[a-c]{1,2}", 1..6), others in proptest::collection::vec("[a-c]{1,2}(\\.[a-c]{1,2}){0,4}", 0..20)) {
        let asked = labels.join(".");
        let query = query(&asked, kind::A, None);
        let reply = Reply {
            code: Code::NoError,
            authoritative: true,
            answers: others.iter().map(|owner| Record { name: name(owner), ttl: 1, data: Data::A(Ipv4Addr::LOCALHOST) }).collect(),
            authority: vec![],
            additional: vec![],
        };
        let bytes = reply.encode(&query, 65_535);
        let (read, mut at) = Name::parse(&bytes, 12).unwrap();
        prop_assert_eq!(read.to_string(), asked);
        at += 4;
        for owner in &others {
            let (read, after) = Name::parse(&bytes, at).unwrap();
            prop_assert_eq!(read.to_string(), owner.as_str());
            at = after + 14;
        }
        prop_assert_eq!(at, bytes.len());
    }
}
