//! Server-sent events of the admin API, read line by line.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

use super::Failed;
use super::client::{MAX_ANSWER, TIMEOUT, Target, accepted, no_answer, strange, token, understand};

impl Target {
    /// Follows the server-sent events at `path` from the event `last` on, until `event` fails or the connection ends. Each
    /// is told by its id, its kind and its data.
    pub(super) fn follow(
        &self,
        path: &str,
        last: Option<&str>,
        mut event: impl FnMut(Option<&str>, &str, &Value) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let address = self.server()?.address;
        let failed = |error: std::io::Error| no_answer(address, &error);
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(failed)?;
        // A comment comes more often than that.
        stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
        stream.set_write_timeout(Some(TIMEOUT)).map_err(failed)?;
        let last = last.map_or(String::new(), |id| format!("last-event-id: {id}\r\n"));
        // Of version 1.0, so that the events come without the marks of chunks.
        let request = format!(
            "GET {path} HTTP/1.0\r\nhost: {address}\r\naccept: text/event-stream\r\n{}{last}\r\n",
            token(),
        );
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut lines = BufReader::new(stream);
        let (mut head, mut line) = (String::new(), String::new());
        while lines.read_line(&mut line).map_err(failed)? > 0 && !line.trim().is_empty() {
            head.push_str(&std::mem::take(&mut line));
        }
        if head.split(' ').nth(1).is_none_or(|status| status != "200") {
            let mut answer = head.into_bytes();
            answer.extend_from_slice(b"\r\n");
            lines.take(MAX_ANSWER).read_to_end(&mut answer).map_err(failed)?;
            return accepted(understand(&answer)?).map(|_| ());
        }
        let (mut id, mut kind, mut data) = (None, String::new(), Value::Null);
        loop {
            line.clear();
            if lines.read_line(&mut line).map_err(failed)? == 0 {
                return Ok(());
            }
            match line.trim_end().split_once(": ") {
                Some(("id", text)) => id = Some(text.to_owned()),
                Some(("event", text)) => text.clone_into(&mut kind),
                Some(("data", text)) => data = serde_json::from_str(text).map_err(|_| strange())?,
                // A blank line ends an event; a comment is only a sign of life.
                _ if line.trim().is_empty() && !kind.is_empty() => {
                    event(
                        id.take().as_deref(),
                        &std::mem::take(&mut kind),
                        &std::mem::take(&mut data),
                    )?;
                }
                _ => {}
            }
        }
    }
}
