//! The committer: takes everything pending, writes it as one frame, syncs it, lets the replies go. No timer:
//! while one sync runs, the next batch fills.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::batch::Frame;
use crate::format::{SegmentHeader, segment_name};
use crate::log::Shared;
use crate::options::Fatal;
use crate::room::Prepared;
use crate::segment::Segment;
use crate::state::State;

/// The only writer of the log. [`Committer::step`] does one round; a thread, or a simulation, repeats it.
pub struct Committer<S: State> {
    shared: Arc<Shared<S>>,
    segment: Arc<Segment>,
}

impl<S: State> Committer<S> {
    pub(crate) const fn new(shared: Arc<Shared<S>>, segment: Arc<Segment>) -> Self {
        Committer { shared, segment }
    }

    /// Makes everything pending durable; `false` if there was nothing to do.
    pub fn step(&mut self) -> Result<bool, Fatal> {
        let Some(taken) = self.shared.take() else {
            return Ok(false);
        };
        if let Some(frame) = taken.frame {
            if let Some(prepared) = taken.roll {
                let name = segment_name(frame.start);
                self.roll(prepared, frame.start, &name)
                    .map_err(|e| self.shared.fatal(&format!("opening {name}"), &e))?;
            }
            self.write(&frame).map_err(|e| {
                let name = segment_name(self.segment.base);
                self.shared.fatal(&format!("writing {name}"), &e)
            })?;
            self.shared.complete(frame.end());
        }
        if let Some(snapshot) = taken.snapshot {
            self.shared.keeper.nudge(Some(snapshot));
        }
        Ok(true)
    }

    fn write(&self, frame: &Frame) -> io::Result<()> {
        let metrics = &self.shared.metrics;
        self.segment
            .file
            .write_at(self.segment.offset(frame.start), &frame.bytes)?;
        let begun = self.shared.world.mono();
        self.segment.file.sync()?;
        metrics.synced(self.shared.world.mono().since(begun));
        metrics.frames.fetch_add(1, Relaxed);
        metrics.bytes.fetch_add(frame.bytes.len() as u64, Relaxed);
        Ok(())
    }

    /// Gives the prepared file its place in the log. It has its header durably before it has its name, so that
    /// a segment without a valid header is always damage, never an interrupted start.
    fn roll(&mut self, prepared: Prepared, base: u64, name: &str) -> io::Result<()> {
        let shared = &*self.shared;
        let header = SegmentHeader {
            recycled: prepared.recycled,
            log_id: shared.log_id,
            base,
        };
        prepared.file.write_at(0, &header.encode())?;
        prepared.file.sync()?;
        shared.disk.rename(&prepared.name, name)?;
        shared.disk.sync_dir()?;
        self.segment = Arc::new(Segment {
            base,
            capacity: prepared.capacity,
            recycled: prepared.recycled,
            file: prepared.file,
        });
        shared.segments.insert(self.segment.clone());
        Ok(())
    }

    /// Works until the log is closed or fails.
    pub(crate) fn run(mut self) -> Self {
        loop {
            match self.step() {
                Ok(true) => continue,
                Ok(false) => {}
                Err(_) => return self,
            }
            let mut front = self.shared.front();
            while front.is_idle() && !front.quit && !front.dead {
                front = self.shared.wait_for_work(front);
            }
            if front.dead || (front.quit && front.is_idle()) {
                drop(front);
                return self;
            }
        }
    }
}
