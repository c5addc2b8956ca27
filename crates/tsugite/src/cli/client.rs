//! A small blocking HTTP client for the admin API: one request, one connection, a bounded answer.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::Failed;
use crate::config::text;

/// Longer than any answer may take, a long poll of 20 s among them.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
pub(super) const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// Where the admin API is, and how to show what it says.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Address of the admin port
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS",
        env = "TSUGITE_ADMIN",
        default_value = "127.0.0.1:9901"
    )]
    admin: String,
    /// Print the answer as JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// Of which account and region a queue or a topic is.
#[derive(Debug, Args)]
pub(super) struct Scope {
    /// Twelve digits [default: that of the server; all for ls]
    #[arg(long, global = true, value_parser = account)]
    account: Option<String>,
    /// For example eu-west-1 [default: that of the server; all for ls]
    #[arg(long, global = true)]
    region: Option<String>,
}

fn account(text: &str) -> Result<String, String> {
    let fits = text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| text.to_owned())
        .ok_or_else(|| "an account has twelve digits".into())
}

impl Scope {
    /// A query string of these parameters and the scope, or nothing.
    pub(super) fn parameters(&self, parameters: &[(&str, String)]) -> String {
        let scope = [("account", &self.account), ("region", &self.region)];
        let scope = scope
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.clone()?)));
        let all = parameters.iter().cloned().chain(scope);
        let all: Vec<String> = all
            .map(|(key, value)| format!("{key}={}", segment(&value)))
            .collect();
        let start = if all.is_empty() { "" } else { "?" };
        format!("{start}{}", all.join("&"))
    }
}

/// A text of the command line; `-` stands for standard input.
pub(super) fn given_or_read(text: &str) -> Result<String, Failed> {
    if text != "-" {
        return Ok(text.to_owned());
    }
    let mut read = String::new();
    let done = std::io::stdin().lock().read_to_string(&mut read);
    done.map_err(|error| Failed::Failure(format!("standard input: {error}")))?;
    Ok(read)
}

impl Target {
    /// Asks for `path`; the answer is a JSON document, or nothing.
    pub(super) fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Failed> {
        self.call_within(method, path, body, Duration::ZERO)
    }

    /// As [`Target::call`], for what may take so much longer than everything else.
    pub(super) fn call_within(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        more: Duration,
    ) -> Result<Value, Failed> {
        let body = body.map(Value::to_string).unwrap_or_default();
        accepted(self.server()?.ask(method, path, &body, TIMEOUT + more)?)
    }

    /// The admin port that is asked.
    pub(super) fn server(&self) -> Result<Server, Failed> {
        Server::at(&self.admin)
    }
}

/// What was answered; the detail of its problem document as an error if it says no.
pub(super) fn accepted((status, value): (u16, Value)) -> Result<Value, Failed> {
    if (200..300).contains(&status) {
        return Ok(value);
    }
    if value.is_null() {
        return Err(Failed::Failure(format!("the admin port answered {status}")));
    }
    let title = value["title"].as_str().unwrap_or("refused");
    let detail = value["detail"].as_str().unwrap_or_default();
    Err(Failed::Failure(format!("{title} ({status}): {detail}")))
}

/// An admin port.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) address: std::net::SocketAddr,
}

impl Server {
    /// The one at the address that `--admin` gives.
    pub(super) fn at(admin: &str) -> Result<Server, Failed> {
        match text::address(admin) {
            Ok(Some(address)) => Ok(Server { address }),
            Ok(None) => Err(Failed::Usage("--admin: `off` cannot be asked".into())),
            Err(rule) => Err(Failed::Usage(format!("--admin: {rule}"))),
        }
    }

    /// As [`Server::ask`], beside the tasks of a runtime.
    pub(super) async fn call(
        &self,
        method: &'static str,
        path: String,
        body: Option<Value>,
        limit: Duration,
    ) -> Result<(u16, Value), Failed> {
        let server = self.clone();
        let body = body.as_ref().map(Value::to_string).unwrap_or_default();
        let asked = tokio::task::spawn_blocking(move || server.ask(method, &path, &body, limit));
        asked
            .await
            .unwrap_or_else(|error| Err(Failed::Failure(error.to_string())))
    }

