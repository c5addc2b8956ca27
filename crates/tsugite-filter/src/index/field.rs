//! What an index keeps for one key: which entries to look at for which of its values.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::odds::{CERTAIN, Odds};
use super::ranges::Ranges;
use super::slots::{Bucket, Found, Slot};
use super::trie::Trie;
use super::values::Values;
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
    texts: Values<Box<str>>,
    folded: Values<Box<str>>,
    numbers: Values<Decimal>,
    yes: Bucket,
    no: Bucket,
    null: Bucket,
    prefixes: Trie,
    /// Backwards.
    suffixes: Trie,
    ranges: Ranges,
    networks: Values<Network>,
    /// How many entries are found through networks of this many bits.
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
            Probe::Text(text) => self.texts.insert(text.into(), slot),
            Probe::Folded(text) => self.folded.insert(text.into(), slot),
            Probe::Number(number) => self.numbers.insert(number.clone(), slot),
            Probe::Prefix(text) => self.prefixes.insert(text.as_bytes(), slot),
            Probe::Suffix(text) => self.suffixes.insert(&reversed(text), slot),
            Probe::Range(low, high) => self.ranges.insert(low, high, slot),
            Probe::Network(network) => {
                self.networks.insert(network.clone(), slot);
                *self.network_bits.entry(network.bits()).or_default() += 1;
            }
            Probe::Bool(_) | Probe::Null | Probe::Present | Probe::Absent => {
                self.single_mut(probe).map(|bucket| bucket.insert(slot));
            }
        }
    }

    pub(super) fn remove(&mut self, probe: Probe<'_>, slot: Slot) {
        match probe {
            Probe::Text(text) => self.texts.remove(text, slot),
            Probe::Folded(text) => self.folded.remove(text, slot),
            Probe::Number(number) => self.numbers.remove(number, slot),
            Probe::Prefix(text) => self.prefixes.remove(text.as_bytes(), slot),
            Probe::Suffix(text) => self.suffixes.remove(&reversed(text), slot),
            Probe::Range(low, high) => self.ranges.remove(low, high, slot),
            Probe::Network(network) => {
                self.networks.remove(network, slot);
                if let Some(count) = self.network_bits.get_mut(&network.bits()) {
                    *count -= 1;
                }
                self.network_bits.retain(|_, count| *count > 0);
            }
            Probe::Bool(_) | Probe::Null | Probe::Present | Probe::Absent => {
                self.single_mut(probe).map(|bucket| bucket.remove(slot));
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

    /// The chance, in millionths, that a message leads to another entry through this probe: a guess.
    pub(super) fn odds(&self, probe: Probe<'_>) -> usize {
        match probe {
            Probe::Text(text) => self.texts.odds(text),
            Probe::Folded(text) => self.folded.odds(text),
            Probe::Number(number) => self.numbers.odds(number),
            Probe::Network(network) => self.networks.odds(network),
            Probe::Prefix("") | Probe::Suffix("") | Probe::Present => CERTAIN * 9 / 10,
            Probe::Prefix(text) => self.prefixes.odds(text.as_bytes()),
            Probe::Suffix(text) => self.suffixes.odds(&reversed(text)),
            Probe::Range(low, high) => self.range_odds(low, high),
            Probe::Bool(_) | Probe::Null => CERTAIN / 2,
            Probe::Absent => CERTAIN,
        }
    }

    /// The share of ranges that hold an end of this one. Far ends do not count: half of all ranges have none.
    fn range_odds(&self, low: u64, high: u64) -> usize {
        /// Ranges to look at, so that a policy is added in bounded time.
        const ENOUGH: usize = 10_000;
        let ends = [low, high]
            .into_iter()
            .filter(|end| !matches!(*end, 0 | u64::MAX));
        let holding = ends.map(|end| self.ranges.count(end, ENOUGH)).max().unwrap_or(0);
        Odds::share(holding, self.ranges.len())
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
                    self.numbers.find(number, found);
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
        self.texts.find(text, found);
        if !self.folded.is_empty() {
            self.folded.find(fold_case(text).as_str(), found);
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
            around.for_each(|network| self.networks.find(&network, found));
        }
    }
}

fn reversed(text: &str) -> Vec<u8> {
    text.bytes().rev().collect()
}
