//! Checkpoint files: the state at one position of the log, so that a restart need not read all of it.

use std::io;

use tsugite_base::Sheaf;
use tsugite_base::codec::{Get, Malformed, Put};

use crate::disk::{Disk, read_exact};
use crate::format::{BadHeader, CHECKPOINT_HEADER, CheckpointHeader, checkpoint_name};

/// Written under this name until it is whole.
const UNFINISHED: &str = "checkpoint.tmp";

/// The segments that a start cannot do without.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Position of the checkpoint.
    pub(crate) lsn: u64,
    /// Base of the segment in which the log goes on from there.
    pub(crate) holder: u64,
    /// Base and end of each segment below that has something live in it.
    pub(crate) kept: Vec<(u64, u64)>,
}

impl Needs {
    /// Whether a segment may be needed: it is kept, or holds log that comes after the checkpoint.
    pub(crate) fn wants(&self, base: u64) -> bool {
        base >= self.holder || self.end_of(base).is_some()
    }

    /// Where a kept segment ends.
    pub(crate) fn end_of(&self, base: u64) -> Option<u64> {
        let at = self.kept.binary_search_by_key(&base, |(base, _)| *base).ok()?;
        Some(self.kept[at].1)
    }

    /// How far a segment reaches at least, as far as the checkpoint knows.
    pub(crate) fn reach(&self, base: u64) -> u64 {
        let holder = if base == self.holder { self.lsn } else { base };
        self.end_of(base).unwrap_or(holder)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(12 + 16 * self.kept.len());
        out.put_u64(self.holder);
        out.put_u32(self.kept.len() as u32);
        for (base, end) in &self.kept {
            out.put_u64(*base);
            out.put_u64(*end);
        }
        out
    }

    /// Reads it, and how many bytes it took.
    fn decode(lsn: u64, bytes: &[u8]) -> Result<(Needs, usize), Malformed> {
        const WHAT: &str = "list of segments";
        let mut get = Get::new(bytes);
        let holder = get.u64(WHAT)?;
        let mut kept = Vec::new();
        for _ in 0..get.u32(WHAT)? {
            kept.push((get.u64(WHAT)?, get.u64(WHAT)?));
        }
        Ok((Needs { lsn, holder, kept }, bytes.len() - get.remaining()))
    }
}

/// A checkpoint that can be used.
pub(crate) struct Checkpoint {
    pub(crate) log_id: u64,
    pub(crate) needs: Needs,
    payload: Vec<u8>,
    snapshot_at: usize,
}

impl Checkpoint {
    pub(crate) fn snapshot(&self) -> &[u8] {
        &self.payload[self.snapshot_at..]
    }
}

/// Writes a checkpoint beside the old one and gives it its name once it is durable.
///
/// The snapshot is freed as it is written; the header, which has its checksum, comes last. That may take seconds: who
/// writes it looks after its other duties `meanwhile`, every megabyte or so.
pub(crate) fn write(
    disk: &dyn Disk,
    log_id: u64,
    needs: &Needs,
    snapshot: Sheaf,
    mut meanwhile: impl FnMut(),
) -> io::Result<()> {
    let list = needs.encode();
    let len = (list.len() + snapshot.len()) as u64;
    let mut crc = crc32c::crc32c(&list);
    let file = disk.create(UNFINISHED)?;
    let mut at = CHECKPOINT_HEADER as u64;
    file.write_at(at, &list)?;
    at += list.len() as u64;
    for block in snapshot.into_blocks() {
        let bytes = block.to_vec();
        crc = crc32c::crc32c_append(crc, &bytes);
        file.write_behind(at, &bytes)?;
        at += bytes.len() as u64;
        meanwhile();
    }
    let header = CheckpointHeader {
        log_id,
        lsn: needs.lsn,
        len,
        crc,
    };
    file.write_at(0, &header.encode())?;
    file.sync()?;
    disk.rename(UNFINISHED, &checkpoint_name(needs.lsn))?;
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
    /// A test build wrote it, in this format version.
    Older(u32),
    /// It cannot be read.
    Io(io::Error),
}

/// Reads a checkpoint and checks it.
pub(crate) fn read(disk: &dyn Disk, lsn: u64) -> Result<Checkpoint, Unusable> {
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
        Err(BadHeader::Older(version)) => return Err(Unusable::Older(version)),
    };
    if header.len != file_len - CHECKPOINT_HEADER as u64 {
        return Err(damaged("its length is not what its header says"));
    }
    let mut payload = vec![0; header.len as usize];
    read_exact(&*file, CHECKPOINT_HEADER as u64, &mut payload).map_err(Unusable::Io)?;
    if crc32c::crc32c(&payload) != header.crc {
        return Err(damaged("its checksum does not match"));
    }
    let (needs, snapshot_at) = Needs::decode(lsn, &payload).map_err(|e| damaged(&e.to_string()))?;
    Ok(Checkpoint {
        log_id: header.log_id,
        needs,
        payload,
        snapshot_at,
    })
}
