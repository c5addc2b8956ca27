//! DNS messages.

use std::net::{Ipv4Addr, Ipv6Addr};

use tsugite_discovery::dns::{Code, Data, Name, Query, Record, Reply};

use crate::{Edits, damage};

/// `_http._tcp.web.shop.internal` SRV with EDNS.
const EXAMPLE: &[u8] =
    b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x05_http\x04_tcp\x03web\x04shop\x08internal\x00\
\x00\x21\x00\x01\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00";

#[test]
fn queries_are_read_or_refused_and_answers_fit() {
    bolero::check!()
        .with_type::<(bool, Vec<u8>, Edits, u8)>()
        .for_each(|(raw, bytes, edits, answers)| {
            let message = if *raw {
                bytes.clone()
            } else {
                damage(EXAMPLE, edits)
            };
            let Ok(query) = Query::parse(&message) else { return };
            let _ = query.name.lookup_key();
            let mut reply = Reply::empty(Code::NoError);
            for number in 0..*answers {
                let target =
                    Name::under(&format!("i{number}"), &query.name).unwrap_or_else(|_| query.name.clone());
                let data = Data::Srv {
                    priority: 1,
                    weight: 1,
                    port: 80,
                    target: target.clone(),
                };
                reply.answers.push(Record {
                    name: query.name.clone(),
                    ttl: 5,
                    data,
                });
                let a = Data::A(Ipv4Addr::new(192, 0, 2, number));
                reply.additional.push(Record {
                    name: target.clone(),
                    ttl: 5,
                    data: a,
                });
                reply.additional.push(Record {
                    name: target,
                    ttl: 5,
                    data: Data::Aaaa(Ipv6Addr::LOCALHOST),
                });
            }
            let limit = query.udp_limit();
            let encoded = reply.encode(&query, limit);
            assert!(
                encoded.len() <= limit,
                "{} bytes for a limit of {limit}",
                encoded.len()
            );
            assert_eq!(encoded[..2], message[..2], "the id comes back");
            assert!(Query::parse(&encoded).is_err(), "a reply is no query");
        });
}

#[test]
fn names_survive_the_wire() {
    bolero::check!().with_type::<String>().for_each(|text| {
        let Ok(name) = Name::from_text(text) else { return };
        assert!(name.wire().len() <= 255);
        let mut message = EXAMPLE[..12].to_vec();
        message[11] = 0; // No EDNS.
        message.extend_from_slice(name.wire());
        message.extend_from_slice(&[0, 1, 0, 1]);
        let query = Query::parse(&message).expect("a query for a valid name");
        assert_eq!(query.name, name);
    });
}
