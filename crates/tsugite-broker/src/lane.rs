//! A line of message numbers, first come, first served: two or three bytes an entry.
//!
//! Each entry has a turn (the first ever has 1) by which its message knows it. A message that goes away from the
//! middle leaves its entry behind: an entry counts only as long as its message has that turn. Each entry also has a
//! mark, the number that the queue's next message had when the entry was made, to tell which of two lines is older.
//! The lines of FIFO groups, whose messages have a single place, have neither.

use tsugite_base::codec::{Get, Malformed};

use crate::varint::{get_delta, get_varint, put_delta, put_varint, unzigzag, zigzag};

const WHAT: &str = "line of messages";

/// An entry of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The message's number.
    pub(crate) seq: u64,
    /// What the number of the queue's next message was when it came here. Never falls along the line.
    pub(crate) mark: u64,
}

/// The line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lane {
    len: u32,
    /// Where the entry after the first begins in `bytes`.
    start: u32,
    /// The number of the first entry.
    first: u64,
    /// The number of the last entry.
    last: u64,
    /// Every entry but the first, relative to the one before.
    bytes: Vec<u8>,
    /// Of a line with turns and marks. There may be millions of lines without, which are kept small.
    turns: Option<Box<Turns>>,
}

#[derive(Clone, Debug)]
struct Turns {
    /// The turn of the first entry.
    turn: u64,
    /// The mark of the first entry.
    first: u64,
    /// The mark of the last entry.
    last: u64,
    /// The mark of the whole line.
    since: u64,
}

impl Lane {
    /// A line whose entries have turns and marks; in others all of them are zero.
    pub(crate) fn with_turns() -> Lane {
        Lane::from_turn(1)
    }

