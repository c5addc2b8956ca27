//! Queries and answers byte by byte, read by a second reader that shares nothing with the writer.

mod answers;
mod changes;
mod messages;
mod relays;
mod sizes;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use tsugite_base::rng::SplitMix64;

use super::*;

pub(super) const SETTINGS: Settings = Settings {
    max_answers: 8,
    udp_size: UDP_SIZE,
    server: Vec::new(),
    hidden: &["ADDRESS"],
};

pub(super) const OVER_UDP: Client = Client {
    over_tcp: false,
    may_recurse: false,
};

pub(super) const OVER_TCP: Client = Client {
    over_tcp: true,
    may_recurse: false,
};

/// A query as `dig` sends it.
pub(super) fn query_bytes(text: &str, kind: u16, edns: Option<u16>) -> Vec<u8> {
    query_for(Name::from_text(text).unwrap().wire(), kind, edns)
}

pub(super) fn query_for(name: &[u8], kind: u16, edns: Option<u16>) -> Vec<u8> {
    let mut out = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    out.extend_from_slice(name);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&CLASS_IN.to_be_bytes());
    if let Some(size) = edns {
        out.extend_from_slice(&[0, 0, 41]);
        out.extend_from_slice(&size.to_be_bytes());
        out.extend_from_slice(&[0, 0, 0x80, 0, 0, 0]);
    }
    out
}

/// An instance at an address that listens at port 8001.
pub(super) fn instance(id: &str, ip: &str) -> Instance {
    let ip: IpAddr = ip.parse().unwrap();
    let (v4, v6) = match ip {
        IpAddr::V4(ip) => (Some(ip), None),
        IpAddr::V6(ip) => (None, Some(ip)),
    };
    Instance {
        id: id.into(),
        ipv4: v4,
        ipv6: v6,
        port: Some(8001),
        cname: None,
        weight: None,
        protocol: "http",
        answered: true,
        attributes: Arc::new(BTreeMap::new()),
    }
}

pub(super) const ALL: [Option<u32>; 4] = [Some(5), Some(5), Some(5), None];

pub(super) fn spec<'a>(name: &'a str, zone: &'a str, instances: Vec<Instance>) -> ServiceSpec<'a> {
    ServiceSpec {
        name,
        zone,
        routing: Routing::Multivalue,
        ttls: ALL,
        default_weight: 100,
        instances,
    }
}

/// A catalog of these zones and services, numbered from 0.
pub(super) fn catalog(zones: &[&str], services: Vec<ServiceSpec<'_>>) -> Catalog {
    let mut catalog = Catalog::default();
    let zones: Vec<_> = zones.iter().map(|name| ZoneSpec { name, soa_ttl: 1 }).collect();
    catalog.set_zones(&zones);
    for (id, spec) in (0..).zip(services) {
        catalog.put(id, Some(Service::new(spec).unwrap()));
    }
    catalog
}

/// A record as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) kind: u16,
    pub(super) ttl: u32,
    pub(super) data: String,
}

/// A message that was read to its last byte.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) bytes: Vec<u8>,
    pub(super) code: u16,
    pub(super) authoritative: bool,
    pub(super) truncated: bool,
    pub(super) recursion: bool,
    pub(super) question: String,
    pub(super) answers: Vec<Record>,
    pub(super) authority: Vec<Record>,
    pub(super) additional: Vec<Record>,
}

impl Message {
    /// The data of the answers, sorted.
    pub(super) fn told(&self) -> Vec<&str> {
        let mut told: Vec<_> = self.answers.iter().map(|record| record.data.as_str()).collect();
        told.sort_unstable();
        told
    }
}

/// Asks over UDP with EDNS.
pub(super) fn ask(catalog: &mut Catalog, name: &str, kind: u16) -> Message {
    ask_as(catalog, &query_bytes(name, kind, Some(4096)), &SETTINGS, OVER_UDP)
}

pub(super) fn ask_as(catalog: &mut Catalog, query: &[u8], settings: &Settings, client: Client) -> Message {
    let mut out = vec![1, 2, 3];
    let mut scratch = Scratch::new(SplitMix64::new(7));
    let outcome = answer(
        query,
        &catalog.snapshot(),
        settings,
        client,
        &mut scratch,
        &mut out,
    );
    assert_ne!(outcome, Outcome::Ignored);
    read(&out)
}

