//! A model of a disk, seeded: what a crash leaves is drawn from everything that a real disk may leave.
//!
//! Each file is what the program sees and, apart, what is durable. A write changes the first; a sync brings the
//! second up to it. [`SimDisk::crash`] decides for every 512-byte sector of every unsynced write whether it
//! arrived, so writes are lost, torn and reordered. Names behave as on a journalled file system: unsynced
//! creations, renames and removals survive up to some point in their order. Faults are set off by counting
//! operations, so that a history can fail at each of them in turn.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tsugite_base::rng::SplitMix64;

use super::{Disk, File, Guard, LockError};

/// What disks write all or nothing.
const SECTOR: u64 = 512;

/// What a crash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process ends (kill -9); the kernel keeps everything that was written.
    Process,
    /// The power fails; only what was synced is certain.
    Power,
}

/// What goes wrong at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails with EIO; a failed write may be half done, a failed sync leaves nothing certain.
    Error,
    /// The machine stops before the operation: it and all later ones fail.
    Halt,
}

/// What was done to the disk, in order: the trace of a simulation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A file was made.
    Create(String),
    /// Bytes were written: file, offset, length.
    Write(String, u64, u64),
    /// A file was synced.
    Sync(String),
    /// A file was renamed.
    Rename(String, String),
    /// A file was removed.
    Remove(String),
    /// The directory was synced.
    SyncDir,
}

/// The model.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Model>>);

/// The bytes of all files: what a crash left, or what a disk starts from.
pub type Image = BTreeMap<String, Vec<u8>>;

struct Model {
    rng: SplitMix64,
    /// Names as the program sees them, and as they are durably.
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Changes of names since the directory was synced.
    renames: Vec<NameChange>,
    files: Vec<Content>,
    locked: bool,
    /// Bytes that all files may hold.
    capacity: u64,
    operations: u64,
    fault: Option<(u64, Fault)>,
    halted: bool,
    /// Syncs say that they were done, and were not.
    lazy: bool,
    trace: Vec<Operation>,
}

#[derive(Clone)]
enum NameChange {
    Put(String, usize),
    Rename(String, String),
    Remove(String),
}

#[derive(Default)]
struct Content {
    name: String,
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Unsynced writes: offset and bytes.
    writes: Vec<(u64, Vec<u8>)>,
}

impl SimDisk {
    /// A disk that holds `image`; the same seed gives the same crashes.
    pub fn new(seed: u64, image: Image) -> SimDisk {
        let mut files = Vec::new();
        let mut names = BTreeMap::new();
        for (name, bytes) in image {
            names.insert(name.clone(), files.len());
            files.push(Content {
                name,
                seen: bytes.clone(),
                durable: bytes,
                writes: Vec::new(),
            });
        }
        SimDisk(Arc::new(Mutex::new(Model {
            rng: SplitMix64::new(seed),
            durable_names: names.clone(),
            names,
            renames: Vec::new(),
            files,
            locked: false,
            capacity: u64::MAX,
            operations: 0,
            fault: None,
            halted: false,
            lazy: false,
            trace: Vec::new(),
        })))
    }

    /// Limits the bytes that all files together may hold.
    pub fn set_capacity(&self, bytes: u64) {
        self.model().capacity = bytes;
    }

    /// Sets `fault` off `after` further operations that change the disk.
    pub fn fail(&self, after: u64, fault: Fault) {
        let mut model = self.model();
        model.fault = Some((model.operations + after, fault));
    }

    /// Operations so far that changed the disk.
    pub fn operations(&self) -> u64 {
        self.model().operations
    }

    /// Whether [`Fault::Halt`] has struck.
    pub fn halted(&self) -> bool {
        self.model().halted
    }

    /// Lets syncs succeed without any effect, as a cheating disk or a forgotten call would.
    pub fn ignore_syncs(&self, ignore: bool) {
        self.model().lazy = ignore;
    }

