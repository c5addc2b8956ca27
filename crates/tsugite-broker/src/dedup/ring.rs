//! Acceptances by time, in pieces: what is full never changes, so a snapshot shares it.
//!
//! Of each acceptance a piece holds 96 bits of the fingerprint. Numbers and times are told by runs, of one number after
//! the other at one time: three bytes a run. A message id is told only if it is not the one that follows from number
//! and fingerprint.

use std::collections::VecDeque;
use std::sync::Arc;

use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::{Sheaf, Timestamp, Uuid};

use super::{Fingerprint, WHAT};
use crate::index::POSITIONS;
use crate::varint::{get_delta, get_varint, put_delta, put_varint};

/// Bytes of a fingerprint that are kept: two of ten million ids are taken for one with a probability of 10^-15.
const KEY: usize = 12;
/// Acceptances of a full piece: its keys and their reference count fill 16 KiB.
pub(super) const PIECE: usize = 1364;

pub(super) type Key = [u8; KEY];

/// The part of a fingerprint that is kept.
pub(super) fn key_of(fingerprint: Fingerprint) -> Key {
    let bytes = fingerprint.0.map(u64::to_le_bytes);
    std::array::from_fn(|i| bytes[i / 8][i % 8])
}

/// What is kept of an acceptance beside its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Noted {
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    /// The message's id, if it has one of its own.
    pub(super) id: Option<Uuid>,
}

/// A full piece.
#[derive(Clone, Debug)]
struct Piece {
    keys: Arc<[u8]>,
    /// The runs, a zero, and the ids.
    notes: Arc<[u8]>,
    /// When the last of them was accepted.
    last: Timestamp,
}

/// The piece that is being filled.
#[derive(Clone, Debug, Default)]
struct Tail {
    keys: Vec<u8>,
    /// The runs that are over.
    runs: Vec<u8>,
    /// What the last run is told relative to.
    before: Step,
    /// The last run: how many so far, and what comes after them.
    run: (u64, Step),
    ids: Vec<(u64, Uuid)>,
}

/// The number that would come next in a run, and its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Step {
    seq: u64,
    at: Timestamp,
}

impl Tail {
    fn len(&self) -> usize {
        self.keys.len() / KEY
    }

    fn push(&mut self, key: &Key, noted: Noted) {
        let (count, next) = self.run;
        let here = Step {
            seq: noted.seq,
            at: noted.at,
        };
        if count > 0 && next != here {
            put_run(&mut self.runs, self.before, self.run);
            self.before = next;
            self.run.0 = 0;
        }
        self.run = (
            self.run.0 + 1,
            Step {
                seq: noted.seq.wrapping_add(1),
                at: noted.at,
            },
        );
        let index = self.len() as u64;
        self.ids.extend(noted.id.map(|id| (index, id)));
        self.keys.extend_from_slice(key);
    }

    /// The notes as those of a full piece.
    fn notes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.runs.len() + 24 + self.ids.len() * 18);
        out.extend_from_slice(&self.runs);
        if self.run.0 > 0 {
            put_run(&mut out, self.before, self.run);
        }
        out.put_u8(0);
        put_varint(&mut out, self.ids.len() as u64);
        for (index, id) in &self.ids {
            put_varint(&mut out, *index);
            out.extend_from_slice(&id.0);
        }
        out
    }
}

/// Appends a run: how many, and how far its first number and its time are from what would have come next.
fn put_run(out: &mut Vec<u8>, before: Step, (count, next): (u64, Step)) {
    put_varint(out, count);
    put_delta(out, before.seq, next.seq.wrapping_sub(count));
    put_varint(out, next.at.since(before.at).as_millis() as u64);
}

/// Reads a run that [`put_run`] wrote: how many, the first number, and what comes next. `None` at the end.
fn get_run(get: &mut Get<'_>, before: Step) -> Result<Option<(u64, u64, Step)>, Malformed> {
    let malformed = Malformed { what: WHAT };
    let count = get_varint(get)?;
    if count == 0 {
        return Ok(None);
    }
    let first = get_delta(get, before.seq)?;
    let at = before.at.0.checked_add(get_varint(get)?).ok_or(malformed)?;
    let next = Step {
        seq: first.wrapping_add(count),
        at: Timestamp(at),
    };
    Ok(Some((count, first, next)))
}

/// Number `index` of a piece.
fn noted(notes: &[u8], index: u64) -> Result<Noted, Malformed> {
    let (mut get, mut before, mut from) = (Get::new(notes), Step::default(), 0);
    let mut found = None;
    while let Some((count, first, next)) = get_run(&mut get, before)? {
        if (from..from + count).contains(&index) {
            found = Some((first + (index - from), next.at));
        }
        (from, before) = (from + count, next);
    }
    let (seq, at) = found.ok_or(Malformed { what: WHAT })?;
    let mut id = None;
    for _ in 0..get_varint(&mut get)? {
        let (at, own) = (get_varint(&mut get)?, get.bytes16(WHAT)?);
        id = id.or((at == index).then_some(Uuid(own)));
    }
    Ok(Noted { seq, at, id })
}

/// The acceptances, oldest first. Each has a position below [`POSITIONS`]; after the last
/// comes the first.
#[derive(Clone, Debug, Default)]
pub(super) struct Ring {
    full: VecDeque<Piece>,
    tail: Tail,
    /// Position of the first.
    base: u32,
}

const WRAP: u32 = POSITIONS - 1;

impl Ring {
    pub(super) fn len(&self) -> usize {
        self.full.len() * PIECE + self.tail.len()
    }

