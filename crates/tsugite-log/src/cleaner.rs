//! The cleaner: copies what lives in sparse segments to the head of the log, so that the segments can be dropped.
//!
//! It works in small steps between the keeper's other duties: find some survivors under the lock, read their bytes
//! without it, and commit them as a relocation like any other command. A segment is known to be empty once a search
//! found nothing more in it, and it leaves the log at the first checkpoint that lies behind the last copy: a crash
//! before that finds the messages in their old place.
//!
//! Who received a message before it was moved may come to read it after its segment is gone. It is then looked up
//! anew (`LogStore::payloads`), so that no segment has to wait for slow readers.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tsugite_base::{Decision, Now};
use tsugite_broker::{Search, Stowed};
use tsugite_engine::Failure;

use crate::format::segment_name;
use crate::log::{Log, Shared};
use crate::segment::Closed;
use crate::space::{Balance, Occupied, Plan, plan};
use crate::state::State;

/// Messages looked at while the lock is held: well under a millisecond.
const LOOKS: usize = 10_000;

/// Empties sparse segments.
#[derive(Default)]
pub(crate) struct Cleaner {
    pass: Option<Pass>,
    /// Segments that are known to be empty, and the position of the log behind the last copy.
    emptied: BTreeMap<u64, u64>,
    /// Segments that hold something unreadable, and so cannot be emptied.
    stuck: BTreeSet<u64>,
    /// How much of each segment lived at the newest checkpoint.
    lived: BTreeMap<u64, u64>,
}

/// One search through all queues.
struct Pass {
    victims: Vec<Closed>,
    /// A checkpoint is to free the segments at once.
    urgent: bool,
    search: Search,
    /// Read, and not committed yet.
    copies: Vec<(Stowed, Vec<u8>)>,
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is nothing to do.
    Idle,
    /// There is more to do.
    Worked,
    /// There is no room in the batch at this moment.
    Blocked,
}

impl Cleaner {
    /// Whether nothing lives in a segment any more, in the state that is durable at `lsn`.
    pub(crate) fn emptied(&self, base: u64, lsn: u64) -> bool {
        self.emptied.get(&base).is_some_and(|since| *since <= lsn)
    }

    /// A segment left the log.
    pub(crate) fn forget(&mut self, base: u64) {
        self.emptied.remove(&base);
        self.stuck.remove(&base);
    }

    /// Begins to empty segments if that is called for.
    pub(crate) fn plan<S: State>(&mut self, shared: &Shared<S>, mut kept: Vec<Occupied>, balance: &Balance) {
        let lived = kept.iter().map(|o| (o.segment.base, o.live)).collect();
        let before = std::mem::replace(&mut self.lived, lived);
        if self.pass.is_some() {
            return;
        }
        kept.retain_mut(|o| {
            let base = &o.segment.base;
            o.before = before.get(base).copied();
            !self.emptied.contains_key(base) && !self.stuck.contains(base)
        });
        let Plan { mut victims, urgent } = plan(&kept, balance, &shared.sizes);
        if !victims.is_empty() {
            victims.sort_unstable_by_key(|closed| closed.base);
            let stretches = victims.iter().map(|closed| closed.base..closed.end).collect();
            self.pass = Some(Pass {
                victims,
                urgent,
                search: Search::new(stretches),
                copies: Vec::new(),
            });
        }
    }

    /// Finds and copies a little.
    pub(crate) fn step<S: State>(&mut self, shared: &Arc<Shared<S>>) -> Progress {
        let Some(pass) = &mut self.pass else {
            return Progress::Idle;
        };
        if pass.copies.is_empty() {
            let mut found = Vec::new();
            let (all, end) = {
                let front = shared.front();
                let bytes = shared.sizes.relocation();
                let all = front.state.survivors(&mut pass.search, LOOKS, bytes, &mut found);
                (all, front.batch.end())
            };
            if found.is_empty() {
                if all {
                    self.finish(shared, end);
                }
                return Progress::Worked;
            }
            let copies = self.read(shared, found);
            if let Some(pass) = &mut self.pass {
                pass.copies = copies;
            }
        }
        self.commit(shared)
    }

    /// The bytes of what was found, as far as they are as they were written.
    fn read<S: State>(&mut self, shared: &Arc<Shared<S>>, found: Vec<Stowed>) -> Vec<(Stowed, Vec<u8>)> {
        let log = Log(shared.clone());
        let mut copies = Vec::with_capacity(found.len());
        for stowed in found {
            let bytes = log.fetch_blocking(&stowed.places());
            match bytes {
                Ok(parts) if parts.iter().all(|part| S::intact(part)) => {
                    copies.push((stowed, parts.concat()))
                }
                // Without a segment it is gone, which is none of our business.
                _ => {
                    if let Some(segment) = shared.segments.holding(stowed.payload.lsn) {
                        tracing::error!(
                            "message {} of queue number {}, at position {:#x}, is damaged: {} stays for its sake",
                            stowed.seq,
                            stowed.queue.0,
                            stowed.payload.lsn,
                            segment_name(segment.base)
                        );
                        self.stuck.insert(segment.base);
                    }
                }
            }
        }
        copies
    }

    fn commit<S: State>(&mut self, shared: &Arc<Shared<S>>) -> Progress {
        let Some(pass) = &mut self.pass else {
            return Progress::Idle;
        };
        if pass.copies.is_empty() {
            return Progress::Worked;
        }
        let copies = &pass.copies;
        let mut decide = Some(|state: &S, now: Now| {
            Ok::<_, Infallible>(Decision::record(state.relocate(copies, now), ()))
        });
        match Log(shared.clone()).attempt(&mut decide) {
            None => Progress::Blocked,
            Some(Ok(_)) => {
                let bytes = copies.iter().map(|(_, bytes)| bytes.len() as u64).sum();
                let metrics = &shared.metrics;
                metrics.relocated_bytes.fetch_add(bytes, Relaxed);
                metrics.relocated_messages.fetch_add(copies.len() as u64, Relaxed);
                pass.copies.clear();
                Progress::Worked
            }
            // A full disk has no room for copies any more, or the store stops: the next checkpoint may begin anew.
            Some(Err(Failure::Unavailable(_))) => {
                self.pass = None;
                Progress::Idle
            }
            Some(Err(Failure::Refused(never))) => match never {},
        }
    }

    fn finish<S: State>(&mut self, shared: &Shared<S>, end: u64) {
        if let Some(pass) = self.pass.take() {
            let emptied = pass
                .victims
                .iter()
                .filter(|closed| !self.stuck.contains(&closed.base));
            let before = self.emptied.len();
            self.emptied.extend(emptied.map(|closed| (closed.base, end)));
            let more = (self.emptied.len() - before) as u64;
            shared.metrics.emptied_segments.fetch_add(more, Relaxed);
            if pass.urgent && more > 0 {
                shared.front().checkpoint.due = true;
                shared.work.notify_one();
            }
        }
    }
}
