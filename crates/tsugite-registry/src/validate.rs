//! The limits of the Cloud Map model. Messages name the parameter as the API spells it.

use std::net::{Ipv4Addr, Ipv6Addr};

use tsugite_base::Invalid;

use crate::command::Protocol;
use crate::instances::{INIT_HEALTH, IPV4, IPV6, PORT, PROTOCOL};
use crate::model::{
    Attributes, CheckKind, DnsConfig, HealthCheck, HealthSource, NamespaceKind, RecordType, Service,
};

/// Longest HTTP namespace name, in characters.
const NAMESPACE_CHARS: usize = 1024;
/// Longest DNS namespace name, in characters.
const DNS_NAMESPACE_CHARS: usize = 253;
/// Longest service name, in characters.
const SERVICE_CHARS: usize = 127;
/// Longest label of a domain name.
const LABEL_CHARS: usize = 63;
/// Longest instance id, in characters.
const INSTANCE_CHARS: usize = 64;
/// Longest description, in characters.
const DESCRIPTION_CHARS: usize = 1024;
/// Longest `CreatorRequestId`, in characters.
const REQUEST_CHARS: usize = 64;
/// Custom attributes of one instance (those without a prefix that is special to Cloud Map or to us).
const CUSTOM_ATTRIBUTES: usize = 30;
/// Characters of all attributes of one instance.
const ATTRIBUTE_CHARS: usize = 5_000;
/// Longest attribute key, in characters.
const KEY_CHARS: usize = 255;
/// Longest attribute value, in characters.
const VALUE_CHARS: usize = 1024;
/// Longest path of a health check, in characters.
const PATH_CHARS: usize = 255;
/// Longest TTL of a DNS record, in seconds (RFC 2181).
pub(crate) const TTL_SECONDS: u32 = 2_147_483_647;

fn graphic(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

pub(crate) fn namespace_name(name: &str, kind: NamespaceKind) -> Result<(), Invalid> {
    let limit = match kind {
        NamespaceKind::Http => NAMESPACE_CHARS,
        NamespaceKind::DnsPrivate => DNS_NAMESPACE_CHARS,
    };
    if name.is_empty() || name.len() > limit || !graphic(name) || name.starts_with("arn:") {
        let rule =
            format!("must be 1 to {limit} printable characters without spaces, not starting with arn:");
        return Err(Invalid::new("Name", name, rule));
    }
    let labels = || {
        name.split('.')
            .all(|label| (1..=LABEL_CHARS).contains(&label.len()))
    };
    if kind == NamespaceKind::DnsPrivate && !labels() {
        return Err(Invalid::new(
            "Name",
            name,
            "must be a domain name: labels of 1 to 63 characters",
        ));
    }
    Ok(())
}

pub(crate) fn service_name(name: &str) -> Result<(), Invalid> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let label = |label: &str| {
        let bytes = label.as_bytes();
        let ends = bytes.first().zip(bytes.last());
        bytes.len() <= LABEL_CHARS
            && match bytes {
                [one] => one.is_ascii_alphanumeric(),
                _ => ends.is_some_and(|(first, last)| word(*first) && word(*last)),
            }
            && bytes.iter().all(|&b| word(b) || b == b'-')
    };
    if name.is_empty() || name.len() > SERVICE_CHARS || !name.split('.').all(label) {
        let rule = "must be 1 to 127 characters: labels of letters, digits, underscores and inner hyphens";
        return Err(Invalid::new("Name", name, rule));
    }
    Ok(())
}

pub(crate) fn description(text: Option<&str>) -> Result<(), Invalid> {
    at_most("Description", text, DESCRIPTION_CHARS)
}

pub(crate) fn creator_request_id(text: Option<&str>) -> Result<(), Invalid> {
    at_most("CreatorRequestId", text, REQUEST_CHARS)
}

fn at_most(what: &str, text: Option<&str>, limit: usize) -> Result<(), Invalid> {
    match text {
        Some(text) if text.chars().count() > limit => Err(Invalid::new(
            what,
            text,
            format!("must be at most {limit} characters"),
        )),
        _ => Ok(()),
    }
}

pub(crate) fn dns(config: Option<&DnsConfig>, kind: NamespaceKind) -> Result<(), Invalid> {
    let Some(config) = config else {
        return Ok(());
    };
    let names: Vec<_> = config.records.iter().map(|r| r.kind.name()).collect();
    let refuse = |rule: &str| Err(Invalid::new("DnsRecords", names.join(", "), rule));
    if kind == NamespaceKind::Http {
        return refuse("a service in an HTTP namespace cannot have DNS records");
    }
    let kinds: Vec<_> = config.records.iter().map(|r| r.kind).collect();
    use RecordType::{A, Aaaa, Srv};
    if !matches!(kinds.as_slice(), [A] | [Aaaa] | [Srv] | [A, Aaaa] | [Aaaa, A]) {
        return refuse("must be A, AAAA, A and AAAA, or SRV");
    }
    match config
        .records
        .iter()
        .find(|r| r.ttl.is_some_and(|ttl| ttl > TTL_SECONDS))
    {
        Some(record) => Err(Invalid::new(
            "TTL",
            record.ttl.unwrap_or_default(),
            "must be between 0 and 2147483647",
        )),
        None => Ok(()),
    }
}

