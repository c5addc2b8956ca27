//! Answering a query from the directory.

use tsugite_base::rng::SplitMix64;
use tsugite_discovery::dns::{CLASS_ANY, CLASS_IN, Code, Data, Name, Query, Record, Reply, kind};
use tsugite_registry::{RecordType, RoutingPolicy};

use super::directory::{Directory, Found, Instance, Service, Zone};

/// Priority and weight of every SRV record, as Cloud Map gives them.
const SRV_RANK: u16 = 1;

/// Answers a query with at most `max_answers` instances, chosen by `random`.
pub(super) fn answer(
    directory: &Directory,
    query: &Query,
    max_answers: usize,
    random: &mut SplitMix64,
) -> Reply {
    if query.edns.is_some_and(|edns| edns.version > 0) {
        return Reply::empty(Code::BadVers);
    }
    if query.class != CLASS_IN && query.class != CLASS_ANY || query.kind == kind::AXFR {
        return Reply::empty(Code::Refused);
    }
    let Some(name) = query.name.lookup_key() else {
        return Reply::empty(Code::Refused);
    };
    let mut reply = Reply::empty(Code::NoError);
    let zone = match directory.find(&name) {
        Found::Nowhere => return Reply::empty(Code::Refused),
        Found::Nothing(zone) => {
            reply.code = Code::NxDomain;
            zone
        }
        Found::Between(zone) => {
            let apex = query.name.wire().eq_ignore_ascii_case(zone.name.wire());
            if apex && matches!(query.kind, kind::SOA | kind::ANY) {
                reply.answers.push(soa(zone, directory.serial()));
            }
            zone
        }
        Found::Service(zone, service) => {
            let chosen = choose(service, max_answers, random);
            of_service(&mut reply, query, service, &chosen);
            zone
        }
        Found::Instance(zone, service, instance) => {
            of_instance(&mut reply, query, service, instance);
            zone
        }
    };
    reply.authoritative = true;
    if reply.answers.is_empty() {
        reply.authority.push(soa(zone, directory.serial()));
    }
    reply
}

/// The zone's start, which makes negative answers short-lived.
fn soa(zone: &Zone, serial: u32) -> Record {
    let under = |label: &str| Name::under(label, &zone.name).unwrap_or_else(|_| zone.name.clone());
    Record {
        name: zone.name.clone(),
        ttl: zone.soa_ttl,
        data: Data::Soa {
            primary: under("ns"),
            mailbox: under("hostmaster"),
            serial,
            minimum: zone.soa_ttl,
        },
    }
}

/// Some of the instances, at random and in random order: one by weight for `WEIGHTED`, up to the limit for
/// `MULTIVALUE`.
fn choose<'d>(service: &'d Service, max_answers: usize, random: &mut SplitMix64) -> Vec<&'d Instance> {
    if service.routing == RoutingPolicy::Weighted {
        return by_weight(&service.instances, random).into_iter().collect();
    }
    let mut all: Vec<_> = service.instances.iter().collect();
    let count = all.len().min(max_answers);
    for at in 0..count {
        let left = (all.len() - at) as u64;
        all.swap(at, at + usize::try_from(random.below(left)).unwrap_or_default());
    }
    all.truncate(count);
    all
}

/// One of them; those without weight only if none has any.
fn by_weight<'d>(instances: &'d [Instance], random: &mut SplitMix64) -> Option<&'d Instance> {
    let sum: u64 = instances.iter().map(|i| u64::from(i.weight)).sum();
    if sum == 0 {
        let at = random.below((instances.len() as u64).max(1));
        return instances.get(usize::try_from(at).unwrap_or_default());
    }
    let mut at = random.below(sum);
    instances.iter().find(|instance| {
        let weight = u64::from(instance.weight);
        let here = at < weight;
        at = at.saturating_sub(weight);
        here
    })
}

fn of_service(reply: &mut Reply, query: &Query, service: &Service, chosen: &[&Instance]) {
    if let Some(ttl) = service.ttl(RecordType::Cname) {
        // Whatever is asked for, the answer is under another name (RFC 1034 section 3.6.2).
        let named = chosen.iter().find_map(|instance| instance.cname.as_deref());
        reply.answers.extend(named.map(|target| Record {
            name: service.name.clone(),
            ttl,
            data: Data::Cname(target.clone()),
        }));
        return;
    }
    // ANY gets one type, which RFC 8482 allows and amplification dislikes.
    let first = [RecordType::A, RecordType::Aaaa, RecordType::Srv]
        .into_iter()
        .find(|kind| service.ttl(*kind).is_some());
    let wanted = match query.kind {
        kind::A => Some(RecordType::A),
        kind::AAAA => Some(RecordType::Aaaa),
        kind::SRV => Some(RecordType::Srv),
        kind::ANY => first,
        _ => None,
    };
    let Some((wanted, ttl)) = wanted.and_then(|wanted| Some((wanted, service.ttl(wanted)?))) else {
        return;
    };
    for instance in chosen {
        let data = match wanted {
            RecordType::A => instance.ipv4.map(Data::A),
            RecordType::Aaaa => instance.ipv6.map(Data::Aaaa),
            RecordType::Srv => srv(instance),
            RecordType::Cname => None,
        };
        let record = |data| Record {
            name: service.name.clone(),
            ttl,
            data,
        };
        // Instances may share an address; a set holds each record once (RFC 2181 section 5).
        if let Some(record) = data.map(record).filter(|r| !reply.answers.contains(r)) {
            reply.answers.push(record);
            if wanted == RecordType::Srv {
                reply.additional.extend(hosts(instance, ttl));
            }
        }
    }
}

fn srv(instance: &Instance) -> Option<Data> {
    let (host, port) = (instance.host.as_ref()?, instance.port?);
    Some(Data::Srv {
        priority: SRV_RANK,
        weight: SRV_RANK,
        port,
        target: Name::clone(host),
    })
}

/// The addresses of an instance under its own name: what a client that has its SRV record asks next.
fn hosts(instance: &Instance, ttl: u32) -> impl Iterator<Item = Record> {
    let addresses = [instance.ipv4.map(Data::A), instance.ipv6.map(Data::Aaaa)];
    let host = instance.host.clone();
    addresses.into_iter().flatten().filter_map(move |data| {
        Some(Record {
            name: Name::clone(host.as_ref()?),
            ttl,
            data,
        })
    })
}

fn of_instance(reply: &mut Reply, query: &Query, service: &Service, instance: &Instance) {
    let ttl = |kind| service.ttl(kind).or(service.ttl(RecordType::Srv));
    let ttls = (ttl(RecordType::A), ttl(RecordType::Aaaa));
    let data = match (query.kind, ttls) {
        (kind::A | kind::ANY, (Some(ttl), _)) => instance.ipv4.map(|ip| (ttl, Data::A(ip))),
        (kind::AAAA, (_, Some(ttl))) => instance.ipv6.map(|ip| (ttl, Data::Aaaa(ip))),
        _ => None,
    };
    if let (Some((ttl, data)), Some(host)) = (data, &instance.host) {
        reply.answers.push(Record {
            name: Name::clone(host),
            ttl,
            data,
        });
    }
}
