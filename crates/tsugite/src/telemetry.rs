//! Logging to standard error: lines for eyes or JSON objects, with a level that can change while running.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::config::{Log, LogFormat};

/// Changes the level of the running program.
#[derive(Clone)]
pub struct Level(reload::Handle<LevelFilter, Registry>);

impl Level {
    /// Shows `level` and what is more important from now on.
    pub fn set(&self, level: LevelFilter) {
        // It only fails when the subscriber is gone, and then nothing is shown anyway.
        let _ = self.0.reload(level);
    }
}

/// Installs the logger of the process. A second call leaves the first one's in place.
pub fn init(log: &Log) -> Level {
    let (filter, handle) = reload::Layer::new(log.level);
    let layer = fmt::layer().with_writer(std::io::stderr);
    let layer = match log.format {
        LogFormat::Human => layer
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    let _ = tracing_subscriber::registry().with(filter).with(layer).try_init();
    Level(handle)
}