pub(crate) fn health(source: &HealthSource) -> Result<(), Invalid> {
    let HealthSource::Active(check) = source else {
        return Ok(());
    };
    let HealthCheck {
        kind,
        interval_ms,
        timeout_ms,
        unhealthy,
        healthy,
    } = check;
    if let CheckKind::Http { path } = kind
        && (!path.starts_with('/') || path.len() > PATH_CHARS || !graphic(path))
    {
        let rule = "must start with / and be at most 255 printable characters without spaces";
        return Err(Invalid::new("ResourcePath", path, rule));
    }
    let range = tsugite_base::invalid::in_range;
    range("interval in milliseconds", (*interval_ms).into(), 50..=86_400_000)?;
    range(
        "timeout in milliseconds",
        (*timeout_ms).into(),
        1..=(*interval_ms).into(),
    )?;
    range("FailureThreshold", (*unhealthy).into(), 1..=10)?;
    range("healthy threshold", (*healthy).into(), 1..=10)?;
    Ok(())
}

pub(crate) fn instance(id: &str, attributes: &Attributes, service: &Service) -> Result<(), Invalid> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_/:.@-".contains(&b);
    if id.is_empty() || id.len() > INSTANCE_CHARS || !id.bytes().all(legal) {
        let rule = "must be 1 to 64 characters of letters, digits and _/:.@-";
        return Err(Invalid::new("InstanceId", id, rule));
    }
    sizes(attributes)?;
    for (key, value) in attributes {
        special(key, value, service)?;
    }
    Ok(())
}

fn sizes(attributes: &Attributes) -> Result<(), Invalid> {
    let custom = attributes
        .keys()
        .filter(|key| !key.starts_with("AWS_") && !key.starts_with("TSUGITE_"))
        .count();
    if custom > CUSTOM_ATTRIBUTES {
        return Err(Invalid::new(
            "Attributes",
            custom,
            "must be at most 30 custom attributes",
        ));
    }
    let total: usize = attributes
        .iter()
        .map(|(key, value)| key.chars().count() + value.chars().count())
        .sum();
    if total > ATTRIBUTE_CHARS {
        let rule = "must be at most 5000 characters of keys and values together";
        return Err(Invalid::new("Attributes", total, rule));
    }
    for (key, value) in attributes {
        if key.is_empty() || key.len() > KEY_CHARS || !graphic(key) {
            let rule = "must be 1 to 255 printable characters without spaces";
            return Err(Invalid::new("Attributes key", key, rule));
        }
        let legal = |b: u8| b.is_ascii_graphic() || b == b' ' || b == b'\t';
        if value.len() > VALUE_CHARS || !value.bytes().all(legal) || value.starts_with([' ', '\t']) {
            let rule = "must be at most 1024 printable characters, not starting with a space";
            return Err(Invalid::new(key, value, rule));
        }
    }
    Ok(())
}

fn special(key: &str, value: &str, service: &Service) -> Result<(), Invalid> {
    let refuse = |rule: &str| Err(Invalid::new(key, value, rule));
    match key {
        IPV4 if value.parse::<Ipv4Addr>().is_err() => refuse("must be an IPv4 address"),
        IPV6 if value.parse::<Ipv6Addr>().is_err() => refuse("must be an IPv6 address"),
        PORT if value.parse::<u16>().is_err() => refuse("must be a port number"),
        PROTOCOL if Protocol::parse(value).is_none() => refuse("must be http, h2c or grpc"),
        INIT_HEALTH if service.health != HealthSource::Custom => {
            refuse("is only for services created with HealthCheckCustomConfig")
        }
        INIT_HEALTH if !matches!(value, "HEALTHY" | "UNHEALTHY") => refuse("must be HEALTHY or UNHEALTHY"),
        "AWS_ALIAS_DNS_NAME" | "AWS_EC2_INSTANCE_ID" => {
            refuse("is not yet supported; give AWS_INSTANCE_IPV4 and AWS_INSTANCE_PORT")
        }
        "AWS_INSTANCE_CNAME" if service.dns.is_some() => {
            refuse("needs a service with a CNAME record, which is not yet supported")
        }
        _ => Ok(()),
    }
}