    /// Flips one bit of a file, behind the program's back.
    pub fn flip(&self, name: &str, offset: u64, bit: u8) {
        let mut model = self.model();
        if let Some(&id) = model.names.get(name) {
            let file = &mut model.files[id];
            let at = offset as usize;
            for bytes in [&mut file.seen, &mut file.durable] {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (bit % 8);
                }
            }
        }
    }

    /// Everything done so far.
    pub fn trace(&self) -> Vec<Operation> {
        self.model().trace.clone()
    }

    /// What the program sees.
    pub fn image(&self) -> Image {
        let model = self.model();
        let seen = |(name, &id): (&String, &usize)| (name.clone(), model.files[id].seen.clone());
        model.names.iter().map(seen).collect()
    }

    /// What is left after a crash now.
    pub fn crash(&self, crash: Crash) -> Image {
        match crash {
            Crash::Process => self.image(),
            Crash::Power => self.model().power_cut(),
        }
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Model {
    /// Counts an operation and lets it fail if its time has come.
    fn operate(&mut self, operation: Operation) -> io::Result<()> {
        if self.halted {
            return Err(halted());
        }
        let number = self.operations;
        self.operations += 1;
        if let Some((at, fault)) = self.fault
            && number >= at
        {
            self.fault = None;
            match fault {
                Fault::Error => {
                    self.damage(&operation);
                    return Err(io::Error::other("simulated I/O error"));
                }
                Fault::Halt => {
                    self.halted = true;
                    return Err(halted());
                }
            }
        }
        self.trace.push(operation);
        Ok(())
    }

    /// A failed sync: the kernel may have dropped any of the dirty pages, and calls them clean.
    fn damage(&mut self, operation: &Operation) {
        if let Operation::Sync(name) = operation
            && let Some(&id) = self.names.get(name)
        {
            let survivor = self.survivor(id);
            self.files[id].durable = survivor;
            self.files[id].writes.clear();
        }
    }

    fn used(&self) -> u64 {
        self.names
            .values()
            .map(|&id| self.files[id].seen.len() as u64)
            .sum()
    }

    fn write(&mut self, id: usize, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = &self.files[id];
        let end = offset + bytes.len() as u64;
        let growth = end.saturating_sub(file.seen.len() as u64);
        let operation = Operation::Write(file.name.clone(), offset, bytes.len() as u64);
        if growth > 0 && self.used() + growth > self.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let done = self.operate(operation);
        // A write that fails may be half done.
        let bytes = if done.is_ok() {
            bytes
        } else {
            &bytes[..bytes.len() / 2]
        };
        let file = &mut self.files[id];
        if !self.halted {
            put(&mut file.seen, offset, bytes);
            file.writes.push((offset, bytes.to_vec()));
        }
        done
    }

    /// One possible durable content of a file with unsynced writes.
    fn survivor(&mut self, id: usize) -> Vec<u8> {
        let file = &self.files[id];
        let mut content = file.durable.clone();
        // Often nothing or everything arrived; those extremes deserve more than chance gives them.
        let odds = [0, 8, 4, 12, 15, 16][self.rng.below(6) as usize];
        for (offset, bytes) in &file.writes {
            let mut at = *offset;
            let end = offset + bytes.len() as u64;
            while at < end {
                let next = ((at / SECTOR + 1) * SECTOR).min(end);
                if self.rng.below(16) < odds {
                    put(
                        &mut content,
                        at,
                        &bytes[(at - offset) as usize..(next - offset) as usize],
                    );
                }
                at = next;
            }
        }
        content
    }

    fn power_cut(&mut self) -> Image {
        let kept = self.rng.below(self.renames.len() as u64 + 1) as usize;
        let mut names = self.durable_names.clone();
        for change in &self.renames[..kept] {
            change.apply(&mut names);
        }
        names
            .into_iter()
            .map(|(name, id)| (name, self.survivor(id)))
            .collect()
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.renames.push(change);
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            NameChange::Put(name, id) => {
                names.insert(name.clone(), *id);
            }
            NameChange::Rename(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
            NameChange::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

fn put(content: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let (from, to) = (offset as usize, offset as usize + bytes.len());
    if content.len() < to {
        content.resize(to, 0);
    }
    content[from..to].copy_from_slice(bytes);
}

fn halted() -> io::Error {
    io::Error::other("the simulated machine has stopped")
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no file {name}"))
}

impl Disk for SimDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut model = self.model();
        model.operate(Operation::Create(name.into()))?;
        let id = model.files.len();
        model.files.push(Content {
            name: name.into(),
            ..Content::default()
        });
        model.change_name(NameChange::Put(name.into(), id));
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            id,
        }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let id = *self.model().names.get(name).ok_or_else(|| missing(name))?;
        Ok(Arc::new(SimFile {
            disk: self.clone(),
            id,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut model = self.model();
        let id = *model.names.get(from).ok_or_else(|| missing(from))?;
        model.operate(Operation::Rename(from.into(), to.into()))?;
        model.change_name(NameChange::Rename(from.into(), to.into()));
        model.files[id].name = to.into();
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut model = self.model();
        if !model.names.contains_key(name) {
            return Err(missing(name));
        }
        model.operate(Operation::Remove(name.into()))?;
        model.change_name(NameChange::Remove(name.into()));
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.model().names.keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut model = self.model();
        model.operate(Operation::SyncDir)?;
        if model.lazy {
            return Ok(());
        }
        model.durable_names = model.names.clone();
        model.renames.clear();
        Ok(())
    }

    fn lock(&self) -> Result<Box<dyn Guard>, LockError> {
        let mut model = self.model();
        if model.locked {
            return Err(LockError::Held(None));
        }
        model.locked = true;
        Ok(Box::new(Held(self.clone())))
    }

    fn location(&self) -> String {
        "the simulated disk".into()
    }
}

struct Held(SimDisk);

impl Guard for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.model().locked = false;
    }
}

struct SimFile {
    disk: SimDisk,
    id: usize,
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.model().files[self.id].seen.len() as u64)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let model = self.disk.model();
        let seen = &model.files[self.id].seen;
        let from = seen.len().min(offset as usize);
        let n = buf.len().min(seen.len() - from);
        buf[..n].copy_from_slice(&seen[from..from + n]);
        Ok(n)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.model().write(self.id, offset, bytes)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut model = self.disk.model();
        let have = model.files[self.id].seen.len() as u64;
        if len > have {
            let zeros = vec![0; (len - have) as usize];
            model.write(self.id, have, &zeros)?;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut model = self.disk.model();
        let name = model.files[self.id].name.clone();
        model.operate(Operation::Sync(name))?;
        if model.lazy {
            return Ok(());
        }
        let file = &mut model.files[self.id];
        for (offset, bytes) in std::mem::take(&mut file.writes) {
            put(&mut file.durable, offset, &bytes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(seed: u64) -> SimDisk {
        SimDisk::new(seed, Image::new())
    }

    #[test]
    fn what_was_synced_survives_and_the_rest_may_not() {
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let disk = disk(seed);
            let file = disk.create("a").unwrap();
            file.write_at(0, &[1; 1024]).unwrap();
            file.sync().unwrap();
            disk.sync_dir().unwrap();
            file.write_at(0, &[2; 1024]).unwrap();
            file.write_at(512, &[3; 512]).unwrap();
            let image = disk.crash(Crash::Power);
            let (first, second) = (image["a"][0], image["a"][512]);
            assert!(image["a"][..512].iter().all(|&b| b == first), "sectors are whole");
            assert!([1, 2].contains(&first) && [1, 2, 3].contains(&second));
            outcomes.insert((first, second));
            assert_eq!(disk.crash(Crash::Process)["a"][512], 3);
        }
        assert_eq!(outcomes.len(), 6, "lost, torn and reordered: {outcomes:?}");
    }

    #[test]
    fn names_survive_in_order() {
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..50 {
            let disk = disk(seed);
            disk.create("a").unwrap();
            disk.rename("a", "b").unwrap();
            disk.remove("b").unwrap();
            outcomes.insert(disk.crash(Crash::Power).into_keys().collect::<Vec<_>>());
        }
        let expected: [Vec<String>; 3] = [vec![], vec!["a".into()], vec!["b".into()]];
        assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn faults_strike_when_told() {
        let disk = disk(1);
        let file = disk.create("a").unwrap();
        disk.set_capacity(10);
        assert_eq!(
            file.write_at(0, &[0; 11]).unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
        disk.fail(1, Fault::Error);
        file.write_at(0, &[7; 10]).unwrap();
        assert!(file.sync().is_err());
        file.sync().unwrap();
        disk.fail(0, Fault::Halt);
        assert!(disk.sync_dir().is_err());
        assert!(file.write_at(0, b"x").is_err() && disk.halted());
    }

    #[test]
    fn the_same_seed_gives_the_same_crash() {
        let run = |seed| {
            let disk = disk(seed);
            let file = disk.create("a").unwrap();
            for i in 0..20u8 {
                file.write_at(u64::from(i) * 300, &[i; 700]).unwrap();
            }
            disk.sync_dir().unwrap();
            disk.crash(Crash::Power)
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }
}
