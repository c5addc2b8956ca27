//! `tsugite verify` and `tsugite repair`: the data directory of a stopped Tsugite.

use std::path::PathBuf;

use clap::Args;

use super::{Failed, out};

#[derive(Debug, Args)]
pub(super) struct Verify {
    /// Data directory
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Verify {
    pub(super) fn run(self) -> Result<(), Failed> {
        let _ = out;
        Err(Failed::Usage(format!("verify {} is not supported yet", self.dir.display())))
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
