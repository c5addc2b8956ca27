//! `tsugite verify` and `tsugite repair`: the data directory of a stopped Tsugite.

use std::path::{Path, PathBuf};

use clap::Args;
use tsugite_log::disk::real::RealDisk;

use super::{Failed, out};

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Data directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Verify {
    pub(super) fn run(self) -> Result<(), Failed> {
        exists(&self.dir)?;
        let failed =
            |error: &dyn std::fmt::Display| Failed::Failure(format!("{}: {error}", self.dir.display()));
        let disk = RealDisk::open(&self.dir).map_err(|error| failed(&error))?;
        let report = tsugite_log::verify(&disk).map_err(|error| failed(&error))?;
        out(&format!("{report}\n"))?;
        if report.is_sound() {
            return Ok(());
        }
        let places = report.damage.len();
        Err(Failed::Failure(format!(
            "{} is damaged in {places} places",
            self.dir.display()
        )))
    }
}

/// Opening makes a directory that is absent, and a lock file; someone who mistyped a path would be told that all is well
/// in it.
fn exists(dir: &Path) -> Result<(), Failed> {
    let failed = |why: &str| Failed::Failure(format!("{} {why}", dir.display()));
    let entries = std::fs::read_dir(dir).map_err(|error| failed(&format!("cannot be read: {error}")))?;
    let ours = |name: &str| name.starts_with("log-") || name.starts_with("checkpoint-");
    match entries
        .flatten()
        .any(|entry| entry.file_name().to_str().is_some_and(ours))
    {
        true => Ok(()),
        false => Err(failed(
            "holds no store: there is neither a segment nor a checkpoint in it",
        )),
    }
}

#[derive(Debug, Args)]
pub(super) struct Repair {
    /// Data directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Repair {
    pub(super) fn run(self) -> Result<(), Failed> {
        Err(Failed::Usage(format!(
            "repair is not supported yet; `tsugite verify {}` says what is damaged",
            self.dir.display()
        )))
    }
}