/// Reads a message; panics at anything that is not as it should be.
pub(super) fn read(bytes: &[u8]) -> Message {
    let mut at = 12;
    let count = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    assert_eq!(bytes[2] & 0x80, 0x80, "QR");
    let mut question = String::new();
    if count(4) == 1 {
        question = read_name(bytes, &mut at);
        at += 4;
    }
    let mut extended = 0;
    let mut sections = [6, 8, 10].map(|section| {
        let records = (0..count(section)).map(|_| read_record(bytes, &mut at));
        records.collect::<Vec<_>>()
    });
    assert_eq!(at, bytes.len(), "bytes after the last record: {bytes:02x?}");
    sections[2].retain(|record| {
        if record.kind == kind::OPT {
            assert_eq!(record.name, ".");
            extended = u16::try_from(record.ttl >> 24).unwrap();
        }
        record.kind != kind::OPT
    });
    let [answers, authority, additional] = sections;
    Message {
        bytes: bytes.to_vec(),
        code: extended << 4 | u16::from(bytes[3] & 15),
        authoritative: bytes[2] & 4 != 0,
        truncated: bytes[2] & 2 != 0,
        recursion: bytes[3] & 0x80 != 0,
        question,
        answers,
        authority,
        additional,
    }
}

fn read_name(bytes: &[u8], at: &mut usize) -> String {
    let (mut text, mut here, mut jumped) = (String::new(), *at, false);
    loop {
        let length = usize::from(bytes[here]);
        if length >= 0xc0 {
            let target = (length & 0x3f) << 8 | usize::from(bytes[here + 1]);
            assert!(target < here, "a pointer ahead");
            if !jumped {
                *at = here + 2;
            }
            (here, jumped) = (target, true);
            continue;
        }
        assert!(length < 64);
        if length == 0 {
            if !jumped {
                *at = here + 1;
            }
            return if text.is_empty() { ".".into() } else { text };
        }
        if !text.is_empty() {
            text.push('.');
        }
        let label = String::from_utf8_lossy(&bytes[here + 1..here + 1 + length]);
        text.push_str(&label.replace('.', "\\."));
        here += 1 + length;
    }
}

fn read_record(bytes: &[u8], at: &mut usize) -> Record {
    let name = read_name(bytes, at);
    let u16_at = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    let u32_at = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let (kind, ttl, length) = (u16_at(*at), u32_at(*at + 4), usize::from(u16_at(*at + 8)));
    assert!(kind == kind::OPT || u16_at(*at + 2) == CLASS_IN);
    let (begin, end) = (*at + 10, *at + 10 + length);
    let mut here = begin;
    let data = match kind {
        kind::A => IpAddr::from(<[u8; 4]>::try_from(&bytes[begin..end]).unwrap()).to_string(),
        kind::AAAA => IpAddr::from(<[u8; 16]>::try_from(&bytes[begin..end]).unwrap()).to_string(),
        kind::SRV => {
            here += 6;
            let target = read_name(bytes, &mut here);
            let [a, b, c] = [begin, begin + 2, begin + 4].map(u16_at);
            format!("{a} {b} {c} {target}")
        }
        kind::CNAME | kind::NS | kind::PTR => read_name(bytes, &mut here),
        kind::SOA => {
            let (primary, mailbox) = (read_name(bytes, &mut here), read_name(bytes, &mut here));
            here += 20;
            format!("{primary} {mailbox} {}", u32_at(here - 4))
        }
        kind::TXT => {
            let mut strings = Vec::new();
            while here < end {
                let length = usize::from(bytes[here]);
                strings.push(String::from_utf8(bytes[here + 1..here + 1 + length].to_vec()).unwrap());
                here += 1 + length;
            }
            strings.join("|")
        }
        kind::OPT => {
            assert_eq!(length, 0);
            String::new()
        }
        other => panic!("a record of type {other}"),
    };
    assert!(
        here == begin || here == end,
        "data that is longer or shorter than it says"
    );
    *at = end;
    Record {
        name,
        kind,
        ttl,
        data,
    }
}
