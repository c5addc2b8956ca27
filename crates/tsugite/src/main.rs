//! The `tsugite` program: one binary, one command line.

use clap::Parser;
use tsugite::cli;

/// Built without huge pages (`no_thp`): they would make an idle process twice as large.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run(cli::Cli::parse())
}
