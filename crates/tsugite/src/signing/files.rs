//! The directory of keys: one file for each, `<id>.pem`, readable by nobody else.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Characters of an id, and so of a file's name without its ending.
const ID_CHARS: usize = 64;
/// Bytes of a file; a key of 8,192 bits with its certificate has about 10,000.
const FILE_BYTES: u64 = 65_536;

/// Whether a text can be the id of a key: it stands in a URL and in a file's name.
pub(super) fn is_id(text: &str) -> bool {
    (1..=ID_CHARS).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// The ids and texts of all keys, in the order of their ids. A directory that is not there holds none.
pub(super) fn read(directory: &Path) -> io::Result<Vec<(String, String)>> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(".pem"));
        if let Some(id) = id.filter(|id| is_id(id)) {
            let path = entry.path();
            let named =
                |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
            if fs::metadata(&path).map_err(named)?.len() > FILE_BYTES {
                return Err(named(io::Error::other("too large to be a key")));
            }
            found.push((id.to_owned(), fs::read_to_string(&path).map_err(named)?));
        }
    }
    found.sort();
    Ok(found)
}

/// Writes a key so that after a crash it is there whole or not at all. Returns once it is on the disk.
pub(super) fn write(directory: &Path, id: &str, text: &str) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
        builder.mode(0o700);
        options.mode(0o600);
    }
    builder.create(directory)?;
    let beside = directory.join(format!("{id}.new"));
    let mut file = options.open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, directory.join(format!("{id}.pem")))?;
    for synced in [Some(directory), directory.parent()].into_iter().flatten() {
        File::open(synced)?.sync_all()?;
    }
    Ok(())
}
