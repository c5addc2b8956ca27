//! A look at the raw head of an HTTP/1.1 request, for the one fact that hyper hides: whether it carries both
//! `Content-Length` and `Transfer-Encoding` (RFC 9112, 6.3: such a message "ought to be handled as an error").

/// Length of the longest name looked for, with its colon: `transfer-encoding:`.
const NAME: usize = 18;

/// Follows the lines of one head, however its bytes are cut.
#[derive(Debug, Default)]
pub(crate) struct HeadScan {
    /// The first bytes of the current line.
    line: [u8; NAME],
    /// How many of them there are; more bytes of the line are not kept.
    len: usize,
    done: bool,
    content_length: bool,
    transfer_encoding: bool,
}

impl HeadScan {
    /// Both fields were seen.
    pub(crate) fn both_lengths(&self) -> bool {
        self.content_length && self.transfer_encoding
    }

    /// Takes the next bytes; those after the head are ignored.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while !self.done && !bytes.is_empty() {
            let end = bytes.iter().position(|&b| b == b'\n');
            let part = &bytes[..end.unwrap_or(bytes.len())];
            let kept = part.len().min(NAME - self.len);
            self.line[self.len..self.len + kept].copy_from_slice(&part[..kept]);
            self.len += kept;
            let Some(end) = end else { return };
            self.end_of_line();
            bytes = &bytes[end + 1..];
        }
    }

    fn end_of_line(&mut self) {
        let line = &self.line[..self.len];
        match line.first() {
            None | Some(b'\r') => self.done = true,
            Some(b'c' | b'C') => self.content_length |= starts_with(line, b"content-length:"),
            Some(b't' | b'T') => self.transfer_encoding |= starts_with(line, b"transfer-encoding:"),
            Some(_) => {}
        }
        self.len = 0;
    }
}

fn starts_with(line: &[u8], name: &[u8]) -> bool {
    line.get(..name.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::HeadScan;

    #[track_caller]
    fn check(head: &str, both: bool) {
        for cut in 0..head.len() {
            let mut scan = HeadScan::default();
            scan.feed(&head.as_bytes()[..cut]);
            scan.feed(&head.as_bytes()[cut..]);
            assert_eq!(scan.both_lengths(), both, "{head:?} cut at {cut}");
        }
    }

    #[test]
    fn sees_both_lengths_in_any_order_and_case_and_wherever_the_bytes_are_cut() {
        check(
            "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            true,
        );
        check(
            "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nHost: a\r\nCONTENT-LENGTH: 1\r\n\r\n",
            true,
        );
        check("POST / HTTP/1.1\nTRANSFER-ENCODING:x\ncontent-length:1\n\n", true);
    }

    #[test]
    fn other_heads_are_left_alone() {
        check("GET / HTTP/1.1\r\nHost: content-length:\r\n\r\n", false);
        check(
            "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nTransfer-Encoding: chunked\r\n\r\n",
            false,
        );
        check(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\ncontent-length: 1\r\n\r\n",
            false,
        );
        check(
            "POST / HTTP/1.1\r\nX-Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            false,
        );
    }
}