    /// The position that the next one gets.
    pub(super) fn end(&self) -> u32 {
        self.base.wrapping_add(self.len() as u32) & WRAP
    }

    pub(super) fn push(&mut self, key: &Key, noted: Noted) {
        self.tail.push(key, noted);
        if self.tail.len() == PIECE {
            let tail = std::mem::take(&mut self.tail);
            self.full.push_back(Piece {
                notes: tail.notes().into(),
                keys: tail.keys.into(),
                last: tail.run.1.at,
            });
        }
    }

    /// When the last of all was accepted.
    pub(super) fn last(&self) -> Option<Timestamp> {
        if self.tail.len() > 0 {
            return Some(self.tail.run.1.at);
        }
        self.full.back().map(|piece| piece.last)
    }

    /// When the last of the first piece was, if that is full.
    pub(super) fn first_full(&self) -> Option<Timestamp> {
        self.full.front().map(|piece| piece.last)
    }

    /// The position of number `index` of the first piece.
    pub(super) const fn in_first(&self, index: usize) -> u32 {
        self.base.wrapping_add(index as u32) & WRAP
    }

    /// Drops the first piece, which is full.
    pub(super) fn drop_first(&mut self) {
        if self.full.pop_front().is_some() {
            self.base = self.base.wrapping_add(PIECE as u32) & WRAP;
        }
    }

    pub(super) fn key(&self, position: u32) -> Key {
        let (piece, index) = self.locate(position);
        let keys = self
            .full
            .get(piece)
            .map_or(&self.tail.keys[..], |full| &full.keys);
        let key = keys.get(index * KEY..(index + 1) * KEY);
        key.and_then(|key| key.try_into().ok()).unwrap_or_default()
    }

    pub(super) fn noted(&self, position: u32) -> Noted {
        let (piece, index) = self.locate(position);
        let noted = match self.full.get(piece) {
            Some(full) => noted(&full.notes, index as u64),
            None => noted(&self.tail.notes(), index as u64),
        };
        noted.expect("written or checked by this ring")
    }

    const fn locate(&self, position: u32) -> (usize, usize) {
        let at = (position.wrapping_sub(self.base) & WRAP) as usize;
        (at / PIECE, at % PIECE)
    }

    /// Bytes of memory.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let each = |piece: &Piece| piece.keys.len() + piece.notes.len() + 32 + size_of::<Piece>();
        self.full.iter().map(each).sum::<usize>() + self.tail.keys.capacity() + self.tail.runs.capacity()
    }

    /// Appends all pieces but those at the front in which everything is `over`.
    pub(super) fn encode(&self, out: &mut Sheaf, over: impl Fn(Timestamp) -> bool) {
        let first = self.full.iter().take_while(|piece| over(piece.last)).count();
        let tail = self.tail.len() > 0 && !over(self.tail.run.1.at);
        let pieces = self.full.len() - first + usize::from(tail);
        out.bytes().put_u32(pieces as u32);
        for piece in self.full.range(first..) {
            out.bytes().put_u32(PIECE as u32);
            out.share(&piece.keys);
            out.bytes().put_u32(piece.notes.len() as u32);
            out.share(&piece.notes);
        }
        if tail {
            let out = out.bytes();
            out.put_u32(self.tail.len() as u32);
            out.extend_from_slice(&self.tail.keys);
            out.put_bytes(&self.tail.notes());
        }
    }

    pub(super) fn decode(get: &mut Get<'_>) -> Result<Ring, Malformed> {
        let malformed = Malformed { what: WHAT };
        let mut ring = Ring::default();
        let mut last = Timestamp(0);
        for _ in 0..get.u32(WHAT)? {
            let count = get.u32(WHAT)? as usize;
            if count == 0 || count > PIECE || ring.tail.len() > 0 {
                return Err(malformed);
            }
            let keys = get.take(count * KEY, WHAT)?;
            let notes = get.bytes(WHAT)?;
            let mut tail = Tail::default();
            let runs = tail.read_notes(notes, count as u64, &mut last)?;
            if count == PIECE {
                ring.full.push_back(Piece {
                    keys: keys.into(),
                    notes: notes.into(),
                    last,
                });
            } else {
                (tail.keys, tail.runs) = (keys.to_vec(), runs.to_vec());
                ring.tail = tail;
            }
        }
        Ok(ring)
    }
}

impl Tail {
    /// Reads what [`Tail::notes`] wrote of so many acceptances, whose times begin at `last` or later and which moves
    /// that on. Returns the runs that are over.
    fn read_notes<'a>(
        &mut self,
        notes: &'a [u8],
        acceptances: u64,
        last: &mut Timestamp,
    ) -> Result<&'a [u8], Malformed> {
        let malformed = Malformed { what: WHAT };
        let mut get = Get::new(notes);
        let (mut total, mut over) = (0_u64, 0);
        loop {
            let (begin, before) = (notes.len() - get.remaining(), self.run.1);
            let Some((count, _, next)) = get_run(&mut get, before)? else {
                break;
            };
            if next.at < *last {
                return Err(malformed);
            }
            *last = next.at;
            total = total.checked_add(count).ok_or(malformed)?;
            (self.before, self.run, over) = (before, (count, next), begin);
        }
        if total != acceptances {
            return Err(malformed);
        }
        for _ in 0..get_varint(&mut get)? {
            let (index, id) = (get_varint(&mut get)?, Uuid(get.bytes16(WHAT)?));
            if index >= total {
                return Err(malformed);
            }
            self.ids.push((index, id));
        }
        get.end(WHAT)?;
        Ok(&notes[..over])
    }
}
