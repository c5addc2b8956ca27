//! The kitchen's gRPC messages, encoded by hand: `examples/proto/kitchen.proto` is their definition.

/// The method's path.
pub(super) const COOK: &str = "/tsugite.demo.v1.Kitchen/Cook";

/// Puts the five-byte gRPC prefix (uncompressed, length) before a message.
pub(super) fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut out = vec![0];
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
    out
}

/// The message of a body that holds exactly one.
pub(super) fn unframe(body: &[u8]) -> Option<&[u8]> {
    let (prefix, message) = body.split_at_checked(5)?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]);
    (prefix[0] == 0 && usize::try_from(length).ok()? == message.len()).then_some(message)
}

/// `CookRequest { string order_id = 1; }` and `CookReply { string ticket = 1; }` have one shape on the wire.
pub(super) fn encode(text: &str) -> Vec<u8> {
    let short = &text.as_bytes()[..text.len().min(127)];
    let mut out = vec![0x0a, u8::try_from(short.len()).unwrap_or(127)];
    out.extend_from_slice(short);
    out
}

/// The string of field 1.
pub(super) fn decode(message: &[u8]) -> Option<&str> {
    let [0x0a, length, rest @ ..] = message else {
        return None;
    };
    std::str::from_utf8(rest.get(..usize::from(*length))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_framing() {
        let framed = frame(&encode("order-7"));
        assert_eq!(unframe(&framed).and_then(decode), Some("order-7"));
        assert_eq!(unframe(&framed[..4]), None);
        assert_eq!(unframe(&framed[..7]), None);
        assert_eq!(decode(&[0x0a, 200, 1]), None);
    }
}
