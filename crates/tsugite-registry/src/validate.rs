//! The limits of the Cloud Map model. Messages name the parameter as the API spells it.
//!
//! The functions that begin with `strict_` refuse what AWS refuses and what does no harm here.

use std::net::{Ipv4Addr, Ipv6Addr};

use tsugite_base::Invalid;

use crate::command::Protocol;
use crate::health::MIN_AVAILABLE;
use crate::instances::{
    ALIAS, CNAME, DESCRIPTORS, DRAIN, EC2_INSTANCE, INIT_HEALTH, IPV4, IPV6, LEASE, OPENAPI, PORT, PROTOCOL,
    WEIGHT, ZONE,
};
use crate::leaving::DRAIN_MS;
use crate::model::{
    Attributes, CheckKind, DnsConfig, HealthCheck, HealthSource, NamespaceKind, RecordType, RoutingPolicy,
    Service, Tags,
};
use crate::put::LEASE_MS;

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
/// Longest note of an operator, in characters.
const NOTE_CHARS: usize = 1024;
/// Longest attribute value, in characters.
const VALUE_CHARS: usize = 1024;
/// Longest path of a health check, in characters.
const PATH_CHARS: usize = 255;
/// Longest key of a tag, in characters.
const TAG_KEY_CHARS: usize = 128;
/// Longest value of a tag, in characters.
const TAG_VALUE_CHARS: usize = 256;
/// Keys that one request removes at most.
const TAG_KEYS: usize = 200;
/// Greatest weight of an instance.
const WEIGHTS: std::ops::RangeInclusive<i64> = 0..=1_000;
/// Longest TTL of a DNS record, in seconds (RFC 2181).
pub(crate) const TTL_SECONDS: u32 = 2_147_483_647;

fn graphic(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic())
}

