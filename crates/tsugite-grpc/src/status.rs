//! The seventeen status codes and their relation to HTTP, in one table that every bridge uses.

use std::fmt;

/// A gRPC status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Code {
    /// Success.
    Ok = 0,
    /// The caller gave up.
    Cancelled = 1,
    /// An error without a better code.
    Unknown = 2,
    /// The request is wrong whatever the state.
    InvalidArgument = 3,
    /// Time ran out.
    DeadlineExceeded = 4,
    /// No such thing.
    NotFound = 5,
    /// It exists already.
    AlreadyExists = 6,
    /// The caller may not.
    PermissionDenied = 7,
    /// A quota or limit is used up.
    ResourceExhausted = 8,
    /// The state does not allow it.
    FailedPrecondition = 9,
    /// A conflict; trying again at a higher level may help.
    Aborted = 10,
    /// Past the valid range.
    OutOfRange = 11,
    /// No such method.
    Unimplemented = 12,
    /// An invariant is broken.
    Internal = 13,
    /// Not now; trying again may help.
    Unavailable = 14,
    /// Data is lost.
    DataLoss = 15,
    /// The caller is not known.
    Unauthenticated = 16,
}

/// Code, name as gRPC spells it, HTTP status for a REST client.
const TABLE: [(Code, &str, u16); 17] = [
    (Code::Ok, "OK", 200),
    (Code::Cancelled, "CANCELLED", 499),
    (Code::Unknown, "UNKNOWN", 500),
    (Code::InvalidArgument, "INVALID_ARGUMENT", 400),
    (Code::DeadlineExceeded, "DEADLINE_EXCEEDED", 504),
    (Code::NotFound, "NOT_FOUND", 404),
    (Code::AlreadyExists, "ALREADY_EXISTS", 409),
    (Code::PermissionDenied, "PERMISSION_DENIED", 403),
    (Code::ResourceExhausted, "RESOURCE_EXHAUSTED", 429),
    (Code::FailedPrecondition, "FAILED_PRECONDITION", 400),
    (Code::Aborted, "ABORTED", 409),
    (Code::OutOfRange, "OUT_OF_RANGE", 400),
    (Code::Unimplemented, "UNIMPLEMENTED", 501),
    (Code::Internal, "INTERNAL", 500),
    (Code::Unavailable, "UNAVAILABLE", 503),
    (Code::DataLoss, "DATA_LOSS", 500),
    (Code::Unauthenticated, "UNAUTHENTICATED", 401),
];

impl Code {
    /// The code with this number.
    pub fn from_number(number: u32) -> Option<Code> {
        TABLE.get(number as usize).map(|row| row.0)
    }

    /// Reads a `grpc-status` value: decimal. A value that is no known code means [`Code::Unknown`].
    pub fn from_header(value: &[u8]) -> Code {
        let number = match value {
            [a @ b'0'..=b'9'] => u32::from(a - b'0'),
            [b'1', b @ b'0'..=b'6'] => 10 + u32::from(b - b'0'),
            _ => return Code::Unknown,
        };
        Code::from_number(number).unwrap_or(Code::Unknown)
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The number as a `grpc-status` value.
    pub const fn as_header(self) -> &'static str {
        const NUMBERS: [&str; 17] = [
            "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16",
        ];
        NUMBERS[self as usize]
    }