    /// Asks for `path`; the answer is a status with a JSON document, or with nothing. Each wait takes at most `limit`.
    pub(super) fn ask(
        &self,
        method: &str,
        path: &str,
        body: &str,
        limit: Duration,
    ) -> Result<(u16, Value), Failed> {
        let address = self.address;
        let failed = |error: std::io::Error| no_answer(address, &error);
        let mut stream = TcpStream::connect_timeout(&address, limit).map_err(failed)?;
        stream.set_read_timeout(Some(limit)).map_err(failed)?;
        stream.set_write_timeout(Some(limit)).map_err(failed)?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\naccept: application/json\r\n\
             content-type: application/json\r\n{}content-length: {}\r\n\r\n{body}",
            token(),
            body.len(),
        );
        stream.write_all(request.as_bytes()).map_err(failed)?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer).map_err(failed)?;
        understand(&answer)
    }
}

/// The header with the token, if there is one.
pub(super) fn token() -> String {
    let token = std::env::var("TSUGITE_ADMIN_TOKEN");
    token.map_or(String::new(), |token| {
        format!("authorization: Bearer {token}\r\n")
    })
}

pub(super) fn no_answer(address: std::net::SocketAddr, error: &std::io::Error) -> Failed {
    Failed::Failure(format!(
        "no answer from the admin port {address}: {error}; is `tsugite up` running there?"
    ))
}

pub(super) fn strange() -> Failed {
    Failed::Failure("the admin port did not answer in HTTP".into())
}

/// Status and body of an HTTP/1.1 answer.
pub(super) fn understand(answer: &[u8]) -> Result<(u16, Value), Failed> {
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .ok_or_else(strange)?;
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| strange())?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let status: u16 = status.and_then(|code| code.parse().ok()).ok_or_else(strange)?;
    let chunked = lines.any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
    let body = &answer[end + 4..];
    if chunked {
        // Our own admin port always states a length: whatever chunks is something else.
        return Err(strange());
    }
    if body.is_empty() {
        return Ok((status, Value::Null));
    }
    let value: Value = serde_json::from_slice(body).map_err(|_| strange())?;
    Ok((status, value))
}

/// Makes a name safe as one segment of a path.
pub(super) fn segment(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(answer: &str, expected: Result<Value, &str>) {
        let understood = understand(answer.as_bytes()).and_then(accepted);
        let understood = understood.map_err(|failed| match failed {
            Failed::Failure(text) | Failed::Usage(text) => text,
        });
        assert_eq!(understood, expected.map_err(str::to_owned), "{answer}");
    }

    #[test]
    fn answers_are_understood() {
        let strange = Err("the admin port did not answer in HTTP");
        check(
            "HTTP/1.1 200 OK\r\nA: b\r\n\r\n{\"a\":1}",
            Ok(serde_json::json!({"a": 1})),
        );
        check("HTTP/1.1 204 No Content\r\n\r\n", Ok(Value::Null));
        check(
            "HTTP/1.1 404 Not Found\r\n\r\n{\"title\":\"Not found\",\"detail\":\"no queue `x`\"}",
            Err("Not found (404): no queue `x`"),
        );
        check("HTTP/1.1 500 Oh\r\n\r\n", Err("the admin port answered 500"));
        for bad in [
            "",
            "SSH-2.0\r\n",
            "HTTP/1.1 200 OK\r\n\r\nnot json",
            "HTTP/1.1 OK\r\n\r\n{}",
        ] {
            check(bad, strange.clone());
        }
        check(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            strange,
        );
    }

    #[test]
    fn names_become_segments() {
        assert_eq!(segment("orders.shop"), "orders.shop");
        assert_eq!(segment("a/b c"), "a%2Fb%20c");
    }
}
