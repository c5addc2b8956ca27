//! What an index keeps for one key: which entries to look at for which of its values.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::ranges::Ranges;
use super::slots::{Bucket, Found, Slot};
use super::trie::Trie;
use crate::decimal::Decimal;
use crate::message::Value;
use crate::rule::{End, Network, Range, Rule, Scalar, fold_case};

/// When a message leads to an entry through a rule. It does whenever the rule is satisfied, and sometimes when it is
/// not: what is found is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe<'a> {
    Text(&'a str),
    /// Ignoring case.
    Folded(&'a str),
    Number(&'a Decimal),
    Bool(bool),
    Null,
    Prefix(&'a str),
    Suffix(&'a str),
    /// Of ranks.
    Range(u64, u64),
    Network(&'a Network),
    /// The key is there.
    Present,
    /// The key is not there.
    Absent,
}

impl<'a> Probe<'a> {
    pub(super) fn of(rule: &'a Rule) -> Probe<'a> {
        match rule {
            Rule::Equals(Scalar::Text(text)) => Probe::Text(text),
            Rule::Equals(Scalar::Number(number)) => Probe::Number(number),
            Rule::Equals(Scalar::Bool(value)) => Probe::Bool(*value),
            Rule::Equals(Scalar::Null) => Probe::Null,
            Rule::EqualsIgnoreCase(folded) => Probe::Folded(folded),
            Rule::Prefix(text) => Probe::Prefix(text),
            Rule::Suffix(text) => Probe::Suffix(text),
            Rule::Numeric(range) => Probe::of_range(range),
            Rule::Cidr(network) => Probe::Network(network),
            Rule::Wildcard(wildcard) => match wildcard.ends() {
                ("", "") => Probe::Present,
                ("", end) => Probe::Suffix(end),
                (beginning, _) => Probe::Prefix(beginning),
            },
            Rule::Exists(true) | Rule::AnythingBut(_) => Probe::Present,
            Rule::Exists(false) => Probe::Absent,
        }
    }

    fn of_range(range: &'a Range) -> Probe<'a> {
        match (&range.low, &range.high) {
            (Some(low), Some(high)) if low.number == high.number => Probe::Number(&low.number),
            (low, high) => {
                let rank = |end: &End| end.number.rank();
                Probe::Range(low.as_ref().map_or(0, rank), high.as_ref().map_or(u64::MAX, rank))
            }
        }
    }
}

/// The entries that are found through one key.
#[derive(Debug, Clone, Default)]
pub(super) struct Field {
    texts: HashMap<Box<str>, Bucket>,
    folded: HashMap<Box<str>, Bucket>,
    numbers: HashMap<Decimal, Bucket>,
    yes: Bucket,
    no: Bucket,
    null: Bucket,
    prefixes: Trie,
    /// Backwards.
    suffixes: Trie,
    ranges: Ranges,
    networks: HashMap<Network, Bucket>,
    /// How many networks have this many bits.
    network_bits: BTreeMap<u8, usize>,
    present: Bucket,
    absent: Bucket,
}

impl Field {
    pub(super) fn is_empty(&self) -> bool {
        let maps = self.texts.is_empty() && self.folded.is_empty() && self.numbers.is_empty();
        let words = self.yes.is_empty() && self.no.is_empty() && self.null.is_empty();
        let parts = self.prefixes.is_empty() && self.suffixes.is_empty();
        let spans = self.ranges.is_empty() && self.networks.is_empty();
        maps && words && parts && spans && self.present.is_empty() && self.absent.is_empty()
    }

    pub(super) fn insert(&mut self, probe: Probe<'_>, slot: Slot) {
        match probe {
            Probe::Text(text) => bucket(&mut self.texts, text).insert(slot),
            Probe::Folded(text) => bucket(&mut self.folded, text).insert(slot),
            Probe::Number(number) => self.numbers.entry(number.clone()).or_default().insert(slot),
            Probe::Prefix(text) => self.prefixes.insert(text.as_bytes(), slot),
            Probe::Suffix(text) => self.suffixes.insert(&reversed(text), slot),
            Probe::Range(low, high) => self.ranges.insert(low, high, slot),
            Probe::Network(network) => {
                let count = self.networks.len();
                self.networks.entry(network.clone()).or_default().insert(slot);
                *self.network_bits.entry(network.bits()).or_default() += self.networks.len() - count;
            }
            Probe::Bool(_) | Probe::Null | Probe::Present | Probe::Absent => {
                if let Some(bucket) = self.single_mut(probe) {
                    bucket.insert(slot);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, probe: Probe<'_>, slot: Slot) {
        match probe {
            Probe::Text(text) => drop_from(&mut self.texts, text, slot),
            Probe::Folded(text) => drop_from(&mut self.folded, text, slot),
            Probe::Number(number) => drop_from(&mut self.numbers, number, slot),
            Probe::Prefix(text) => self.prefixes.remove(text.as_bytes(), slot),
            Probe::Suffix(text) => self.suffixes.remove(&reversed(text), slot),
            Probe::Range(low, high) => self.ranges.remove(low, high, slot),
            Probe::Network(network) => {
                let count = self.networks.len();
                drop_from(&mut self.networks, network, slot);
                if let Some(bits) = self.network_bits.get_mut(&network.bits()) {
                    *bits -= count - self.networks.len();
                }
                self.network_bits.retain(|_, count| *count > 0);
            }
            Probe::Bool(_) | Probe::Null | Probe::Present | Probe::Absent => {
                if let Some(bucket) = self.single_mut(probe) {
                    bucket.remove(slot);
                }
            }
        }
    }

    /// The bucket of a probe that has just one.
    fn single_mut(&mut self, probe: Probe<'_>) -> Option<&mut Bucket> {
        match probe {
            Probe::Bool(true) => Some(&mut self.yes),
            Probe::Bool(false) => Some(&mut self.no),
            Probe::Null => Some(&mut self.null),
            Probe::Present => Some(&mut self.present),
            Probe::Absent => Some(&mut self.absent),
            _ => None,
        }
    }

    /// A guess at how much it costs to find another entry through this probe: how many are found with it, weighed by
    /// how many messages will find them.
    pub(super) fn cost(&self, probe: Probe<'_>) -> usize {
        let len = |bucket: Option<&Bucket>| bucket.map_or(0, Bucket::len);
        match probe {
            Probe::Text(text) => 1 + len(self.texts.get(text)),
            Probe::Folded(text) => 1 + len(self.folded.get(text)),
            Probe::Number(number) => 1 + len(self.numbers.get(number)),
            Probe::Network(network) => 1 + len(self.networks.get(network)),
            Probe::Prefix("") | Probe::Suffix("") => 16 + 4 * self.prefixes.len(b""),
            Probe::Prefix(text) => 2 + self.prefixes.len(text.as_bytes()),
            Probe::Suffix(text) => 2 + self.suffixes.len(&reversed(text)),
            Probe::Bool(true) => 4 + 2 * self.yes.len(),
            Probe::Bool(false) => 4 + 2 * self.no.len(),
            Probe::Null => 4 + 2 * self.null.len(),
            Probe::Range(low, high) => 4 + self.crowd(low, high),
            Probe::Present => 16 + 4 * self.present.len(),
            Probe::Absent => 64 + 8 * self.absent.len(),
        }
    }

    /// How many ranges hold an end of this one. Far ends do not count: half of all ranges have none.
    fn crowd(&self, low: u64, high: u64) -> usize {
        const ENOUGH: usize = 1000;
        let ends = [low, high]
            .into_iter()
            .filter(|end| !matches!(*end, 0 | u64::MAX));
        ends.map(|end| self.ranges.count(end, ENOUGH)).max().unwrap_or(0)
    }

    /// The entries to look at when the key is absent.
    pub(super) fn absent(&self) -> &Bucket {
        &self.absent
    }

    /// Finds the entries to look at when the key has these values.
    pub(super) fn find(&self, values: &[Value<'_>], found: &mut Found) {
        if !values.is_empty() {
            found.add_all(&self.present);
        }
        for value in values {
            match value {
                Value::Text(text) => self.find_text(text, found),
                Value::Number(number, _) => {
                    find_in(&self.numbers, number, found);
                    if !self.ranges.is_empty() {
                        self.ranges.find(number.rank(), found);
                    }
                }
                Value::Bool(true) => found.add_all(&self.yes),
                Value::Bool(false) => found.add_all(&self.no),
                Value::Null => found.add_all(&self.null),
            }
        }
    }

    fn find_text(&self, text: &str, found: &mut Found) {
        find_in(&self.texts, text, found);
        if !self.folded.is_empty() {
            find_in(&self.folded, fold_case(text).as_str(), found);
        }
        if !self.prefixes.is_empty() {
            self.prefixes.find_prefixes(text.as_bytes(), found);
        }
        if !self.suffixes.is_empty() {
            self.suffixes.find_prefixes(&reversed(text), found);
        }
        if !self.networks.is_empty()
            && let Ok(address) = text.parse::<IpAddr>()
        {
            let around = self
                .network_bits
                .keys()
                .filter_map(|bits| Network::new(address, *bits));
            around.for_each(|network| find_in(&self.networks, &network, found));
        }
    }
}

fn reversed(text: &str) -> Vec<u8> {
    text.bytes().rev().collect()
}

fn bucket<'a>(map: &'a mut HashMap<Box<str>, Bucket>, text: &str) -> &'a mut Bucket {
    map.entry(text.into()).or_default()
}

fn find_in<Q, K>(map: &HashMap<K, Bucket>, key: &Q, found: &mut Found)
where
    Q: std::hash::Hash + Eq + ?Sized,
    K: std::hash::Hash + Eq + std::borrow::Borrow<Q>,
{
    if !map.is_empty()
        && let Some(bucket) = map.get(key)
    {
        found.add_all(bucket);
    }
}

fn drop_from<Q, K>(map: &mut HashMap<K, Bucket>, key: &Q, slot: Slot)
where
    Q: std::hash::Hash + Eq + ?Sized,
    K: std::hash::Hash + Eq + std::borrow::Borrow<Q>,
{
    if let Some(bucket) = map.get_mut(key) {
        bucket.remove(slot);
        if bucket.is_empty() {
            map.remove(key);
        }
    }
}
