//! Trace context on its way into a message: a W3C `traceparent` told as an `AWSTraceHeader`.
//!
//! Sources: W3C Trace Context, section 3.2; AWS X-Ray developer guide, "Tracing header" (a W3C trace id is an X-Ray id
//! with a dash after its first eight digits).

/// The tracing header that says the same as a `traceparent`; `None` if that is malformed or of an unknown version.
pub fn header_of_traceparent(traceparent: &str) -> Option<String> {
    let mut parts = traceparent.trim().split('-');
    let mut hex = |len: usize| {
        let part = parts.next()?;
        let fits = part.len() == len && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        fits.then_some(part)
    };
    let (version, trace, parent, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let zero = |id: &str| id.bytes().all(|b| b == b'0');
    if version != "00" || parts.next().is_some() || zero(trace) || zero(parent) {
        return None;
    }
    let sampled = u8::from_str_radix(flags, 16).ok()? & 1;
    let (time, rest) = trace.split_at(8);
    Some(format!("Root=1-{time}-{rest};Parent={parent};Sampled={sampled}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_becomes_a_tracing_header() {
        assert_eq!(
            header_of_traceparent("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01").as_deref(),
            Some("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1")
        );
        assert!(
            header_of_traceparent("00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-00")
                .is_some_and(|header| header.ends_with("Sampled=0"))
        );
        for bad in [
            "",
            "00",
            "01-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
            "00-5759E988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01",
            "00-00000000000000000000000000000000-53995c3f42cd8ad8-01",
            "00-5759e988bd862e3fe1be46a994272793-0000000000000000-01",
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01-x",
            "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8",
            "00-é759e988bd862e3fe1be46a99427279-53995c3f42cd8ad8-01",
        ] {
            assert_eq!(header_of_traceparent(bad), None, "{bad}");
        }
    }
}
