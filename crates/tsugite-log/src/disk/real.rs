//! A directory of the host's file system.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, File, Guard, LockError};

/// The file that excludes a second process; it holds the owner's process id for error messages.
const LOCK: &str = "lock";
/// What nobody waits for is written in portions of this many bytes, ...
const PORTION: usize = 1024 * 1024;
/// ... each of which is synced, so that its write-back never piles up in front of a commit, and followed by a pause in
/// which the disk is left to those who wait for it.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(2);
/// A file this small is written at once: somebody waits for the first segment.
const UNPACED: u64 = 5 * 1024 * 1024;

/// A directory on a real disk.
#[derive(Debug)]
pub struct RealDisk {
    dir: PathBuf,
    handle: fs::File,
}

impl RealDisk {
    /// Opens `dir`, creating it (readable by its owner only) with its parents if it is absent.
    pub fn open(dir: impl Into<PathBuf>) -> io::Result<RealDisk> {
        let dir = dir.into();
        if !dir.is_dir() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
            if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
                fs::File::open(parent)?.sync_all()?;
            }
        }
        let handle = fs::File::open(&dir)?;
        Ok(RealDisk { dir, handle })
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Disk for RealDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.dir.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.dir.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        Ok(names)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn lock(&self) -> Result<Box<dyn Guard>, LockError> {
        let path = self.dir.join(LOCK);
        let mut file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                let pid = fs::read_to_string(&path).ok().and_then(|t| t.trim().parse().ok());
                return Err(LockError::Held(pid));
            }
            Err(fs::TryLockError::Error(e)) => return Err(LockError::Io(e)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(LockError::Io)?;
        Ok(Box::new(Held { _file: file }))
    }

    fn location(&self) -> String {
        self.dir.display().to_string()
    }
}

/// The open lock file; the kernel releases the lock when it is closed, however the process ends.
struct Held {
    _file: fs::File,
}

impl Guard for Held {}

struct RealFile(fs::File);

impl File for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut at = self.len()?;
        reserve(&self.0, at, len)?;
        let zeros = vec![0; PORTION.min((len - at.min(len)) as usize)];
        while at < len {
            let n = (len - at).min(PORTION as u64);
            let part = &zeros[..n as usize];
            if at + n > UNPACED {
                self.write_behind(at, part)?;
            } else {
                self.write_at(at, part)?;
            }
            at += n;
        }
        Ok(())
    }

    fn write_behind(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut at = offset;
        for part in bytes.chunks(PORTION) {
            self.write_at(at, part)?;
            at += part.len() as u64;
            // A short one goes with the next.
            if part.len() >= PORTION / 4 {
                self.sync()?;
                std::thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Takes the space at once, so that a disk without it says so before anything is written.
#[cfg(target_os = "linux")]
fn reserve(file: &fs::File, from: u64, to: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    use rustix::io::Errno;
    if to <= from {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::empty(), from, to - from) {
        // A file system that cannot reserve: the zeros will find out.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(not(target_os = "linux"))]
fn reserve(_file: &fs::File, _from: u64, _to: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_lock_names_the_owner() {
        let dir = crate::testing::TempDir::new();
        let disk = RealDisk::open(dir.path()).unwrap();
        let guard = disk.lock().unwrap();
        let other = RealDisk::open(dir.path()).unwrap();
        match other.lock() {
            Err(LockError::Held(pid)) => assert_eq!(pid, Some(std::process::id())),
            Err(e) => panic!("{e}"),
            Ok(_) => panic!("locked twice"),
        }
        drop(guard);
        assert!(other.lock().is_ok());
    }

    #[test]
    fn files_do_what_the_trait_says() {
        let dir = crate::testing::TempDir::new();
        let disk = RealDisk::open(dir.path().join("a/b")).unwrap();
        let file = disk.create("x").unwrap();
        file.write_at(3, b"abc").unwrap();
        file.allocate(600_000).unwrap();
        file.sync().unwrap();
        assert_eq!(file.len().unwrap(), 600_000);
        let mut buf = [9; 8];
        assert_eq!(file.read_at(0, &mut buf).unwrap(), 8);
        assert_eq!(&buf, b"\0\0\0abc\0\0");
        assert_eq!(file.read_at(600_000, &mut buf).unwrap(), 0);
        disk.rename("x", "y").unwrap();
        assert_eq!(disk.list().unwrap(), ["y"]);
        assert!(disk.open("x").is_err());
        disk.remove("y").unwrap();
        assert!(disk.list().unwrap().is_empty());
        disk.sync_dir().unwrap();
    }
}
