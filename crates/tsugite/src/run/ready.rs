//! The ready file: it appears, whole, once every role serves, and goes when the program does.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::{Addresses, RunError};

/// Removes the file when it is dropped.
pub(super) struct ReadyFile(Option<PathBuf>);

impl ReadyFile {
    /// Removes what a process that was killed left behind: it says what is not so.
    pub(super) fn clear(path: Option<&Path>) -> Result<(), RunError> {
        match path.map(|path| (path, std::fs::remove_file(path))) {
            Some((path, Err(error))) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(RunError::ReadyFile(path.to_owned(), error))
            }
            _ => Ok(()),
        }
    }

    /// Writes the addresses to `path`, if there is one.
    pub(super) fn write(path: Option<&Path>, addresses: &Addresses) -> Result<ReadyFile, RunError> {
        let Some(path) = path else {
            return Ok(ReadyFile(None));
        };
        let failed = |error| RunError::ReadyFile(path.to_owned(), error);
        let mut beside = path.as_os_str().to_owned();
        beside.push(format!(".{}", std::process::id()));
        std::fs::write(&beside, text(addresses)).map_err(failed)?;
        // A rename is seen whole or not at all.
        std::fs::rename(&beside, path).map_err(failed)?;
        Ok(ReadyFile(Some(path.to_owned())))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::warn!(%error, path = %path.display(), "the ready file could not be removed");
        }
    }
}

fn text(addresses: &Addresses) -> String {
    let shown = |address: Option<std::net::SocketAddr>| address.map(|address| address.to_string());
    let body = json!({
        "pid": std::process::id(),
        "gateway": shown(addresses.gateway),
        "aws": shown(addresses.aws),
        "admin": shown(addresses.admin),
        "dns": shown(addresses.dns),
        "xds": null,
    });
    format!("{body}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_that_are_off_are_null() {
        let addresses = Addresses {
            admin: Some(([127, 0, 0, 1], 41231).into()),
            ..Addresses::default()
        };
        let expected = format!(
            "{{\"pid\":{},\"gateway\":null,\"aws\":null,\"admin\":\"127.0.0.1:41231\",\"dns\":null,\"xds\":null}}\n",
            std::process::id()
        );
        assert_eq!(text(&addresses), expected);
    }
}
