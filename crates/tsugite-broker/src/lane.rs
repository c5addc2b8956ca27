//! A line of message numbers, first come, first served: two or three bytes an entry.
//!
//! Each entry has a turn (the first ever has 1) by which its message knows it. A message that goes away from the
//! middle leaves its entry behind: an entry counts only as long as its message has that turn. Each entry also has a
//! mark, the number that the queue's next message had when the entry was made, to tell which of two lines is older.

use tsugite_base::codec::{Get, Malformed, Put};

use crate::varint::{get_varint, put_varint, unzigzag, zigzag};

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
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// The turn of the first entry.
    turn: u64,
    len: u32,
    /// Where the entry after the first begins in `bytes`.
    start: u32,
    first: Entry,
    last: Entry,
    /// Every entry but the first, relative to the one before.
    bytes: Vec<u8>,
}

impl Default for Lane {
    fn default() -> Lane {
        Lane {
            turn: 1,
            len: 0,
            start: 0,
            first: Entry::default(),
            last: Entry::default(),
            bytes: Vec::new(),
        }
    }
}

impl Lane {
    pub(crate) const fn len(&self) -> usize {
        self.len as usize
    }

    /// The mark for an entry that comes now: `next`, or that of the last one if numbers went back, as they may after a
    /// record was lost.
    pub(crate) const fn mark(&self, next: u64) -> u64 {
        if self.len > 0 && self.last.mark > next {
            self.last.mark
        } else {
            next
        }
    }

    /// The first entry and its turn.
    pub(crate) fn first(&self) -> Option<(u64, Entry)> {
        (self.len > 0).then_some((self.turn, self.first))
    }

    /// Every entry with its turn.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Entry)> {
        let mut get = self.rest();
        let (mut at, end) = (self.first, self.len);
        (0..end).map(move |i| {
            if i > 0 {
                at = next(&mut get, at).expect("written by this line");
            }
            (self.turn + u64::from(i), at)
        })
    }

    /// Adds a message at the end and returns its turn.
    pub(crate) fn push(&mut self, entry: Entry) -> u64 {
        if self.len == 0 {
            self.first = entry;
        } else {
            let marked = entry.mark != self.last.mark;
            // Numbers stay far below 2^62: the two spare bits are the sign and whether a mark follows.
            put_varint(
                &mut self.bytes,
                zigzag(self.last.seq, entry.seq) << 1 | u64::from(marked),
            );
            if marked {
                put_varint(&mut self.bytes, entry.mark - self.last.mark);
            }
        }
        self.last = entry;
        self.len += 1;
        self.turn + u64::from(self.len) - 1
    }

    /// Takes the first entry away.
    pub(crate) fn pop(&mut self) {
        if self.len <= 1 {
            self.turn += u64::from(self.len);
            (self.len, self.start) = (0, 0);
            if self.bytes.capacity() > 1_024 {
                self.bytes = Vec::new();
            }
            self.bytes.clear();
            return;
        }
        let mut get = self.rest();
        let before = get.remaining();
        let first = next(&mut get, self.first).expect("written by this line");
        let read = before - get.remaining();
        self.first = first;
        self.start += read as u32;
        self.len -= 1;
        self.turn += 1;
        if self.start >= 64 && self.start as usize * 2 >= self.bytes.len() {
            self.bytes.drain(..self.start as usize);
            self.start = 0;
            if self.bytes.capacity() > 4 * self.bytes.len() + 64 {
                self.bytes.shrink_to(2 * self.bytes.len());
            }
        }
    }

    /// An empty line whose turns go on where this one's end.
    pub(crate) fn successor(&self) -> Lane {
        Lane {
            turn: self.turn + u64::from(self.len),
            ..Lane::default()
        }
    }

    fn rest(&self) -> Get<'_> {
        Get::new(&self.bytes[self.start as usize..])
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(self.turn);
        out.put_u32(self.len);
        if self.len == 0 {
            return;
        }
        for entry in [self.first, self.last] {
            put_varint(out, entry.seq);
            put_varint(out, entry.mark);
        }
        out.put_bytes(&self.bytes[self.start as usize..]);
    }

    pub(crate) fn decode(get: &mut Get<'_>) -> Result<Lane, Malformed> {
        let mut lane = Lane {
            turn: get.u64(WHAT)?,
            len: get.u32(WHAT)?,
            ..Lane::default()
        };
        if lane.len == 0 {
            return Ok(lane);
        }
        let mut entry = || {
            Ok(Entry {
                seq: get_varint(get)?,
                mark: get_varint(get)?,
            })
        };
        (lane.first, lane.last) = (entry()?, entry()?);
        lane.bytes = get.bytes(WHAT)?.to_vec();
        // Read once here, so that it can be trusted from then on.
        let mut rest = lane.rest();
        let mut at = lane.first;
        for _ in 1..lane.len {
            at = next(&mut rest, at)?;
        }
        rest.end(WHAT)?;
        if at != lane.last {
            return Err(Malformed { what: WHAT });
        }
        Ok(lane)
    }
}

/// The entry after `before`.
fn next(get: &mut Get<'_>, before: Entry) -> Result<Entry, Malformed> {
    let head = get_varint(get)?;
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
        let mut rng = SplitMix64::new(3);
        let (mut lane, mut model) = (Lane::default(), VecDeque::new());
        let (mut turn, mut mark) = (1, 0);
        for step in 0..50_000 {
            let growing = (step / 1_000) % 2 == 0;
            if rng.below(10) < if growing { 7 } else { 3 } {
                mark += rng.below(3);
                let entry = Entry {
                    seq: rng.below(1 << 40),
                    mark,
                };
                assert_eq!(lane.push(entry), turn + model.len() as u64);
                model.push_back(entry);
            } else if model.pop_front().is_some() {
                lane.pop();
                turn += 1;
            }
            assert_eq!(lane.first(), model.front().map(|entry| (turn, *entry)));
            assert_eq!(lane.len(), model.len());
            if step % 997 == 0 {
                assert!(lane.iter().eq((turn..).zip(model.iter().copied())));
                let mut bytes = Vec::new();
                lane.encode(&mut bytes);
                lane = Lane::decode(&mut Get::new(&bytes)).unwrap();
                for len in 0..bytes.len().min(64) {
                    assert!(Lane::decode(&mut Get::new(&bytes[..len])).is_err());
                }
            }
        }
        let turn = lane.successor().push(Entry::default());
        assert_eq!(turn, lane.first().map_or(turn, |(t, _)| t + lane.len() as u64));
    }

    #[test]
    fn neighbours_cost_two_bytes() {
        let mut lane = Lane::default();
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