    fn from_turn(turn: u64) -> Lane {
        Lane {
            turns: Some(Box::new(Turns {
                turn,
                first: 0,
                last: 0,
                since: 0,
            })),
            ..Lane::default()
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// The mark for an entry that comes now: `next`, or that of the last one if numbers went back, as they may after a
    /// record was lost.
    pub(crate) fn mark(&self, next: u64) -> u64 {
        let last = self.turns.as_ref().filter(|_| self.len > 0);
        last.map_or(next, |turns| turns.last.max(next))
    }

    /// What was last given to [`Lane::set_since`]; zero in a line without marks.
    pub(crate) fn since(&self) -> u64 {
        self.turns.as_ref().map_or(0, |turns| turns.since)
    }

    /// Marks the line as a whole, if it has marks.
    pub(crate) fn set_since(&mut self, mark: u64) {
        if let Some(turns) = &mut self.turns {
            turns.since = mark;
        }
    }

    /// The first entry and its turn.
    pub(crate) fn first(&self) -> Option<(u64, Entry)> {
        (self.len > 0).then(|| {
            let (turn, mark) = self.turns.as_ref().map_or((0, 0), |t| (t.turn, t.first));
            let seq = self.first;
            (turn, Entry { seq, mark })
        })
    }

    /// Every entry with its turn.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Entry)> {
        let (mut get, marked) = (self.rest(), self.turns.is_some());
        let (turn, mut at) = self.first().unwrap_or_default();
        (0..self.len).map(move |i| {
            if i > 0 {
                at = next(&mut get, at, marked).expect("written by this line");
            }
            (if marked { turn + u64::from(i) } else { 0 }, at)
        })
    }

    /// Adds a message at the end and returns its turn.
    pub(crate) fn push(&mut self, entry: Entry) -> u64 {
        let mut added = [0; 20];
        let len = match (&mut self.turns, self.len) {
            (None, 0) => 0,
            (None, _) => put(&mut added, zigzag(self.last, entry.seq)),
            (Some(turns), 0) => {
                (turns.first, turns.last) = (entry.mark, entry.mark);
                0
            }
            (Some(turns), _) => {
                let ahead = entry.mark - turns.last;
                turns.last = entry.mark;
                // Numbers stay far below 2^62: the two spare bits are the sign and whether a mark follows.
                let head = zigzag(self.last, entry.seq) << 1 | u64::from(ahead > 0);
                let len = put(&mut added, head);
                let mark = if ahead > 0 {
                    put(&mut added[len..], ahead)
                } else {
                    0
                };
                len + mark
            }
        };
        if self.len == 0 {
            self.first = entry.seq;
        }
        if self.bytes.len() + len > self.bytes.capacity() {
            // There may be millions of short lines: room is made for an eighth more, not for twice as much.
            self.bytes.reserve_exact(len.max(self.bytes.len() / 8).max(8));
        }
        self.bytes.extend_from_slice(&added[..len]);
        self.last = entry.seq;
        self.len += 1;
        let turns = self.turns.as_ref();
        turns.map_or(0, |turns| turns.turn + u64::from(self.len) - 1)
    }

    /// Takes the first entry away.
    pub(crate) fn pop(&mut self) {
        if self.len == 0 {
            return;
        }
        if self.len == 1 {
            (self.len, self.start) = (0, 0);
            if let Some(turns) = &mut self.turns {
                turns.turn += 1;
            }
            if self.bytes.capacity() > 1_024 {
                self.bytes = Vec::new();
            }
            self.bytes.clear();
            return;
        }
        let mut get = self.rest();
        let before = get.remaining();
        let (_, at) = self.first().unwrap_or_default();
        let first = next(&mut get, at, self.turns.is_some()).expect("written by this line");
        let read = before - get.remaining();
        self.first = first.seq;
        self.start += read as u32;
        self.len -= 1;
        if let Some(turns) = &mut self.turns {
            turns.first = first.mark;
            turns.turn += 1;
        }
        if self.start >= 64 && self.start as usize * 2 >= self.bytes.len() {
            self.bytes.drain(..self.start as usize);
            self.start = 0;
            if self.bytes.capacity() > 4 * self.bytes.len() + 64 {
                self.bytes.shrink_to(2 * self.bytes.len());
            }
        }
    }

    /// An empty line of the same mark whose turns go on where this one's end.
    pub(crate) fn successor(&self) -> Lane {
        let mut lane = match &self.turns {
            Some(turns) => Lane::from_turn(turns.turn + u64::from(self.len)),
            None => Lane::default(),
        };
        lane.set_since(self.since());
        lane
    }

    fn rest(&self) -> Get<'_> {
        Get::new(&self.bytes[self.start as usize..])
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len.into());
        if let Some(turns) = &self.turns {
            put_varint(out, turns.turn);
            put_varint(out, turns.since);
        }
        if self.len == 0 {
            return;
        }
        put_varint(out, self.first);
        put_delta(out, self.first, self.last);
        if let Some(turns) = &self.turns {
            put_varint(out, turns.first);
            put_delta(out, turns.first, turns.last);
        }
        let rest = &self.bytes[self.start as usize..];
        put_varint(out, rest.len() as u64);
        out.extend_from_slice(rest);
    }

    /// Reads what [`Lane::encode`] wrote of a line with turns or of one without.
    pub(crate) fn decode(get: &mut Get<'_>, with_turns: bool) -> Result<Lane, Malformed> {
        let malformed = Malformed { what: WHAT };
        let len = u32::try_from(get_varint(get)?).map_err(|_| malformed)?;
        let mut lane = if with_turns {
            let mut lane = Lane::from_turn(get_varint(get)?);
            lane.set_since(get_varint(get)?);
            lane
        } else {
            Lane::default()
        };
        lane.len = len;
        if lane.len == 0 {
            return Ok(lane);
        }
        lane.first = get_varint(get)?;
        lane.last = get_delta(get, lane.first)?;
        if let Some(turns) = &mut lane.turns {
            turns.turn.checked_add(len.into()).ok_or(malformed)?;
            turns.first = get_varint(get)?;
            turns.last = get_delta(get, turns.first)?;
        }
        let bytes = usize::try_from(get_varint(get)?).map_err(|_| malformed)?;
        lane.bytes = get.take(bytes, WHAT)?.to_vec();
        // Read once here, so that it can be trusted from then on.
        let mut rest = lane.rest();
        let (_, mut at) = lane.first().unwrap_or_default();
        for _ in 1..lane.len {
            at = next(&mut rest, at, with_turns)?;
        }
        rest.end(WHAT)?;
        let mark = lane.turns.as_ref().map_or(0, |turns| turns.last);
        if (at.seq, at.mark) != (lane.last, mark) {
            return Err(malformed);
        }
        Ok(lane)
    }
}

