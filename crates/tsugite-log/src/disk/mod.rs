//! All disk access of the store, behind two small traits.
//!
//! [`real::RealDisk`] is a directory of the host; [`sim::SimDisk`] is a seeded model of one that loses, tears,
//! reorders and fails writes. Nothing else in this crate opens a file, so whatever the store survives on the
//! model it survives for the reason that the code says.

pub mod real;
pub mod sim;

use std::fmt;
use std::io;
use std::sync::Arc;

/// One directory that holds one store.
///
/// Names are plain file names. A file's content is durable after [`File::sync`], its name after
/// [`Disk::sync_dir`]; before that a crash may lose either.
pub trait Disk: Send + Sync + 'static {
    /// Makes an empty file, replacing one of that name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Opens an existing file.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Renames a file, replacing `to` if it exists.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Deletes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names of all files, in no particular order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes creations, renames and removals so far durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Takes the directory for this process until the guard is dropped.
    fn lock(&self) -> Result<Box<dyn Guard>, LockError>;
    /// Where the directory is, for messages to people.
    fn location(&self) -> String;
}

/// One file of a [`Disk`].
pub trait File: Send + Sync + 'static {
    /// Length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills as much of `buf` as the file has from `offset` on; returns how much.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`, extending the file if need be.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Extends the file to `len` bytes of written zeros, so that later writes neither allocate space nor
    /// change the file's size. Fails with [`io::ErrorKind::StorageFull`] if there is no room.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// As [`File::write_at`] for a part of much that nobody waits for: leaves the disk to those who do wait, so that
    /// their syncs do not come to stand behind all of it.
    fn write_behind(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write_at(offset, bytes)
    }
    /// Makes the content durable (fdatasync).
    fn sync(&self) -> io::Result<()>;
}

/// Holds a directory's lock until it is dropped.
pub trait Guard: Send + Sync {}

/// Why a directory could not be locked.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it; its process id where known.
    Held(Option<u32>),
    /// The lock file could not be used.
    Io(io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Held(Some(pid)) => write!(f, "it is in use by process {pid}"),
            LockError::Held(None) => f.write_str("it is in use by another process"),
            LockError::Io(e) => write!(f, "its lock file cannot be used: {e}"),
        }
    }
}

impl std::error::Error for LockError {}

/// Whether an error means that the disk has no room, the one failure that the store survives.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Reads exactly `buf.len()` bytes, or says that the file ends before.
pub(crate) fn read_exact(file: &dyn File, mut offset: u64, mut buf: &mut [u8]) -> io::Result<()> {
    while !buf.is_empty() {
        let n = file.read_at(offset, buf)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        offset += n as u64;
        buf = &mut buf[n..];
    }
    Ok(())
}
