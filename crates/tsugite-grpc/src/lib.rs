//! What gRPC puts on the wire: status codes, deadlines, metadata, messages, error details, health.
//!
//! Pure functions over bytes and strings. Nothing here knows HTTP/2, sockets or the product's domain; a decoder never
//! panics and never allocates more than its input justifies.

#![forbid(unsafe_code)]

pub mod details;
pub mod frame;
pub mod health;
pub mod metadata;
pub mod proto;
pub mod status;
pub mod timeout;
pub mod watch;

pub use details::StatusDetails;
pub use frame::{FrameError, FrameHeader, Scanner};
pub use status::{Code, StatusFinder};

/// Whether a `content-type` value is gRPC's: `application/grpc` alone or followed by `+codec` or a parameter.
/// gRPC-Web (`application/grpc-web`) is not.
pub fn is_grpc(content_type: &[u8]) -> bool {
    let Some((head, rest)) = content_type.split_at_checked(GRPC.len()) else {
        return false;
    };
    head.eq_ignore_ascii_case(GRPC) && matches!(rest.first(), None | Some(b'+' | b';' | b' '))
}

const GRPC: &[u8] = b"application/grpc";

/// Splits the path of a call, `/pkg.Service/Method`, into service and method; `None` if it is not one.
pub fn split_path(path: &str) -> Option<(&str, &str)> {
    let (service, method) = path.strip_prefix('/')?.split_once('/')?;
    (!service.is_empty() && !method.is_empty() && !method.contains('/')).then_some((service, method))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        for yes in [
            "application/grpc",
            "application/grpc+proto",
            "Application/GRPC;charset=x",
            "application/grpc ",
        ] {
            assert!(is_grpc(yes.as_bytes()), "{yes}");
        }
        for no in [
            "",
            "application/grp",
            "application/grpc-web",
            "application/grpcx",
            "application/json",
        ] {
            assert!(!is_grpc(no.as_bytes()), "{no}");
        }
    }

    #[test]
    fn paths() {
        assert_eq!(split_path("/a.B/C"), Some(("a.B", "C")));
        for no in ["", "/", "a/b", "/a", "/a/", "//b", "/a/b/c"] {
            assert_eq!(split_path(no), None, "{no}");
        }
    }
}