pub(crate) fn namespace_name(name: &str, kind: NamespaceKind) -> Result<(), Invalid> {
    let limit = match kind {
        NamespaceKind::Http => NAMESPACE_CHARS,
        NamespaceKind::DnsPrivate | NamespaceKind::DnsPublic => DNS_NAMESPACE_CHARS,
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
    if kind.is_dns() && !labels() {
        return Err(Invalid::new(
            "Name",
            name,
            "must be a domain name: labels of 1 to 63 characters",
        ));
    }
    Ok(())
}

/// A public name is a domain name with a dot, as registrars accept it.
pub(crate) fn public_name(name: &str) -> Result<(), Invalid> {
    let label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        (1..=LABEL_CHARS).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.contains('.') && name.split('.').all(label) {
        return Ok(());
    }
    let rule = "must be a domain name of two labels or more: letters, digits and inner hyphens";
    Err(Invalid::new("Name", name, rule))
}

pub(crate) fn soa_ttl(ttl: Option<u32>) -> Result<(), Invalid> {
    match ttl {
        Some(ttl) if ttl > TTL_SECONDS => {
            Err(Invalid::new("SOA TTL", ttl, "must be between 0 and 2147483647"))
        }
        _ => Ok(()),
    }
}

/// What can be a name here: as at AWS, and with spaces inside.
pub(crate) fn service_name(name: &str) -> Result<(), Invalid> {
    is_service_name(name, |b| b == b'-' || b == b' ')
}

fn is_service_name(name: &str, inner: impl Fn(u8) -> bool) -> Result<(), Invalid> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let label = |label: &str| {
        let bytes = label.as_bytes();
        let ends = bytes.first().zip(bytes.last());
        bytes.len() <= LABEL_CHARS
            && match bytes {
                [one] => one.is_ascii_alphanumeric(),
                _ => ends.is_some_and(|(first, last)| word(*first) && word(*last)),
            }
            && bytes.iter().all(|&b| word(b) || inner(b))
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

/// `what` names the parameter.
pub(crate) fn request_id(what: &str, text: Option<&str>) -> Result<(), Invalid> {
    at_most(what, text, REQUEST_CHARS)
}

pub(crate) fn tags(tags: &Tags) -> Result<(), Invalid> {
    for (key, value) in tags {
        tag_key(key)?;
        at_most("tag value", Some(value), TAG_VALUE_CHARS)?;
    }
    Ok(())
}

pub(crate) fn tag_keys(keys: &[String]) -> Result<(), Invalid> {
    if keys.len() > TAG_KEYS {
        return Err(Invalid::new("TagKeys", keys.len(), "must be at most 200 keys"));
    }
    keys.iter().try_for_each(|key| tag_key(key))
}

fn tag_key(key: &str) -> Result<(), Invalid> {
    if key.is_empty() || key.to_ascii_lowercase().starts_with("aws:") {
        return Err(Invalid::new(
            "tag key",
            key,
            "must not be empty nor start with aws:",
        ));
    }
    at_most("tag key", Some(key), TAG_KEY_CHARS)
}

pub(crate) fn service_attributes(attributes: &Attributes) -> Result<(), Invalid> {
    for (key, value) in attributes {
        if key.is_empty() {
            return Err(Invalid::new("Attributes key", key, "must not be empty"));
        }
        at_most("Attributes key", Some(key), KEY_CHARS)?;
        at_most(key, Some(value), VALUE_CHARS)?;
        if key == MIN_AVAILABLE && !value.parse().is_ok_and(|percent: u32| percent <= 100) {
            return Err(Invalid::new(key, value, "must be a whole number from 0 to 100"));
        }
    }
    Ok(())
}

/// Why an operator did something.
pub(crate) fn note(text: Option<&str>) -> Result<(), Invalid> {
    at_most("note", text, NOTE_CHARS)
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

pub(crate) fn dns(config: Option<&DnsConfig>, health: &HealthSource) -> Result<(), Invalid> {
    let Some(config) = config else {
        return Ok(());
    };
    let names: Vec<_> = config.records.iter().map(|r| r.kind.name()).collect();
    let refuse = |rule: &str| Err(Invalid::new("DnsRecords", names.join(", "), rule));
    let kinds: Vec<_> = config.records.iter().map(|r| r.kind).collect();
    use RecordType::{A, Aaaa, Cname, Srv};
    match kinds.as_slice() {
        [A] | [Aaaa] | [Srv] | [A, Aaaa] | [Aaaa, A] => {}
        [Cname] if config.routing != RoutingPolicy::Weighted => {
            return refuse("needs the RoutingPolicy WEIGHTED");
        }
        [Cname] if matches!(health, HealthSource::Active(_)) => {
            return refuse("cannot be had together with a HealthCheckConfig");
        }
        [Cname] => {}
        _ => return refuse("must be A, AAAA, A and AAAA, SRV, or CNAME"),
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
    if let CheckKind::Http { path } | CheckKind::Https { path, .. } = kind
        && (!path.starts_with('/') || path.len() > PATH_CHARS || !graphic(path))
    {
        let rule = "must start with / and be at most 255 printable characters without spaces";
        return Err(Invalid::new("ResourcePath", path, rule));
    }
    if let CheckKind::Grpc { service } = kind
        && (service.len() > PATH_CHARS || !graphic(service))
    {
        let rule = "must be at most 255 printable characters without spaces";
        return Err(Invalid::new("checked service", service, rule));
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

/// What AWS refuses of a service and what does no harm here.
pub(crate) fn strict_service(
    name: &str,
    dns: Option<&DnsConfig>,
    health: &HealthSource,
    kind: NamespaceKind,
) -> Result<(), Invalid> {
    is_service_name(name, |b| b == b'-')?;
    if kind == NamespaceKind::Http && dns.is_some() {
        let rule = "cannot be given to a service in an HTTP namespace, which has no DNS records";
        return Err(Invalid::new("DnsConfig", name, rule));
    }
    if kind == NamespaceKind::DnsPrivate && matches!(health, HealthSource::Active(_)) {
        let rule = "cannot be given to a service in a private DNS namespace; give a HealthCheckCustomConfig";
        return Err(Invalid::new("HealthCheckConfig", name, rule));
    }
    Ok(())
}

pub(crate) fn instance(
    id: &str,
    attributes: &Attributes,
    service: &Service,
    kind: NamespaceKind,
) -> Result<(), Invalid> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b"_/:.@-".contains(&b);
    if id.is_empty() || id.len() > INSTANCE_CHARS || !id.bytes().all(legal) {
        let rule = "must be 1 to 64 characters of letters, digits and _/:.@-";
        return Err(Invalid::new("InstanceId", id, rule));
    }
    sizes(attributes)?;
    for (key, value) in attributes {
        special(key, value, service)?;
    }
    match attributes.get(EC2_INSTANCE) {
        Some(machine) if kind.is_dns() => Err(Invalid::new(
            EC2_INSTANCE,
            machine,
            "is only for services in HTTP namespaces",
        )),
        _ => Ok(()),
    }
}

/// What AWS refuses of an instance and what does no harm here: the attributes that the records of its service need,
/// and those that nobody defined.
pub(crate) fn strict_instance(
    attributes: &Attributes,
    service: &Service,
    kind: NamespaceKind,
) -> Result<(), Invalid> {
    let missing = |key: &str, why: &str| Err(Invalid::new("Attributes", key, format!("is missing: {why}")));
    let has = |key: &str| attributes.contains_key(key);
    let records = service.dns.iter().flat_map(|dns| &dns.records);
    for record in records.filter(|_| kind.is_dns()) {
        match record.kind {
            RecordType::A if !has(IPV4) => return missing(IPV4, "the service has an A record"),
            RecordType::Aaaa if !has(IPV6) => return missing(IPV6, "the service has an AAAA record"),
            RecordType::Srv if !has(PORT) => return missing(PORT, "the service has an SRV record"),
            RecordType::Srv if !has(IPV4) && !has(IPV6) => {
                return missing(IPV4, "the service has an SRV record, which needs an address");
            }
            RecordType::Cname if !has(CNAME) => return missing(CNAME, "the service has a CNAME record"),
            _ => {}
        }
    }
    if matches!(service.health, HealthSource::Active(_)) && !has(PORT) {
        return missing(PORT, "the service has a HealthCheckConfig");
    }
    let known = [IPV4, IPV6, PORT, CNAME, INIT_HEALTH, EC2_INSTANCE];
    let machine = has(EC2_INSTANCE);
    for (key, value) in attributes.iter().filter(|(key, _)| key.starts_with("AWS_")) {
        if !known.contains(&key.as_str()) {
            return Err(Invalid::new(key, value, "is no attribute that Cloud Map knows"));
        }
    }
    let other = attributes
        .iter()
        .find(|(key, _)| !matches!(key.as_str(), EC2_INSTANCE | INIT_HEALTH));
    match other {
        Some((key, value)) if machine => Err(Invalid::new(
            key,
            value,
            "cannot be given beside AWS_EC2_INSTANCE_ID, which goes with AWS_INIT_HEALTH_STATUS alone",
        )),
        _ => Ok(()),
    }
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
    let beyond = |range: std::ops::RangeInclusive<i64>| !value.parse().is_ok_and(|n| range.contains(&n));
    match key {
        IPV4 if value.parse::<Ipv4Addr>().is_err() => refuse("must be an IPv4 address"),
        IPV6 if value.parse::<Ipv6Addr>().is_err() => refuse("must be an IPv6 address"),
        PORT if value.parse::<u16>().is_err() => refuse("must be a port number"),
        CNAME if !is_host(value) => refuse("must be a domain name"),
        INIT_HEALTH if service.health != HealthSource::Custom => {
            refuse("is only for services created with HealthCheckCustomConfig")
        }
        INIT_HEALTH if !matches!(value, "HEALTHY" | "UNHEALTHY") => refuse("must be HEALTHY or UNHEALTHY"),
        ALIAS => refuse(
            "cannot be served: it names a load balancer at AWS; give its addresses, or its name as \
             AWS_INSTANCE_CNAME in a service with a CNAME record",
        ),
        PROTOCOL if Protocol::parse(value).is_none() => refuse("must be http, h2c or grpc"),
        WEIGHT if beyond(WEIGHTS) => refuse("must be a number between 0 and 1000"),
        LEASE if beyond(LEASE_MS) => refuse("must be a number of milliseconds between 100 and 86400000"),
        DRAIN if beyond(DRAIN_MS) => refuse("must be a number of milliseconds between 0 and 3600000"),
        ZONE if value.is_empty() => refuse("must not be empty"),
        OPENAPI | DESCRIPTORS if !is_location(value) => refuse("must be a path or an http or https URL"),
        _ => Ok(()),
    }
}

/// Labels of letters, digits, underscores and inner hyphens; a dot may end it.
fn is_host(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    name.len() <= DNS_NAMESPACE_CHARS
        && name.split('.').all(|label| {
            (1..=LABEL_CHARS).contains(&label.len()) && !label.starts_with('-') && label.bytes().all(legal)
        })
}

fn is_location(text: &str) -> bool {
    text.starts_with('/') || text.starts_with("http://") || text.starts_with("https://")
}
