//! All durable machines of the product as one state over one log, so that a command may change several of them
//! in one frame.

use std::collections::BTreeMap;

use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::{Now, Place, Sheaf};
use tsugite_broker::{Broker, Search, Stowed};
use tsugite_registry::Registry;

use crate::state::{Growth, State};

/// Kinds (first bytes of records) from here on are the registry's, those below the broker's.
const REGISTRY_KINDS: u8 = 0x80;
/// First byte of a snapshot.
const SNAPSHOT_FORMAT: u8 = 1;

/// The machines.
#[derive(Debug)]
pub struct Domains {
    /// Queues, topics, messages.
    pub broker: Broker,
    /// Services, instances, health.
    pub registry: Registry,
}

/// What the machines need to know.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The broker's.
    pub broker: tsugite_broker::Settings,
    /// The registry's.
    pub registry: tsugite_registry::Settings,
}

/// A durable change of one of the machines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The broker's.
    Broker(tsugite_broker::Record),
    /// The registry's.
    Registry(tsugite_registry::Record),
}

impl From<tsugite_broker::Record> for Record {
    fn from(record: tsugite_broker::Record) -> Record {
        Record::Broker(record)
    }
}

impl From<tsugite_registry::Record> for Record {
    fn from(record: tsugite_registry::Record) -> Record {
        Record::Registry(record)
    }
}

impl State for Domains {
    type Settings = Settings;
    type Record = Record;

    fn restore(settings: &Settings, snapshot: Option<&[u8]>, now: Now) -> Result<Domains, Malformed> {
        let Some(snapshot) = snapshot else {
            return Ok(Domains {
                broker: Broker::new(settings.broker),
                registry: Registry::new(settings.registry.clone()),
            });
        };
        let mut from = Get::new(snapshot);
        if from.u8("snapshot format")? != SNAPSHOT_FORMAT {
            let what = "snapshot format";
            return Err(Malformed { what });
        }
        let broker = section(&mut from)?;
        let registry = section(&mut from)?;
        from.end("snapshot")?;
        Ok(Domains {
            broker: Broker::restore(broker, settings.broker)?,
            registry: Registry::restore(registry, settings.registry.clone(), now)?,
        })
    }

    fn snapshot(&self, out: &mut Sheaf) {
        out.bytes().put_u8(SNAPSHOT_FORMAT);
        put_section(out, |out| self.broker.snapshot(out));
        put_section(out, |out| self.registry.snapshot(out.bytes()));
    }

    fn encode(record: &Record, out: &mut Vec<u8>) {
        match record {
            Record::Broker(record) => record.encode(out),
            Record::Registry(record) => record.encode(out),
        }
    }

    fn decode(bytes: &[u8]) -> Result<Record, Malformed> {
        match bytes.first() {
            Some(&kind) if kind < REGISTRY_KINDS => tsugite_broker::Record::decode(bytes).map(Record::Broker),
            _ => tsugite_registry::Record::decode(bytes).map(Record::Registry),
        }
    }

    fn apply(&mut self, record: Record, place: Place) {
        match record {
            Record::Broker(record) => self.broker.apply(record, place),
            Record::Registry(record) => self.registry.apply(record, place),
        }
    }

    fn usage(&self, out: &mut BTreeMap<u64, u64>) {
        // The registry needs no record's bytes again.
        self.broker.usage(out);
    }

    fn survivors(&self, search: &mut Search, looks: usize, bytes: u64, found: &mut Vec<Stowed>) -> bool {
        self.broker.survivors(search, looks, bytes, found)
    }

    fn relocate(&self, found: &[(Stowed, Vec<u8>)], now: Now) -> Vec<Record> {
        let records = self.broker.relocate(found, now);
        records.into_iter().map(Record::Broker).collect()
    }

    fn growth(record: &Record) -> Growth {
        use tsugite_registry::Record::{
            InstanceLeaving, InstanceRemoved, NamespaceDeleted, Reset, ServiceDeleted,
        };
        let grows = match record {
            Record::Broker(record) if record.relocates() => return Growth::Moves,
            Record::Broker(record) => record.grows(),
            Record::Registry(record) => !matches!(
                record,
                NamespaceDeleted { .. }
                    | ServiceDeleted { .. }
                    | InstanceLeaving { .. }
                    | InstanceRemoved { .. }
                    | Reset
            ),
        };
        if grows { Growth::Grows } else { Growth::Frees }
    }

    fn recovered(&mut self, now: Now) {
        self.registry.grant_leases(now);
        self.registry.begin_watches(now.wall);
        self.broker.begin_tallies();
        self.advance(now);
    }

    fn advance(&mut self, now: Now) {
        self.broker.advance(now);
        self.registry.advance(now);
    }
}

/// Eight bytes of length, then what `put` appends: a backlog's snapshot may be longer than 4 GiB.
fn put_section(out: &mut Sheaf, put: impl FnOnce(&mut Sheaf)) {
    let mut section = Sheaf::default();
    put(&mut section);
    out.bytes().put_u64(section.len() as u64);
    out.append(section);
}

fn section<'a>(from: &mut Get<'a>) -> Result<&'a [u8], Malformed> {
    const WHAT: &str = "snapshot section";
    let len = from.u64(WHAT)?;
    from.take(usize::try_from(len).map_err(|_| Malformed { what: WHAT })?, WHAT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_tell_whose_record_it_is() {
        let reset = Record::Registry(tsugite_registry::Record::Reset);
        let mut bytes = Vec::new();
        Domains::encode(&reset, &mut bytes);
        assert!(bytes[0] >= REGISTRY_KINDS);
        assert_eq!(Domains::decode(&bytes), Ok(reset));
        for bad in [&[][..], &[0], &[0x7f, 1], &[0xff; 30]] {
            assert!(Domains::decode(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_snapshot_round_trips_and_garbage_is_refused() {
        let settings = Settings::default();
        let empty = Domains::restore(&settings, None, Now::at(1)).unwrap();
        let mut snapshot = Sheaf::default();
        empty.snapshot(&mut snapshot);
        let mut bytes = snapshot.to_vec();
        let again = Domains::restore(&settings, Some(&bytes), Now::at(1)).unwrap();
        let mut second = Sheaf::default();
        again.snapshot(&mut second);
        assert_eq!(bytes, second.to_vec());
        for len in 0..bytes.len() {
            assert!(
                Domains::restore(&settings, Some(&bytes[..len]), Now::at(1)).is_err(),
                "{len}"
            );
        }
        bytes.push(0);
        assert!(Domains::restore(&settings, Some(&bytes), Now::at(1)).is_err());
    }
}
