//! Why a store does not open, in words for a tired person at night.

use std::fmt;
use std::io;

use crate::disk::LockError;
use crate::format::VERSION;

/// Why a store does not open. Nothing was changed on disk.
#[derive(Debug)]
pub enum OpenError {
    /// The sizes asked for do not go together.
    Sizes(String),
    /// Another process has the directory.
    Locked {
        /// The directory.
        location: String,
        /// Who has it.
        why: LockError,
    },
    /// The disk refused.
    Io {
        /// What was being done, to which file.
        what: String,
        /// The system's error.
        error: io::Error,
    },
    /// A newer program wrote the data.
    Newer {
        /// Where.
        file: String,
        /// The format version of the file.
        version: u32,
    },
    /// A test build wrote the data, in a format that was never released.
    Older {
        /// Where.
        file: String,
        /// The format version of the file.
        version: u32,
    },
    /// A repair cannot be done.
    Hopeless {
        /// The directory.
        location: String,
        /// Why not.
        why: String,
    },
    /// The data is damaged beyond what an interrupted write explains.
    Corrupt(Corruption),
}

/// Damage: where, what, and what comes after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// The directory.
    pub location: String,
    /// The damaged file.
    pub file: String,
    /// Position in the log.
    pub lsn: u64,
    /// Byte offset in the file.
    pub offset: u64,
    /// What is wrong there.
    pub what: String,
    /// Why it is not just the end of the log.
    pub follows: String,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Corruption {
            location,
            file,
            lsn,
            offset,
            what,
            follows,
        } = self;
        write!(
            f,
            "{location}/{file} is damaged at byte {offset} (log position {lsn:#x}): {what}; {follows}"
        )
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Sizes(why) => f.write_str(why),
            OpenError::Locked { location, why } => {
                write!(f, "cannot open the data directory {location}: {why}")
            }
            OpenError::Io { what, error } => write!(f, "{what}: {error}"),
            OpenError::Newer { file, version } => write!(
                f,
                "{file} has format version {version}, but this program reads up to {VERSION}: use a newer tsugite"
            ),
            OpenError::Older { file, version } => write!(
                f,
                "{file} has format version {version}, which no released tsugite wrote and this one does not read: \
                 empty the queues with the build that wrote it, or move the directory away to start empty"
            ),
            OpenError::Hopeless { location, why } => write!(f, "{location} cannot be repaired: {why}"),
            OpenError::Corrupt(corruption) => write!(
                f,
                "{corruption}. Acknowledged data would be lost, so the store does not open and nothing was changed. \
                 Run `tsugite verify {0}` for the whole report; restore the directory from a backup, let `tsugite repair {0}` keep \
                 what can still be read, or move the directory away to start empty",
                corruption.location
            ),
        }
    }
}

impl std::error::Error for OpenError {}
