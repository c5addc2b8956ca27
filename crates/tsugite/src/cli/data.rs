//! `tsugite verify` and `tsugite repair`: the data directory of a stopped Tsugite.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};
use tsugite_log::disk::real::RealDisk;
use tsugite_log::{Gap, Repaired, Sizes};

use super::{Failed, out};
use crate::world;

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
    /// Print what was lost and done as JSON
    #[arg(long)]
    json: bool,
}

impl Repair {
    pub(super) fn run(self) -> Result<(), Failed> {
        exists(&self.dir)?;
        let failed =
            |error: &dyn std::fmt::Display| Failed::Failure(format!("{}: {error}", self.dir.display()));
        let disk = RealDisk::open(&self.dir).map_err(|error| failed(&error))?;
        let (world, _) = world::host();
        let done = tsugite_log::repair(&disk, &world, &Sizes::default()).map_err(|error| failed(&error))?;
        if self.json {
            let text = serde_json::to_string_pretty(&document(&done)).map_err(|error| failed(&error))?;
            return out(&format!("{text}\n"));
        }
        out(&format!("{done}\n"))
    }
}

fn document(done: &Repaired) -> Value {
    let damage = done.damage.iter().map(|d| {
        json!({
            "file": d.file, "offset": d.offset, "log_position": d.lsn, "what": d.what, "follows": d.follows,
        })
    });
    let lost = done.lost.iter().map(|lost| {
        json!({
            "queue": lost.queue, "number": lost.number, "message_id": lost.id.map(|id| id.to_string()),
            "why": lost.why,
        })
    });
    json!({
        "location": done.location,
        "repaired": !done.was_sound(),
        "messages": done.messages,
        "damage": damage.collect::<Vec<_>>(),
        "lost": lost.collect::<Vec<_>>(),
        "gaps": done.gaps.iter().map(gap).collect::<Vec<_>>(),
        "set_aside": done.set_aside,
    })
}

fn gap(gap: &Gap) -> Value {
    let missing = gap
        .missing
        .iter()
        .map(|run| json!({"queue": run.queue, "first": run.first, "last": run.last, "most": run.most()}));
    let strangers = gap
        .strangers
        .iter()
        .map(|(number, messages)| json!({"queue_number": number, "messages": messages}));
    json!({
        "file": gap.file,
        "from": gap.from,
        "to": gap.to,
        "bytes": gap.bytes(),
        "missing": missing.collect::<Vec<_>>(),
        "lost_queues": strangers.collect::<Vec<_>>(),
        // A lost record may have been a delete of any queue.
        "messages_may_reappear": true,
    })
}
