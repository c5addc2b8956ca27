//! How durations, addresses and sizes are written in the configuration and on the command line.

use std::net::SocketAddr;
use std::time::Duration;

/// Reads `250ms`, `5s`, `2m`, `1h`: a whole number and a unit.
pub fn duration(text: &str) -> Result<Duration, String> {
    let rule =
        || format!("`{text}` is not a duration; write a whole number and a unit, like 250ms, 5s, 2m or 1h");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| rule())?;
    let ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(rule()),
    };
    number.checked_mul(ms).map(Duration::from_millis).ok_or_else(rule)
}

/// Writes a duration as [`duration`] reads it, in the largest unit that divides it.
pub fn show_duration(value: Duration) -> String {
    let ms = value.as_millis();
    for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if ms >= size && ms.is_multiple_of(size) {
            return format!("{}{unit}", ms / size);
        }
    }
    format!("{ms}ms")
}

/// Reads `off`, `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080` or `:8080` (all interfaces).
pub fn address(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    let spelled = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None if text.starts_with(':') => format!("0.0.0.0{text}"),
        None => text.to_owned(),
    };
    spelled.parse().map(Some).map_err(|_| {
        format!("`{text}` is not an address; write an IP address and a port, like 127.0.0.1:8080, or off")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("250ms", 250),
            ("5s", 5_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in [
            "",
            "5",
            "s",
            "5 s",
            "1.5s",
            "-1s",
            "5d",
            "99999999999999999999s",
            "9999999999999999999h",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        for text in ["250ms", "5s", "90s", "1h", "0ms"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
    }

    #[test]
    fn addresses() {
        for (text, expected) in [
            ("127.0.0.1:0", Some("127.0.0.1:0")),
            ("localhost:80", Some("127.0.0.1:80")),
            (":80", Some("0.0.0.0:80")),
            ("[::1]:80", Some("[::1]:80")),
            ("off", None),
        ] {
            assert_eq!(address(text), Ok(expected.map(|a| a.parse().unwrap())), "{text}");
        }
        for bad in ["", "80", "orders:80", "127.0.0.1", "127.0.0.1:99999", "OFF"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
