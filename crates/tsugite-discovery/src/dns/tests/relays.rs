//! Queries that are passed on, and answers that come back or are held back.

use super::*;

const RESOLVER: Client = Client {
    over_tcp: false,
    may_recurse: true,
};

#[test]
fn what_is_not_ours_is_for_others_to_answer() {
    let mut catalog = catalog(
        &["internal"],
        vec![spec("s", "internal", vec![instance("i", "10.0.0.1")])],
    );
    let snapshot = catalog.snapshot();
    let (mut scratch, mut out) = (Scratch::new(SplitMix64::new(1)), Vec::new());
    let mut outcome = |name, may_recurse, desired: bool| {
        let mut query = query_bytes(name, kind::PTR, None);
        query[2] = u8::from(desired);
        let client = Client {
            may_recurse,
            ..RESOLVER
        };
        let outcome = answer(&query, &snapshot, &SETTINGS, client, &mut scratch, &mut out);
        let message = read(&out);
        (outcome == Outcome::Foreign, message.code, message.recursion)
    };
    assert_eq!(outcome("example.com", true, true), (true, 2, true));
    assert_eq!(outcome("example.com", true, false), (false, 5, true));
    assert_eq!(outcome("example.com", false, true), (false, 5, false));
    assert_eq!(outcome("x.internal", true, true), (false, 3, true));
    // Of private addresses a resolver answers for those it knows.
    assert_eq!(outcome("1.0.0.10.in-addr.arpa", true, true), (false, 0, true));
    assert_eq!(outcome("2.0.0.10.in-addr.arpa", true, true), (true, 2, true));
    assert_eq!(outcome("2.0.0.10.in-addr.arpa", false, true), (false, 3, false));
}

#[test]
fn a_question_is_passed_on_in_random_case_and_under_a_new_id() {
    let bytes = query_bytes("www.example.com", kind::A, Some(4096));
    let query = Query::parse(&bytes).unwrap();
    let sent = relay::question(&query, 0xabcd, &mut SplitMix64::new(3));
    let other = relay::question(&query, 0xabcd, &mut SplitMix64::new(4));
    assert_ne!(sent, other);
    assert_eq!(sent[..2], [0xab, 0xcd]);
    let read = Query::parse(&sent).unwrap();
    assert_eq!(
        (read.name(), read.kind, read.recursion_desired()),
        (query.name(), kind::A, true)
    );
    let edns = read.edns.unwrap();
    assert_eq!((edns.udp_size, edns.dnssec_ok), (1232, true));
    let plain = query_bytes("www.example.com", kind::A, None);
    let sent = relay::question(&Query::parse(&plain).unwrap(), 1, &mut SplitMix64::new(3));
    assert_eq!(sent.len(), plain.len());
}

#[test]
fn only_the_answer_to_the_question_is_taken() {
    use relay::Heard::{Answer, AskOverTcp, Noise};
    let bytes = query_bytes("www.example.com", kind::A, None);
    let query = Query::parse(&bytes).unwrap();
    let sent = relay::question(&query, 0xabcd, &mut SplitMix64::new(3));
    let with = |at: usize, byte: u8| {
        let mut heard = sent.clone();
        heard[2] = 0x81;
        heard[at] = byte;
        heard
    };
    let good = with(2, 0x81);
    for (what, heard, over_tcp, expected) in [
        ("the answer", good.clone(), false, Answer),
        ("another id", with(1, 0), false, Noise),
        ("a query", sent.clone(), false, Noise),
        ("another name", with(13, b'x'), false, Noise),
        ("another type", with(good.len() - 3, 28), false, Noise),
        ("another case", with(13, sent[13] ^ 0x20), false, AskOverTcp),
        ("another case", with(13, sent[13] ^ 0x20), true, Answer),
        ("cut", with(2, 0x83), false, AskOverTcp),
        ("cut", with(2, 0x83), true, Answer),
        ("no question", with(5, 0), false, Noise),
        ("half", good[..20].to_vec(), false, Noise),
        ("nothing", vec![], true, Noise),
    ] {
        assert_eq!(relay::judge(&query, &sent, &heard, over_tcp), expected, "{what}");
    }
}

#[test]
fn an_answer_is_delivered_as_ours() {
    let bytes = query_bytes("wWw.example.com", kind::A, Some(512));
    let query = Query::parse(&bytes).unwrap();
    let mut heard = relay::question(&query, 0xabcd, &mut SplitMix64::new(3));
    (heard[2], heard[3]) = (0x85, 0x23);
    let mut long = heard.clone();
    long.extend_from_slice(&[0; 600]);
    relay::deliver(&query, &mut heard, 512);
    assert_eq!(heard[..4], [0x12, 0x34, 0x81, 0xa3]);
    let message = read(&heard);
    assert_eq!(
        (message.question.as_str(), message.truncated, message.recursion),
        ("wWw.example.com", false, true)
    );
    relay::deliver(&query, &mut long, 512);
    let message = read(&long);
    assert!(message.truncated && message.bytes.len() == bytes.len());
}

#[test]
fn a_slip_says_come_back_over_tcp_and_nothing_else() {
    let mut catalog = catalog(&["n"], vec![spec("s", "n", vec![instance("i", "10.0.0.1")])]);
    for (name, edns) in [("s.n", None), ("x.n", Some(1232))] {
        let query = query_bytes(name, kind::A, edns);
        let mut bytes = ask_as(&mut catalog, &query, &SETTINGS, OVER_UDP).bytes;
        relay::slip(&mut bytes, &query);
        let message = read(&bytes);
        assert!(message.truncated && message.authoritative && message.code == 0);
        assert!(message.answers.is_empty() && bytes.len() <= query.len());
    }
    let mut refused = vec![0; 12];
    relay::slip(&mut refused, &[0; 12]);
    assert_eq!(refused.len(), 12);
}
