//! How likely a message leads to an entry through one value of a key, told from what other policies ask for.
//!
//! Messages are not known here. But who subscribes asks for what is published: a key under which few policies ask for
//! the same value will differ from message to message, and one under which all ask for the same will not.

/// A chance of one.
pub(super) const CERTAIN: usize = 1_000_000;

/// So many entries are found through a kind of value before it is judged.
const SAMPLE: usize = 8;

/// What is known of the entries that are found through one kind of value of a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Odds {
    entries: usize,
    /// Ordered pairs of entries with the same value.
    pairs: usize,
}

impl Odds {
    /// Another entry with a value that `others` have.
    pub(super) fn add(&mut self, others: usize) {
        self.entries += 1;
        self.pairs += 2 * others;
    }

    /// One entry less with a value that `others` have.
    pub(super) fn remove(&mut self, others: usize) {
        self.entries -= 1;
        self.pairs -= 2 * others;
    }

    /// The chance, in millionths, that a message has a value that `others` ask for: the chance that two policies ask
    /// for the same, or the share of those who ask for this one if that is more. With too few to judge by it is next
    /// to none, so that some come and try.
    pub(super) fn of(&self, others: usize) -> usize {
        if self.entries < SAMPLE {
            return others;
        }
        let same = Odds::share(self.pairs, self.entries * (self.entries - 1));
        same.max(Odds::share(others, self.entries))
    }

    /// A share in millionths; of a small whole next to none, as above.
    pub(super) fn share(part: usize, whole: usize) -> usize {
        if whole < SAMPLE {
            return part;
        }
        (CERTAIN * part / whole).max(SAMPLE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_values_have_poor_odds() {
        let (mut few, mut many) = (Odds::default(), Odds::default());
        for entry in 0..1000 {
            few.add(entry / 10); // Ten values.
            many.add(0); // All different.
        }
        assert!((90_000..110_000).contains(&few.of(100)), "{}", few.of(100));
        assert!(many.of(0) < 100, "{}", many.of(0));
        // Most ask for one value: that one is common, the others are not.
        let mut skewed = Odds::default();
        for entry in 0..1000 {
            skewed.add(entry * usize::from(entry < 900));
        }
        assert!(skewed.of(900) > 800_000, "{}", skewed.of(900));
    }

    #[test]
    fn the_first_ones_try() {
        let mut odds = Odds::default();
        assert_eq!((odds.of(0), odds.of(3)), (0, 3));
        (0..SAMPLE).for_each(|entry| odds.add(entry));
        assert!(odds.of(SAMPLE) > CERTAIN / 2);
        (0..SAMPLE).rev().for_each(|entry| odds.remove(entry));
        assert_eq!(odds, Odds::default());
    }
}
