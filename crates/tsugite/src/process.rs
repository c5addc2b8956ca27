//! The process as its host sees it: open files, memory.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one: every connection needs a descriptor.
pub fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files could not be raised");
        }
    }
}

/// What the process uses; nothing where the host does not say.
pub(crate) struct Usage {
    /// Memory in RAM, in bytes.
    pub(crate) resident_bytes: Option<u64>,
    /// Open file descriptors.
    pub(crate) open_files: Option<usize>,
    /// How many may be open; `None` also if there is no limit.
    pub(crate) open_files_limit: Option<u64>,
}

/// Reads it from `/proc`, which only Linux has.
pub(crate) fn usage() -> Usage {
    let statm = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = statm.and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    Usage {
        resident_bytes: pages.map(|pages| pages * page),
        open_files: std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count),
        open_files_limit: getrlimit(Resource::Nofile).current,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn usage_is_plausible() {
        let usage = super::usage();
        assert!(usage.resident_bytes.is_some_and(|bytes| bytes > 100_000));
        assert!(usage.open_files.is_some_and(|count| count >= 3));
    }
}
