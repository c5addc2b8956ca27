//! What the end of a call says about the service that was called.

use std::time::Duration;

/// How a call ended, as far as the circuit is concerned. Slowness is the circuit's own measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The service did its part, whatever it answered.
    Success,
    /// The service failed: an error answer, a broken connection, a truncated response.
    Failure,
    /// No connection: refused, timed out, TLS failure.
    ConnectFailure,
    /// A time limit of ours ended the call: always a slow failure.
    Timeout,
    /// The service said that it has too much to do.
    Overload,
    /// The client's own deadline ended the call. Ignored if it was below three times the healthy median of the
    /// service (or, before that is known, below the slow threshold): no healthy service could have met it.
    /// Otherwise a slow failure: short deadlines must not blind the circuit to a hang.
    ClientDeadline {
        /// The time that the client allowed, from the start of the call.
        allowed: Duration,
    },
    /// Says nothing about the service: the client left. Still slow if it was past the threshold by then.
    Ignored,
}

/// The outcome of an HTTP response with this status.
pub const fn classify_http(status: u16) -> Outcome {
    match status {
        429 => Outcome::Overload,
        501 | 505 | 511 => Outcome::Success,
        500..=599 => Outcome::Failure,
        _ => Outcome::Success,
    }
}

/// The outcome of a gRPC call with this status; `None` if the stream ended without one.
///
/// `client_deadline` is the time that the client allowed (`grpc-timeout`), `None` if it named none: the service
/// reports DEADLINE_EXCEEDED for the deadline that we passed on, so it is judged like one that we saw ourselves.
pub const fn classify_grpc(code: Option<u32>, client_deadline: Option<Duration>) -> Outcome {
    match (code, client_deadline) {
        (Some(1), _) => Outcome::Ignored,
        (Some(4), Some(allowed)) => Outcome::ClientDeadline { allowed },
        (Some(2 | 4 | 13 | 14 | 15) | None, _) => Outcome::Failure,
        (Some(8), _) => Outcome::Overload,
        (Some(code), _) if code > 16 => Outcome::Failure,
        (Some(_), _) => Outcome::Success,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_statuses() {
        use Outcome::{Failure, Overload, Success};
        for (status, expected) in [
            (101, Success),
            (200, Success),
            (404, Success),
            (499, Success),
            (429, Overload),
            (500, Failure),
            (501, Success),
            (502, Failure),
            (503, Failure),
            (504, Failure),
            (505, Success),
            (507, Failure),
            (511, Success),
            (599, Failure),
        ] {
            assert_eq!(classify_http(status), expected, "{status}");
        }
    }

    #[test]
    fn grpc_codes() {
        use Outcome::{ClientDeadline, Failure, Ignored, Overload, Success};
        let allowed = Duration::from_millis(5);
        for (code, expected) in [
            (0, Success),
            (1, Ignored),
            (2, Failure),
            (3, Success),
            (4, ClientDeadline { allowed }),
            (5, Success),
            (6, Success),
            (7, Success),
            (8, Overload),
            (9, Success),
            (10, Success),
            (11, Success),
            (12, Success),
            (13, Failure),
            (14, Failure),
            (15, Failure),
            (16, Success),
            (17, Failure),
        ] {
            assert_eq!(classify_grpc(Some(code), Some(allowed)), expected, "{code}");
        }
        assert_eq!(classify_grpc(Some(4), None), Failure);
        assert_eq!(classify_grpc(None, Some(allowed)), Failure);
    }
}