/// Writes a number at the front of `out` and returns its length.
fn put(out: &mut [u8], mut n: u64) -> usize {
    let mut len = 0;
    while n >= 0x80 {
        out[len] = n as u8 | 0x80;
        (n, len) = (n >> 7, len + 1);
    }
    out[len] = n as u8;
    len + 1
}

/// The entry after `before`.
fn next(get: &mut Get<'_>, before: Entry, marked: bool) -> Result<Entry, Malformed> {
    let head = get_varint(get)?;
    if !marked {
        return Ok(Entry {
            seq: unzigzag(before.seq, head),
            mark: 0,
        });
    }
    let mark = if head & 1 == 0 {
        before.mark
    } else {
        let ahead = get_varint(get)?;
        before.mark.checked_add(ahead).ok_or(Malformed { what: WHAT })?
    };
    Ok(Entry {
        seq: unzigzag(before.seq, head >> 1),
        mark,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use tsugite_base::rng::SplitMix64;

    #[test]
    fn agrees_with_a_plain_queue_under_random_use() {
        random_use(Lane::with_turns(), 1, 3);
        random_use(Lane::default(), 0, 1);
    }

    /// Of a line whose turns begin at `turn`, and whose marks grow by less than `marks`.
    fn random_use(mut lane: Lane, mut turn: u64, marks: u64) {
        let with_turns = turn > 0;
        let mut rng = SplitMix64::new(3);
        let (mut model, mut mark) = (VecDeque::new(), 0);
        for step in 0..50_000 {
            let growing = (step / 1_000) % 2 == 0;
            if rng.below(10) < if growing { 7 } else { 3 } {
                mark += rng.below(marks);
                let entry = Entry {
                    seq: rng.below(1 << 40),
                    mark,
                };
                let expected = if with_turns { turn + model.len() as u64 } else { 0 };
                assert_eq!(lane.push(entry), expected);
                model.push_back(entry);
            } else if model.pop_front().is_some() {
                lane.pop();
                turn += u64::from(with_turns);
            }
            assert_eq!(lane.first(), model.front().map(|entry| (turn, *entry)));
            assert_eq!(lane.len(), model.len());
            if step % 997 == 0 {
                let turns = (0..).map(|i| if with_turns { turn + i } else { 0 });
                assert!(lane.iter().eq(turns.zip(model.iter().copied())));
                lane.set_since(mark + 7);
                let mut bytes = Vec::new();
                lane.encode(&mut bytes);
                lane = Lane::decode(&mut Get::new(&bytes), with_turns).unwrap();
                assert_eq!(lane.since(), if with_turns { mark + 7 } else { 0 });
                for len in 0..bytes.len().min(64) {
                    assert!(Lane::decode(&mut Get::new(&bytes[..len]), with_turns).is_err());
                }
            }
        }
        let next = lane.successor().push(Entry::default());
        assert_eq!(next, if with_turns { turn + model.len() as u64 } else { 0 });
    }

    #[test]
    fn neighbours_cost_two_bytes() {
        let mut lane = Lane::with_turns();
        for seq in 0..10_000 {
            lane.push(Entry {
                seq: seq * 20,
                mark: 5,
            });
        }
        assert!(lane.bytes.len() <= 20_000);
        (0..10_000).for_each(|_| lane.pop());
        assert!(lane.bytes.capacity() < 200);
    }
}
