//! Times as AWS writes them.

use tsugite_base::Timestamp;

/// UTC with milliseconds, for example `2026-01-02T03:04:05.678Z`.
pub fn iso_millis(at: Timestamp) -> String {
    at.iso_millis()
}
