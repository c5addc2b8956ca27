//! From the bytes of a query to the bytes of its answer.

use std::net::IpAddr;

use tsugite_base::rng::SplitMix64;

use super::compose::{Composer, Here, Step};
use super::query::{HEADER, Query};
use super::resolve::What;
use super::trie::hash;
use super::writer::{Section, Verdict, Writer};
use super::{BadQuery, CLASS_ANY, CLASS_IN, Code, MESSAGE_BYTES, Snapshot, kind};

/// Aliases that one answer follows within our zones.
const ALIASES: usize = 8;

/// How to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Instances in one answer, at most.
    pub max_answers: usize,
    /// Bytes of an answer over UDP, at most.
    pub udp_size: u16,
    /// Addresses of this server, under the name `ns` of each zone.
    pub server: Vec<IpAddr>,
    /// Attributes that are not in TXT records, for they are in others.
    pub hidden: &'static [&'static str],
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Whether the answer goes over TCP.
    pub over_tcp: bool,
    /// Whether names that are not ours may be asked of others for this client.
    pub may_recurse: bool,
}

/// What one worker keeps from answer to answer.
#[derive(Debug)]
pub struct Scratch {
    pub(super) random: SplitMix64,
    pub(super) chosen: Vec<u32>,
    /// Where in the message the target of each SRV record lies, and whose it is.
    pub(super) targets: Vec<(usize, u32)>,
}

impl Scratch {
    /// Draws its choices from `random`.
    pub const fn new(random: SplitMix64) -> Scratch {
        Scratch {
            random,
            chosen: Vec::new(),
            targets: Vec::new(),
        }
    }

    /// A random number.
    pub const fn random(&mut self) -> u64 {
        self.random.next_u64()
    }
}

/// What is to be done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: it deserves no answer.
    Ignored,
    /// Send the answer. The number is the same for answers that tell the same: what a flood of them is counted by.
    Answered(u64),
    /// Ask others: the name is not ours. The answer is there for the case that nobody answers.
    Foreign,
}

/// Answers `message`, putting the answer in the place of whatever `out` holds.
pub fn answer(
    message: &[u8],
    from: &Snapshot,
    settings: &Settings,
    client: Client,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Outcome {
    let query = match Query::parse(message) {
        Ok(query) => query,
        Err(BadQuery::Ignore) => return Outcome::Ignored,
        Err(BadQuery::Answer(header)) => {
            out.clear();
            out.extend_from_slice(&header);
            return Outcome::Answered(u64::from(header[3]));
        }
    };
    let limit = if client.over_tcp {
        MESSAGE_BYTES
    } else {
        query.udp_limit(settings.udp_size)
    };
    let writer = Writer::new(out, &query, limit);
    let mut verdict = Verdict {
        code: Code::NoError,
        // No one knows all classes (RFC 1035 section 6.2).
        authoritative: query.class != CLASS_ANY,
        recursion_available: client.may_recurse,
    };
    if let Some(code) = unserved(&query) {
        verdict.code = code;
        verdict.authoritative = false;
        writer.finish(&query, settings.udp_size, &verdict);
        return Outcome::Answered(u64::from(code.number()));
    }
    let mut composer = Composer {
        kind: query.kind,
        from,
        settings,
        scratch,
        writer,
    };
    let outcome = compose(&mut composer, &query, client, &mut verdict);
    composer.writer.finish(&query, settings.udp_size, &verdict);
    outcome
}

/// What is wrong with a query that could be read.
fn unserved(query: &Query<'_>) -> Option<Code> {
    if query.edns.is_some_and(|edns| edns.version > 0) {
        return Some(Code::BadVers);
    }
    match (query.class, query.kind) {
        (CLASS_IN | CLASS_ANY, ..kind::META | kind::ANY | 256..) => None,
        (CLASS_IN | CLASS_ANY, kind::AXFR | kind::IXFR) => Some(Code::Refused),
        (CLASS_IN | CLASS_ANY, _) => Some(Code::NotImp),
        _ => Some(Code::Refused),
    }
}

fn compose(
    composer: &mut Composer<'_, '_, '_>,
    query: &Query<'_>,
    client: Client,
    verdict: &mut Verdict,
) -> Outcome {
    let from = composer.from;
    let mut alias;
    let mut here = Here {
        at: HEADER,
        name: query.name(),
    };
    let subject = hash(query.name()).wrapping_add(u64::from(query.kind));
    for _ in 0..=ALIASES {
        let Some(found) = from.find(here.name, client.may_recurse) else {
            if here.at == HEADER {
                verdict.authoritative = false;
                verdict.code = Code::Refused;
                if client.may_recurse && query.recursion_desired() {
                    verdict.code = Code::ServFail;
                    return Outcome::Foreign;
                }
                return Outcome::Answered(u64::from(verdict.code.number()));
            }
            // An alias leads out of our zones: whoever asked goes on from there.
            break;
        };
        match composer.found(here, &found) {
            Step::Done => break,
            Step::Nothing => {
                if matches!(found.what, What::Missing) {
                    verdict.code = Code::NxDomain;
                }
                let at = here.at + here.name.len() - found.origin;
                composer.soa(Section::Authority, at, found.soa_ttl);
                let zone = &here.name[here.name.len() - found.origin..];
                return Outcome::Answered(hash(zone).wrapping_add(u64::from(verdict.code.number()) << 32));
            }
            Step::Alias(at, target) => {
                alias = target.lower();
                here = Here { at, name: &alias };
            }
        }
    }
    Outcome::Answered(subject)
}
