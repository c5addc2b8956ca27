//! Checks as people write them in one word: `tcp`, `http:/path`, `https:/path`, `grpc`, `grpc:service`.

use tsugite_registry::CheckKind;

/// Reads a check. That of HTTPS takes any certificate.
pub(crate) fn parse_check(text: &str) -> Result<CheckKind, String> {
    let (kind, rest) = text
        .split_once(':')
        .map_or((text, None), |(kind, rest)| (kind, Some(rest)));
    let path = || match rest {
        Some(path) if path.starts_with('/') => Ok(path.to_owned()),
        None => Ok("/".to_owned()),
        Some(path) => Err(format!("`{path}` is not a path; it begins with /")),
    };
    match (kind, rest) {
        ("tcp", None) => Ok(CheckKind::Tcp),
        ("http", _) => Ok(CheckKind::Http { path: path()? }),
        ("https", _) => Ok(CheckKind::Https {
            path: path()?,
            verify: false,
        }),
        ("grpc", service) => Ok(CheckKind::Grpc {
            service: service.unwrap_or_default().to_owned(),
        }),
        _ => Err(format!(
            "`{text}` is not a check; write tcp, http:/path, https:/path, grpc or grpc:service"
        )),
    }
}

/// Writes a check as [`parse_check`] reads it.
pub(crate) fn show_check(check: &CheckKind) -> String {
    match check {
        CheckKind::Tcp => "tcp".to_owned(),
        CheckKind::Http { path } => format!("http:{path}"),
        CheckKind::Https { path, .. } => format!("https:{path}"),
        CheckKind::Grpc { service } if service.is_empty() => "grpc".to_owned(),
        CheckKind::Grpc { service } => format!("grpc:{service}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_read_and_written() {
        for text in [
            "tcp",
            "http:/",
            "http:/up?a=b:c",
            "https:/up",
            "grpc",
            "grpc:shop.Orders",
        ] {
            assert_eq!(show_check(&parse_check(text).unwrap()), text);
        }
        assert_eq!(parse_check("http"), parse_check("http:/"));
        for bad in ["", "tcp:80", "http:up", "smtp", "HTTP:/"] {
            assert!(parse_check(bad).is_err(), "{bad}");
        }
    }
}
