//! What a history proves.

use std::fmt;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The history.
    pub seed: u64,
    /// In its how manieth life.
    pub life: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { seed, life, what } = self;
        write!(
            f,
            "seed {seed}, life {life}: {what}; replay with TSUGITE_SIM_SEED={seed}"
        )
    }
}

impl std::error::Error for Violation {}
