//! The records of an answer.

use super::answer::{Scratch, Settings};
use super::catalog::Hosts;
use super::name::LABEL_BYTES;
use super::resolve::{Found, NS, What};
use super::service::{Published, Routing, SRV_PRIORITY, Service, is_kind_name};
use super::sets::Set;
use super::trie::Trie;
use super::writer::{Section, Writer};
use super::{Instance, Name, Snapshot, kind};

/// Seconds that a secondary would wait, retry and keep; we have none, so these only have to be sane.
const SOA_TIMES: [u32; 3] = [3600, 600, 86_400];
/// Longest string of a TXT record.
const STRING_BYTES: usize = 255;
/// Bytes of a record before its data.
const FIXED: usize = 12;
/// TTL in seconds of what says where to look: names of servers, zones and kinds of services.
const INFRASTRUCTURE_TTL: u32 = 1;

/// The name that is being answered.
#[derive(Clone, Copy)]
pub(super) struct Here<'n> {
    /// Where it lies in the message, uncompressed.
    pub(super) at: usize,
    /// In wire form and lower case.
    pub(super) name: &'n [u8],
}

/// How it goes on.
pub(super) enum Step<'s> {
    /// It is answered.
    Done,
    /// There is nothing to answer.
    Nothing,
    /// The same question is to be answered for another name, which lies in the message at that place.
    Alias(usize, &'s Name),
}

/// Writes the answer to one question.
pub(super) struct Composer<'s, 'o, 'w> {
    pub(super) kind: u16,
    pub(super) from: &'s Snapshot,
    pub(super) settings: &'s Settings,
    pub(super) scratch: &'w mut Scratch,
    pub(super) writer: Writer<'o>,
}

