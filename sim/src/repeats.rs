//! What clients of FIFO queues repeat, be it because no reply came: sends under their deduplication ids, receives under
//! their attempt ids. They remember both over crashes.

use tsugite_base::rng::SplitMix64;
use tsugite_checker::Entry;

/// Sends and receives that may be repeated.
#[derive(Default)]
pub(crate) struct Repeats {
    sends: Vec<(String, Entry)>,
    receives: Vec<(String, String)>,
    count: u64,
}

impl Repeats {
    /// A message for a FIFO queue: a new one with this text or, under the id of an earlier one, that one again or another.
    pub(crate) fn entry(&mut self, rng: &mut SplitMix64, queue: &str, text: String) -> Entry {
        let group = Some(format!("g{}", rng.below(3)));
        let of_queue: Vec<&Entry> = self
            .sends
            .iter()
            .filter(|(q, _)| q == queue)
            .map(|(_, e)| e)
            .collect();
        if let Some(&earlier) = of_queue.get(rng.below(3 * of_queue.len() as u64 + 1) as usize) {
            return match rng.below(4) {
                0 => Entry {
                    body: text,
                    ..earlier.clone()
                },
                1 => Entry {
                    body: text,
                    group,
                    ..earlier.clone()
                },
                _ => earlier.clone(),
            };
        }
        self.count += 1;
        let entry = Entry {
            body: text,
            group,
            dedup: Some(format!("d{}", self.count)),
            ..Entry::default()
        };
        self.sends.push((queue.to_owned(), entry.clone()));
        entry
    }

    /// A receive attempt on a FIFO queue: a new one, an earlier one, or none.
    pub(crate) fn attempt(&mut self, rng: &mut SplitMix64, queue: &str) -> Option<String> {
        let mut earlier = self.receives.iter().rev().filter(|(q, _)| q == queue);
        match rng.below(4) {
            0 => None,
            1 | 2 => earlier.next().map(|(_, attempt)| attempt.clone()),
            _ => {
                self.count += 1;
                let attempt = format!("r{}", self.count);
                self.receives.push((queue.to_owned(), attempt.clone()));
                Some(attempt)
            }
        }
    }
}
