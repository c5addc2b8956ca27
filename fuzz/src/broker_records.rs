//! Records and snapshots of the broker, as a damaged disk might give them back.

use tsugite_base::Sheaf;
use tsugite_broker::{Broker, Record, Settings};

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
    let mut empty = Sheaf::default();
    Broker::new(Settings::default()).snapshot(&mut empty);
    let empty = empty.to_vec();
    bolero::check!()
        .with_type::<(bool, Vec<u8>, Edits)>()
        .for_each(|(raw, bytes, edits)| {
            let bytes = if *raw {
                bytes.clone()
            } else {
                damage(&empty, edits)
            };
            let Ok(broker) = Broker::restore(&bytes, Settings::default()) else {
                return;
            };
            let mut written = Sheaf::default();
            broker.snapshot(&mut written);
            assert!(Broker::restore(&written.to_vec(), Settings::default()).is_ok());
        });
}