impl<'s> Composer<'s, '_, '_> {
    /// Answers for what was found at a name.
    pub(super) fn found(&mut self, here: Here<'_>, found: &Found<'s>) -> Step<'s> {
        let before = self.writer.answers();
        let zone_at = here.at + here.name.len() - found.origin;
        match found.what {
            What::Missing | What::Between => {}
            What::Apex => self.apex(here, found.soa_ttl),
            What::NameServer => self.server(Section::Answer, here.at),
            What::Service(service) => return self.service(here, service),
            What::Protocol(service, protocol) => {
                if matches!(self.kind, kind::SRV | kind::ANY) {
                    self.srv_records(here, service, Some(protocol));
                }
            }
            What::Kind(service) => match self.kind {
                kind::PTR | kind::ANY => self.advertise(here, service),
                kind::SRV => self.srv_records(here, service, None),
                _ => {}
            },
            What::Instance(service, instance) => self.instance(here, service, instance),
            What::Advertised(service, instance) => match self.kind {
                kind::SRV | kind::ANY => {
                    self.srv(Section::Answer, here.at, service, instance);
                }
                kind::TXT => self.txt(Section::Answer, here.at, service, instance),
                _ => {}
            },
            What::Kinds(kinds) => self.kinds(here, zone_at, kinds),
            What::Browse => {
                if self.wants(kind::PTR) {
                    self.writer
                        .record(Section::Answer, here.at, kind::PTR, INFRASTRUCTURE_TTL, |w| {
                            w.pointer(zone_at);
                        });
                }
            }
            What::Hosts(hosts) => {
                self.hosts(here, hosts);
                if found.origin == here.name.len() && self.kind != kind::ANY {
                    self.apex(here, found.soa_ttl);
                }
            }
        }
        self.step(before)
    }

    /// Whether anything was answered since there were so many answers.
    const fn step(&self, before: u16) -> Step<'s> {
        if self.writer.answers() > before || self.writer.is_truncated() {
            Step::Done
        } else {
            Step::Nothing
        }
    }

    const fn wants(&self, kind: u16) -> bool {
        self.kind == kind || self.kind == kind::ANY
    }

    /// How many records of at least `bytes` can be wanted: one more than fit shows that not all did.
    fn most(&self, bytes: usize) -> usize {
        self.writer.room() / (FIXED + bytes) + 1
    }

    /// The zone's start, which makes negative answers short-lived; its name lies at `at`.
    pub(super) fn soa(&mut self, section: Section, at: usize, ttl: u32) {
        let serial = self.from.serial;
        self.writer.record(section, at, kind::SOA, ttl, |w| {
            w.bytes(NS);
            w.pointer(at);
            w.counted(b"hostmaster");
            w.pointer(at);
            w.u32(serial);
            for seconds in SOA_TIMES {
                w.u32(seconds);
            }
            w.u32(ttl);
        });
    }

    fn apex(&mut self, here: Here<'_>, ttl: u32) {
        match self.kind {
            kind::SOA | kind::ANY => self.soa(Section::Answer, here.at, ttl),
            kind::NS => {
                let target = self.writer.position() + FIXED;
                self.writer
                    .record(Section::Answer, here.at, kind::NS, INFRASTRUCTURE_TTL, |w| {
                        w.bytes(NS);
                        w.pointer(here.at);
                    });
                self.server(Section::Additional, target);
            }
            _ => {}
        }
    }

    /// Addresses of this server. `ANY` gets one type, which RFC 8482 allows and amplification dislikes.
    fn server(&mut self, section: Section, at: usize) {
        let settings = self.settings;
        let mut asked = (section == Section::Answer).then_some(self.kind);
        for address in &settings.server {
            let kind = if address.is_ipv4() { kind::A } else { kind::AAAA };
            if asked == Some(kind::ANY) {
                asked = Some(kind);
            }
            if asked.is_none_or(|asked| asked == kind) {
                let ttl = INFRASTRUCTURE_TTL;
                self.writer.record(section, at, kind, ttl, |w| match address {
                    std::net::IpAddr::V4(ip) => w.bytes(&ip.octets()),
                    std::net::IpAddr::V6(ip) => w.bytes(&ip.octets()),
                });
            }
        }
    }

    fn service(&mut self, here: Here<'_>, service: &'s Service) -> Step<'s> {
        if service.ttl(Published::Cname).is_some() {
            return self.alias(here, service);
        }
        let before = self.writer.answers();
        let has = |kind| !service.members(kind).members.is_empty();
        let first = || {
            let kinds = [Published::A, Published::Aaaa, Published::Srv];
            kinds.into_iter().find(|kind| has(*kind))
        };
        let wanted = match self.kind {
            kind::A => Some(Published::A),
            kind::AAAA => Some(Published::Aaaa),
            kind::SRV => Some(Published::Srv),
            kind::ANY => first(),
            kind::PTR if is_kind_name(service.relative()) => {
                self.advertise(here, service);
                None
            }
            _ => None,
        };
        match wanted {
            Some(Published::Srv) => self.srv_records(here, service, None),
            Some(wanted) => self.addresses(here, service, wanted),
            None => {}
        }
        self.step(before)
    }

    /// Whatever is asked for, the answer is under another name (RFC 1034 section 3.6.2).
    fn alias(&mut self, here: Here<'_>, service: &'s Service) -> Step<'s> {
        let one = service.members(Published::Cname).one(&mut self.scratch.random);
        let instance = one.and_then(|at| service.instances.get(at as usize));
        let Some(target) = instance.and_then(|instance| instance.cname.as_deref()) else {
            return Step::Nothing;
        };
        let at = self.writer.position() + FIXED;
        let ttl = service.ttl(Published::Cname).unwrap_or_default();
        let fits = self
            .writer
            .record(Section::Answer, here.at, kind::CNAME, ttl, |w| {
                w.bytes(target.wire())
            });
        match fits && !matches!(self.kind, kind::CNAME | kind::ANY) {
            true => Step::Alias(at, target),
            false => Step::Done,
        }
    }

    /// Some of the instances, at random and in random order: one by weight, or up to the limit.
    fn choose(&mut self, service: &Service, set: &Set, bytes: usize) {
        let scratch = &mut *self.scratch;
        match service.routing {
            Routing::Weighted => {
                scratch.chosen.clear();
                scratch.chosen.extend(set.one(&mut scratch.random));
            }
            Routing::Multivalue => {
                let count = self
                    .settings
                    .max_answers
                    .min(self.writer.room() / (FIXED + bytes) + 1);
                set.some(count, &mut scratch.random, &mut scratch.chosen);
            }
        }
    }

    fn addresses(&mut self, here: Here<'_>, service: &Service, wanted: Published) {
        let bytes = if wanted == Published::A { 4 } else { 16 };
        self.choose(service, service.members(wanted), bytes);
        let ttl = service.ttl(wanted).unwrap_or_default();
        for at in &self.scratch.chosen {
            let instance = &service.instances[*at as usize];
            let fits = match wanted {
                Published::A => self.writer.record(Section::Answer, here.at, kind::A, ttl, |w| {
                    w.bytes(&instance.ipv4.map_or([0; 4], |ip| ip.octets()));
                }),
                _ => self
                    .writer
                    .record(Section::Answer, here.at, kind::AAAA, ttl, |w| {
                        w.bytes(&instance.ipv6.map_or([0; 16], |ip| ip.octets()));
                    }),
            };
            if !fits {
                return;
            }
        }
    }

    /// SRV records of the instances, those that speak `protocol` if one is given, and where their hosts are: what a
    /// client asks next.
    fn srv_records(&mut self, here: Here<'_>, service: &Service, protocol: Option<&str>) {
        let all = service.members(Published::Srv);
        let bytes = 6 + 2 + service.name.len();
        // Most services speak one.
        match protocol.filter(|_| service.protocols.len() > 1) {
            None => self.choose(service, all, bytes),
            Some(protocol) => {
                let speaks = |at: &u32| service.instances[*at as usize].protocol == protocol;
                let some = all.members.iter().copied().filter(speaks);
                let set = match service.routing {
                    Routing::Multivalue => Set::even(some.collect()),
                    Routing::Weighted => {
                        Set::weighted(some.map(|at| (at, service.weight_of(&service.instances[at as usize]))))
                    }
                };
                self.choose(service, &set, bytes);
            }
        }
        let chosen = std::mem::take(&mut self.scratch.chosen);
        self.scratch.targets.clear();
        for at in &chosen {
            let target = self.writer.position() + FIXED + 6;
            if !self.srv(
                Section::Answer,
                here.at,
                service,
                &service.instances[*at as usize],
            ) {
                break;
            }
            self.scratch.targets.push((target, *at));
        }
        self.scratch.chosen = chosen;
        self.hosts_of_targets(service);
    }

    fn hosts_of_targets(&mut self, service: &Service) {
        let targets = std::mem::take(&mut self.scratch.targets);
        for (target, at) in &targets {
            let instance = &service.instances[*at as usize];
            if !self.host(Section::Additional, *target, service, instance) {
                break;
            }
        }
        self.scratch.targets = targets;
    }

    /// Answers whether it was written.
    fn srv(&mut self, section: Section, owner: usize, service: &Service, instance: &Instance) -> bool {
        let (Some(port), Some(ttl)) = (instance.port, service.ttl(Published::Srv)) else {
            return false;
        };
        if !service.has_host(instance) {
            return false;
        }
        let weight = service.weight_of(instance);
        self.writer.record(section, owner, kind::SRV, ttl, |w| {
            w.u16(SRV_PRIORITY);
            w.u16(weight);
            w.u16(port);
            // RFC 2782: the target is not compressed.
            host_name(w, &instance.id, &service.name);
        })
    }

    /// The addresses of an instance, whose name lies at `owner`; answers whether they fit.
    fn host(&mut self, section: Section, owner: usize, service: &Service, instance: &Instance) -> bool {
        let ttl = |kind| service.ttl(kind).or(service.ttl(Published::Srv));
        let additional = section == Section::Additional;
        let mut fits = true;
        if let (Some(ip), Some(ttl)) = (instance.ipv4, ttl(Published::A))
            && (additional || self.wants(kind::A))
        {
            fits = self
                .writer
                .record(section, owner, kind::A, ttl, |w| w.bytes(&ip.octets()));
        }
        let one_is_enough = self.kind == kind::ANY && instance.ipv4.is_some();
        if let (Some(ip), Some(ttl)) = (instance.ipv6, ttl(Published::Aaaa))
            && (additional || self.wants(kind::AAAA) && !one_is_enough)
        {
            fits &= self
                .writer
                .record(section, owner, kind::AAAA, ttl, |w| w.bytes(&ip.octets()));
        }
        fits
    }

    fn instance(&mut self, here: Here<'_>, service: &Service, instance: &Instance) {
        match self.kind {
            kind::SRV => {
                self.srv(Section::Answer, here.at, service, instance);
            }
            kind::TXT => self.txt(Section::Answer, here.at, service, instance),
            _ => {
                self.host(Section::Answer, here.at, service, instance);
            }
        }
    }

    /// Attributes as `key=value` (RFC 6763 section 6); what is too long for a string of 255 bytes is left out, for a part
    /// of it would be something else.
    fn txt(&mut self, section: Section, owner: usize, service: &Service, instance: &Instance) {
        let Some(ttl) = Published::ALL.into_iter().find_map(|kind| service.ttl(kind)) else {
            return;
        };
        let hidden = self.settings.hidden;
        self.writer.record(section, owner, kind::TXT, ttl, |w| {
            let begin = w.position();
            instance.attributes.each(&mut |key, value| {
                let fits = key.len() + 1 + value.len() <= STRING_BYTES;
                if fits && !key.contains('=') && !hidden.contains(&key) {
                    w.counted(&[key.as_bytes(), b"=", value.as_bytes()].concat());
                }
            });
            if w.position() == begin {
                // There must be a string, though it be empty.
                w.counted(b"");
            }
        });
    }

    /// The instances of a service in DNS-SD, and as much of what a browser asks next as fits.
    fn advertise(&mut self, here: Here<'_>, service: &Service) {
        let Some(ttl) = service.ttl(Published::Srv) else {
            return;
        };
        let count = self.most(4);
        let all = service.members(Published::Srv);
        all.some(count, &mut self.scratch.random, &mut self.scratch.chosen);
        let chosen = std::mem::take(&mut self.scratch.chosen);
        let named = |at: &&u32| service.instances[**at as usize].id.len() <= LABEL_BYTES;
        let mut names = Vec::new();
        for at in chosen.iter().filter(named) {
            let instance = &service.instances[*at as usize];
            names.push((self.writer.position() + FIXED, instance));
            let fits = self.writer.record(Section::Answer, here.at, kind::PTR, ttl, |w| {
                w.counted(instance.id.as_bytes());
                w.pointer(here.at);
            });
            if !fits {
                break;
            }
        }
        self.scratch.chosen = chosen;
        for (name, instance) in names {
            let target = self.writer.position() + FIXED + 6;
            if !self.srv(Section::Additional, name, service, instance) {
                break;
            }
            self.txt(Section::Additional, name, service, instance);
            if !self.host(Section::Additional, target, service, instance) {
                break;
            }
        }
    }

    fn kinds(&mut self, here: Here<'_>, zone_at: usize, kinds: &Trie<()>) {
        if !self.wants(kind::PTR) {
            return;
        }
        for (name, ()) in kinds.iter_from(self.scratch.random.next_u64()) {
            let ttl = INFRASTRUCTURE_TTL;
            let fits = self.writer.record(Section::Answer, here.at, kind::PTR, ttl, |w| {
                w.bytes(name);
                w.pointer(zone_at);
            });
            if !fits {
                return;
            }
        }
    }

    fn hosts(&mut self, here: Here<'_>, hosts: &Hosts) {
        if !self.wants(kind::PTR) {
            return;
        }
        let all = hosts.iter_from(self.scratch.random.next_u64());
        for host in all.take(self.settings.max_answers) {
            let ttl = INFRASTRUCTURE_TTL;
            let fits = self.writer.record(Section::Answer, here.at, kind::PTR, ttl, |w| {
                host_name(w, &host.id, &host.service);
            });
            if !fits {
                return;
            }
        }
    }
}

/// `<instance>.<service>`, uncompressed.
fn host_name(writer: &mut Writer<'_>, id: &str, service: &[u8]) {
    for label in id.split('.') {
        writer.counted(label.as_bytes());
    }
    writer.bytes(service);
}
