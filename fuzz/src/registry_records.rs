//! Records and snapshots of the registry, as a damaged disk might give them back.

use tsugite_base::Now;
use tsugite_registry::{Record, Registry, Settings};

use crate::{Edits, damage};

#[test]
fn records_are_read_or_refused() {
    bolero::check!().with_type::<Vec<u8>>().for_each(|bytes| {
        let Ok(record) = Record::decode(bytes) else { return };
        let mut written = Vec::new();
        record.encode(&mut written);
        assert_eq!(Record::decode(&written).expect("what we write"), record);
    });
}

#[test]
fn snapshots_are_read_or_refused() {
    let now = Now::at(1_000);
    let mut empty = Vec::new();
    Registry::new(Settings::default()).snapshot(&mut empty);
    bolero::check!()
        .with_type::<(bool, Vec<u8>, Edits)>()
        .for_each(|(raw, bytes, edits)| {
            let bytes = if *raw {
                bytes.clone()
            } else {
                damage(&empty, edits)
            };
            let Ok(registry) = Registry::restore(&bytes, Settings::default(), now) else {
                return;
            };
            let mut written = Vec::new();
            registry.snapshot(&mut written);
            assert!(Registry::restore(&written, Settings::default(), now).is_ok());
        });
}
