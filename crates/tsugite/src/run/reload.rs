//! Loads the configuration again on SIGHUP and when its file changes; a bad one is logged and changes nothing.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::signals;
use crate::config::{Config, Overrides};
use crate::telemetry::Level;

/// Between two looks at the file. Polling needs no watcher of the host's and sees replaced files and mounts too.
const LOOK: Duration = Duration::from_secs(1);

/// Where configurations come from.
pub struct Source {
    /// The file; without one only the flags count, and nothing ever changes.
    pub file: Option<PathBuf>,
    /// What stands above it.
    pub overrides: Overrides,
}

/// Sends each new good configuration, beginning with `first`.
pub fn watch(source: Source, first: Arc<Config>, level: Level) -> io::Result<watch::Receiver<Arc<Config>>> {
    let (send, receive) = watch::channel(first);
    let mut hangup = signals::hangup()?;
    tokio::spawn(async move {
        let mut files = files_of(&source, &send.borrow());
        let mut seen = stamps(&files);
        loop {
            tokio::select! {
                Some(()) = hangup.recv() => {}
                () = changed(&files, &seen) => {}
            }
            // A change that the signal announced must not be taken for a second one.
            seen = stamps(&files);
            match Config::load(source.file.as_deref(), &source.overrides) {
                Ok(config) => {
                    level.set(config.log.level);
                    files = files_of(&source, &config);
                    seen = stamps(&files);
                    if send.send(Arc::new(config)).is_err() {
                        return;
                    }
                }
                Err(error) => {
                    for problem in error.problems {
                        tracing::error!("{problem}");
                    }
                    tracing::error!("the configuration is bad; the old one stays in force");
                }
            }
        }
    });
    Ok(receive)
}

/// What tells one state of a file from another.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(file: &Path) -> Stamp {
    let data = std::fs::metadata(file).ok()?;
    Some((data.modified().ok()?, data.len()))
}

/// The configuration file and those that it names.
fn files_of(source: &Source, config: &Config) -> Vec<PathBuf> {
    source.file.iter().chain(&config.read).cloned().collect()
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|file| stamp(file)).collect()
}

/// Completes when a file is there and differs from what was seen.
async fn changed(files: &[PathBuf], seen: &[Stamp]) {
    if files.is_empty() {
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(LOOK).await;
        let now = stamps(files);
        // A file that is being replaced may be away for a moment.
        if now
            .iter()
            .zip(seen)
            .any(|(now, seen)| now.is_some() && now != seen)
        {
            return;
        }
    }
}
