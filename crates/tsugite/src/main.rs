//! The `tsugite` program: one binary, one command line.

use std::ffi::{c_int, c_long};

use clap::Parser;
use tsugite::cli;

/// Built without huge pages (`no_thp`): they would make an idle process twice as large.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3: milliseconds for which freed pages are kept.
const PURGE_DELAY: c_int = 15;

#[expect(
    unsafe_code,
    reason = "declares a function of mimalloc that its Rust crate leaves out"
)]
// SAFETY: the signature is that of mimalloc.h; setting an option is safe at any time.
unsafe extern "C" {
    safe fn mi_option_set(option: c_int, value: c_long);
}

fn main() -> std::process::ExitCode {
    // Pages that are kept for a while are given back by the next call that comes after it. A process in which nothing
    // happens after a large checkpoint would keep them for ever.
    mi_option_set(PURGE_DELAY, 0);
    cli::run(cli::Cli::parse())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(unsafe_code, reason = "as above")]
    // SAFETY: the signature is that of mimalloc.h.
    unsafe extern "C" {
        safe fn mi_option_get(option: c_int) -> c_long;
    }

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // Its neighbours in mimalloc's list have other defaults.
        assert_eq!(mi_option_get(PURGE_DELAY), 1_000);
    }
}
