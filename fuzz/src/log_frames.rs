//! Segments and checkpoints that a disk has damaged: the log opens and says what it lost, or refuses; `verify` tells.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use tsugite_base::codec::Malformed;
use tsugite_base::world::{Clock, Entropy};
use tsugite_base::{Decision, Mono, Now, Place, Sheaf, World};
use tsugite_log::disk::sim::SimDisk;
use tsugite_log::{Growth, Log, Opened, Options, Search, Sizes, State, Stowed, verify};

use crate::{Edits, damage};

/// A machine that remembers what it was told.
struct Memory(Vec<Vec<u8>>);

impl State for Memory {
    type Settings = ();
    type Record = Vec<u8>;

    fn restore(_: &(), snapshot: Option<&[u8]>, _: Now) -> Result<Memory, Malformed> {
        Ok(Memory(
            snapshot
                .unwrap_or_default()
                .chunks(4)
                .map(<[u8]>::to_vec)
                .collect(),
        ))
    }

    fn snapshot(&self, out: &mut Sheaf) {
        out.bytes().extend(self.0.concat());
    }

    fn encode(record: &Vec<u8>, out: &mut Vec<u8>) {
        out.extend_from_slice(record);
    }

    fn decode(bytes: &[u8]) -> Result<Vec<u8>, Malformed> {
        Ok(bytes.to_vec())
    }

    fn apply(&mut self, record: Vec<u8>, _: Place) {
        self.0.push(record);
    }

    fn usage(&self, _: &mut BTreeMap<u64, u64>) {}

    fn survivors(&self, _: &mut Search, _: usize, _: u64, _: &mut Vec<Stowed>) -> bool {
        true
    }

    fn relocate(&self, _: &[(Stowed, Vec<u8>)], _: Now) -> Vec<Vec<u8>> {
        Vec::new()
    }

    fn growth(_: &Vec<u8>) -> Growth {
        Growth::Grows
    }
}

/// A world that stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> Now {
        Now::at(1_000)
    }

    fn mono(&self) -> Mono {
        Mono(0)
    }
}

impl Entropy for Still {
    fn fill(&self, buf: &mut [u8]) {
        buf.fill(7);
    }
}

fn options() -> Options<()> {
    let world = World {
        clock: Arc::new(Still),
        entropy: Arc::new(Still),
    };
    let sizes = Sizes {
        first_segment: 8192,
        segment: 16384,
        reserve: 1024,
        max_batch: 4096,
        ..Sizes::default()
    };
    Options {
        sizes,
        ..Options::new(world, ())
    }
}

/// What a disk holds after twenty frames.
fn image() -> &'static BTreeMap<String, Vec<u8>> {
    static IMAGE: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let disk = SimDisk::new(1, BTreeMap::new());
        let Opened {
            log,
            mut committer,
            mut keeper,
            ..
        } = Log::<Memory>::open(&options(), Arc::new(disk.clone())).expect("opens");
        for number in 0u32..20 {
            let record = number.to_be_bytes().to_vec();
            let mut decide = Some(|_: &Memory, _| Ok::<_, Infallible>(Decision::record(vec![record], ())));
            log.attempt(&mut decide)
                .expect("there is room")
                .expect("nothing refuses");
            committer.step().expect("the disk works");
            keeper.step().expect("the disk works");
        }
        disk.image()
    })
}

#[test]
fn a_damaged_disk_is_opened_or_refused() {
    bolero::check!()
        .with_type::<(u8, Edits)>()
        .for_each(|(file, edits)| {
            let mut image = image().clone();
            let index = usize::from(*file) % image.len();
            if let Some((_, bytes)) = image.iter_mut().nth(index) {
                // Most of a segment is empty: the edits go to where the frames are.
                let used = bytes
                    .iter()
                    .rposition(|byte| *byte != 0)
                    .map_or(0, |last| last + 1);
                let length = bytes.len();
                *bytes = damage(&bytes[..used], edits);
                bytes.resize(length, 0);
            }
            let report = verify(&SimDisk::new(1, image.clone()));
            let Ok(Opened { log, .. }) = Log::<Memory>::open(&options(), Arc::new(SimDisk::new(1, image)))
            else {
                return;
            };
            assert!(report.is_ok(), "what opens can be verified");
            log.peek(|memory, _| {
                // What survived is a beginning of what was written, never something else.
                for (number, record) in (0u32..).zip(&memory.0) {
                    assert_eq!(record, &number.to_be_bytes());
                }
            });
        });
}