    /// The name as gRPC spells it.
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].1
    }

    /// The HTTP status that a REST client is given for it.
    pub const fn to_http(self) -> u16 {
        TABLE[self as usize].2
    }

    /// The code of an HTTP response that carries no `grpc-status`. Not the reverse of [`Code::to_http`].
    pub const fn from_http(status: u16) -> Code {
        match status {
            400 | 431 => Code::Internal,
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::Unimplemented,
            429 | 502 | 503 | 504 => Code::Unavailable,
            _ => Code::Unknown,
        }
    }

    /// The code of a stream that the peer reset with this HTTP/2 error code. If the caller's own deadline had
    /// passed, it is [`Code::DeadlineExceeded`] whatever the peer said.
    pub const fn from_reset(http2_error: u32) -> Code {
        match http2_error {
            0x7 => Code::Unavailable,
            0x8 => Code::Cancelled,
            0xb => Code::ResourceExhausted,
            0xc => Code::PermissionDenied,
            _ => Code::Internal,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Finds the status of a call while its headers and trailers pass by.
///
/// Feed every field of the response headers, then of the trailers; a later `grpc-status` wins, because a status in
/// the headers is only final if nothing follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusFinder {
    found: Option<Code>,
}

impl StatusFinder {
    /// Nothing seen yet.
    pub const fn new() -> StatusFinder {
        StatusFinder { found: None }
    }

    /// Looks at one field. HTTP/2 field names are lower case; others do not match.
    pub fn observe(&mut self, name: &[u8], value: &[u8]) {
        if name == b"grpc-status" {
            self.found = Some(Code::from_header(value));
        }
    }

    /// The status; `None` if the call ended without one.
    pub const fn code(self) -> Option<Code> {
        self.found
    }

    /// The status, or, if the call ended without one, what its HTTP status means: a 200 that lacks its trailers
    /// is broken framing.
    pub const fn code_or_http(self, http_status: u16) -> Code {
        match (self.found, http_status) {
            (Some(code), _) => code,
            (None, 200) => Code::Internal,
            (None, other) => Code::from_http(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order_and_round_trips() {
        for (number, (code, name, http)) in TABLE.into_iter().enumerate() {
            let number = u32::try_from(number).unwrap();
            assert_eq!((code.number(), code.name(), code.to_http()), (number, name, http));
            assert_eq!(Code::from_number(number), Some(code));
            assert_eq!(Code::from_header(code.as_header().as_bytes()), code);
            assert_eq!(code.as_header(), number.to_string());
        }
        assert_eq!(Code::from_number(17), None);
    }

    #[test]
    fn garbage_statuses_are_unknown() {
        for bad in [
            "",
            " 0",
            "00",
            "01",
            "17",
            "-1",
            "1x",
            "9999999999",
            "0 ",
            "OK",
            "\u{ff}",
        ] {
            assert_eq!(Code::from_header(bad.as_bytes()), Code::Unknown, "{bad:?}");
        }
    }

    #[test]
    fn http_and_resets() {
        for (status, code) in [
            (200, Code::Unknown),
            (400, Code::Internal),
            (401, Code::Unauthenticated),
            (403, Code::PermissionDenied),
            (404, Code::Unimplemented),
            (418, Code::Unknown),
            (429, Code::Unavailable),
            (431, Code::Internal),
            (500, Code::Unknown),
            (502, Code::Unavailable),
            (503, Code::Unavailable),
            (504, Code::Unavailable),
        ] {
            assert_eq!(Code::from_http(status), code, "{status}");
        }
        for (reset, code) in [
            (0x0, Code::Internal),
            (0x2, Code::Internal),
            (0x7, Code::Unavailable),
            (0x8, Code::Cancelled),
            (0xb, Code::ResourceExhausted),
            (0xc, Code::PermissionDenied),
            (0xffff_ffff, Code::Internal),
        ] {
            assert_eq!(Code::from_reset(reset), code, "{reset}");
        }
    }

    #[test]
    fn the_last_status_wins_and_absence_is_told() {
        let mut finder = StatusFinder::new();
        assert_eq!(
            (finder.code(), finder.code_or_http(200), finder.code_or_http(503)),
            (None, Code::Internal, Code::Unavailable)
        );
        finder.observe(b"grpc-message", b"13");
        finder.observe(b"grpc-status", b"0");
        assert_eq!(finder.code(), Some(Code::Ok));
        finder.observe(b"grpc-status", b"14");
        assert_eq!(
            (finder.code(), finder.code_or_http(200)),
            (Some(Code::Unavailable), Code::Unavailable)
        );
    }
}
