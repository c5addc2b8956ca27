//! Checkpoint files: the state at one position of the log, so that a restart need not read all of it.

use std::io;

use crate::disk::{Disk, read_exact};
use crate::format::{BadHeader, CHECKPOINT_HEADER, CheckpointHeader, checkpoint_name};

/// Written under this name until it is whole.
const UNFINISHED: &str = "checkpoint.tmp";

/// Writes a checkpoint beside the old one and gives it its name once it is durable.
pub(crate) fn write(disk: &dyn Disk, header: CheckpointHeader, snapshot: &[u8]) -> io::Result<()> {
    let file = disk.create(UNFINISHED)?;
    file.write_at(0, &header.encode())?;
    file.write_at(CHECKPOINT_HEADER as u64, snapshot)?;
    file.sync()?;
    disk.rename(UNFINISHED, &checkpoint_name(header.lsn))?;
    disk.sync_dir()
}

/// Removes what an interrupted [`write`] left.
pub(crate) fn remove_unfinished(disk: &dyn Disk) {
    // Nobody reads it and the next checkpoint replaces it, so a failure here costs only space.
    let _ = disk.remove(UNFINISHED);
}

/// Why a checkpoint cannot be used.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// Its bytes are not what was written.
    Damaged(String),
    /// A newer program wrote it, in this format version.
    Newer(u32),
    /// It cannot be read.
    Io(io::Error),
}

/// Reads a checkpoint and checks it.
pub(crate) fn read(disk: &dyn Disk, lsn: u64) -> Result<(CheckpointHeader, Vec<u8>), Unusable> {
    let damaged = |what: &str| Unusable::Damaged(what.into());
    let file = disk.open(&checkpoint_name(lsn)).map_err(Unusable::Io)?;
    let file_len = file.len().map_err(Unusable::Io)?;
    let mut header = vec![0; CHECKPOINT_HEADER.min(file_len as usize)];
    read_exact(&*file, 0, &mut header).map_err(Unusable::Io)?;
    let header = match CheckpointHeader::decode(&header) {
        Ok(header) if header.lsn == lsn => header,
        Ok(_) => return Err(damaged("its header belongs to another position")),
        Err(BadHeader::Invalid) => return Err(damaged("its header is not valid")),
        Err(BadHeader::Newer(version)) => return Err(Unusable::Newer(version)),
    };
    if header.len != file_len - CHECKPOINT_HEADER as u64 {
        return Err(damaged("its length is not what its header says"));
    }
    let mut snapshot = vec![0; header.len as usize];
    read_exact(&*file, CHECKPOINT_HEADER as u64, &mut snapshot).map_err(Unusable::Io)?;
    if crc32c::crc32c(&snapshot) != header.crc {
        return Err(damaged("its checksum does not match"));
    }
    Ok((header, snapshot))
}
