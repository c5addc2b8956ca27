//! The one spelling of a request that both sides hash.

use super::Request;

const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";
const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";

/// The canonical request. `without` is the query parameter that cannot cover itself.
pub(super) fn request(
    request: &Request<'_>,
    signed_headers: &str,
    payload_hash: &str,
    without: Option<&str>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(request.method.as_bytes());
    out.push(b'\n');
    path(&mut out, request.path);
    out.push(b'\n');
    query(&mut out, request.query, without);
    out.push(b'\n');
    for name in signed_headers.split(';') {
        header(&mut out, request, name);
    }
    out.push(b'\n');
    out.extend_from_slice(signed_headers.as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload_hash.as_bytes());
    out
}

/// The path without `.`, `..` and empty segments, encoded once more than it came.
fn path(out: &mut Vec<u8>, path: &str) {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    for segment in &kept {
        out.push(b'/');
        encode(out, segment.as_bytes());
    }
    if kept.is_empty() || path.ends_with('/') {
        out.push(b'/');
    }
}

/// The parameters, encoded in the one right way, sorted by name and then by value.
fn query(out: &mut Vec<u8>, query: &str, without: Option<&str>) {
    let mut pairs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let pair = (encoded_again(name), encoded_again(value));
        if without.is_none_or(|without| pair.0 != without.as_bytes()) {
            pairs.push(pair);
        }
    }
    pairs.sort_unstable();
    for (n, (name, value)) in pairs.iter().enumerate() {
        if n > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

/// `name:value,value\n`: values trimmed, runs of spaces made one.
fn header(out: &mut Vec<u8>, request: &Request<'_>, name: &str) {
    out.extend_from_slice(name.as_bytes());
    let mut separator = b':';
    for (_, value) in request.headers.iter().filter(|(key, _)| *key == name) {
        out.push(separator);
        separator = b',';
        let words = value
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        for (n, word) in words.enumerate() {
            if n > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(word);
        }
    }
    if separator == b':' {
        // A header that is signed and did not come: the empty value of one that did not say anything.
        out.push(b':');
    }
    out.push(b'\n');
}

fn encoded_again(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    encode(&mut out, &decoded(text));
    out
}

/// The bytes that `text` of a query string stands for. A `%` that starts no escape stands for itself.
pub(super) fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = || Some(hex_digit(*bytes.get(at + 1)?)? * 16 + hex_digit(*bytes.get(at + 2)?)?);
        match (byte, escape()) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    out
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(byte);
        } else {
            let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
            out.extend_from_slice(&[b'%', HEX_UPPER[high], HEX_UPPER[low]]);
        }
    }
}

/// Lowercase hex, as text.
pub(super) fn hex(bytes: &[u8; 32]) -> String {
    let mut out = String::with_capacity(64);
    for byte in bytes {
        out.push(char::from(HEX_LOWER[usize::from(byte >> 4)]));
        out.push(char::from(HEX_LOWER[usize::from(byte & 15)]));
    }
    out
}

/// 32 bytes of lowercase hex.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    let bytes = text.as_bytes();
    if bytes.len() != 64 || bytes.iter().any(u8::is_ascii_uppercase) {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
        *byte = hex_digit(pair[0])? * 16 + hex_digit(pair[1])?;
    }
    Some(out)
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
