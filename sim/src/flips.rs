//! A bit flips on the disk while the store is down: never without a word.

use std::sync::Arc;

use tsugite_broker::{Message, Peeked};
use tsugite_log::disk::sim::{Image, SimDisk};
use tsugite_log::{Log, OpenError, Opened, verify};

use crate::history::History;
use crate::machine::{Journal, Machine};
use crate::scene::{self, QUEUES};

impl History {
    /// Flips a bit in a copy of the disk. The store must refuse it, or `verify` must name it, or it is in nothing that is
    /// ever read: then state and messages are as they were. A last frame that is damaged is an interrupted write to
    /// both, and both must say that they cut it off.
    pub(crate) fn flip(&mut self, image: &Image) -> Result<(), String> {
        let Some((name, offset)) = self.somewhere(image) else {
            return Ok(());
        };
        let bit = self.rng.below(8) as u8;
        let whole = verify(&SimDisk::new(0, image.clone())).map_err(|e| e.to_string())?;
        let disk = SimDisk::new(self.rng.next_u64(), image.clone());
        disk.flip(&name, offset, bit);
        self.outcome.flips += 1;
        let named = |what: String| format!("bit {bit} of byte {offset} of {name} flipped: {what}");
        let sound = match verify(&disk) {
            Err(_) => false,
            Ok(report) => report.is_sound() && report.torn == whole.torn,
        };
        let before = self.journal.until(u64::MAX);
        let opened = Log::<Machine>::open(&self.options(&Journal::default()), Arc::new(disk));
        let Opened { log, recovery, .. } = match opened {
            Ok(opened) => opened,
            Err(OpenError::Io { what, error }) => return Err(named(format!("{what}: {error}"))),
            Err(refused) if sound => return Err(named(format!("verify finds nothing, and {refused}"))),
            Err(_) => {
                self.outcome.flips_reported += 1;
                return Ok(());
            }
        };
        if !sound {
            self.outcome.flips_reported += 1;
            return Ok(());
        }
        if recovery.end < self.acknowledged {
            return Err(named("what was acknowledged is gone".into()));
        }
        self.same_state(&log, &before.until(recovery.end))
            .map_err(named)?;
        for queue in QUEUES {
            let peeked = log.peek(|machine, _| {
                machine
                    .domains
                    .broker
                    .peek(&scene::queue(queue), None, usize::MAX)
            });
            for Peeked { lease, .. } in peeked.unwrap_or_default() {
                let places: Vec<_> = [lease.payload].into_iter().chain(lease.delivery).collect();
                let bytes = log.fetch_blocking(&places).map_err(|e| named(e.to_string()))?;
                let read = Message::read(lease, &bytes[0], bytes.get(1).map(|b| &b[..]));
                read.map_err(|e| named(format!("verify finds nothing, and a message of {queue}: {e}")))?;
            }
        }
        Ok(())
    }

    /// A byte on the disk that is not zero, if it is easily found: most of what is zero was never written.
    fn somewhere(&mut self, image: &Image) -> Option<(String, u64)> {
        let files: Vec<(&String, &Vec<u8>)> = image.iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
        let (name, bytes) = *files.get(self.rng.below(files.len().max(1) as u64) as usize)?;
        let tries: Vec<usize> = (0..16)
            .map(|_| self.rng.below(bytes.len() as u64) as usize)
            .collect();
        let offset = tries.iter().find(|at| bytes[**at] != 0).or(tries.first())?;
        Some((name.clone(), *offset as u64))
    }
}
