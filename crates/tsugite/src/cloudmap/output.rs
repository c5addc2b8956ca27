//! Structures that several answers share.

use tsugite_aws::Writer;
use tsugite_base::{Timestamp, Uuid};
use tsugite_registry::{CheckKind, HealthSource, NamespaceId, NamespaceView, OperationId, ServiceView};

use super::Call;

/// Seconds since the epoch with milliseconds.
pub(super) fn date(out: &mut Writer<'_>, name: &str, at: Timestamp) {
    out.time(name, at.millis());
}

pub(super) fn some(out: &mut Writer<'_>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        out.text(name, value);
    }
}

pub(super) fn attributes<'a>(out: &mut Writer<'_>, attributes: impl Iterator<Item = (&'a str, &'a str)>) {
    out.member("Attributes");
    out.begin();
    for (key, value) in attributes {
        out.text(key, value);
    }
    out.end();
}

fn count(out: &mut Writer<'_>, name: &str, count: usize) {
    out.int(name, i64::try_from(count).unwrap_or(i64::MAX));
}

/// An operation's id in the form of AWS's, which people match with patterns: 32 characters, a hyphen, and eight more.
/// Ours are the digits of the id and a check sum.
pub(super) fn operation_text(id: OperationId) -> String {
    let number = u128::from_be_bytes(id.0);
    format!("{number:032x}-{:08x}", check_sum(number))
}

fn check_sum(number: u128) -> u32 {
    let bytes = number.to_be_bytes();
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().fold(0, |sum, word| sum ^ u32::from_be_bytes(*word))
}

/// The id that [`operation_text`] wrote.
pub(super) fn operation_of(text: &str) -> Option<OperationId> {
    let (digits, _) = text.split_once('-')?;
    let number = u128::from_str_radix(digits, 16).ok()?;
    let id = Uuid(number.to_be_bytes());
    (operation_text(id) == text).then_some(id)
}

/// Route 53 would have a hosted zone for the namespace; tools that show or keep its id get one that stays the same.
fn hosted_zone(id: NamespaceId) -> String {
    format!("Z{:016X}", id.0)
}

impl<S> Call<'_, S> {
    /// One structure, as an answer.
    pub(super) fn answer(&self, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        self.encoding.document(write)
    }

    /// The answer of what is done by an operation.
    pub(super) fn operation(&self, id: OperationId) -> Vec<u8> {
        self.answer(|out| out.text("OperationId", &operation_text(id)))
    }

    /// A list that may go on.
    pub(super) fn list<T>(
        &self,
        out: &mut Writer<'_>,
        name: &str,
        entries: &[T],
        next: Option<&str>,
        write: impl Fn(&mut Writer<'_>, &T),
    ) {
        out.member(name);
        out.begin_list();
        for entry in entries {
            out.begin();
            write(out, entry);
            out.end();
        }
        out.end_list();
        some(out, "NextToken", next);
    }

    /// A namespace as it is listed.
    pub(super) fn namespace(&self, out: &mut Writer<'_>, view: &NamespaceView) {
        let namespace = &view.namespace;
        let id = namespace.id.to_string();
        out.text("Id", &id);
        out.text("Arn", &self.arn(format!("namespace/{id}")));
        out.text("ResourceOwner", &self.context.scope.account);
        out.text("Name", &namespace.name);
        out.text("Type", namespace.kind.name());
        some(out, "Description", namespace.description.as_deref());
        count(out, "ServiceCount", view.services);
        out.member("Properties");
        out.begin();
        out.member("DnsProperties");
        out.begin();
        if namespace.kind.is_dns() {
            out.text("HostedZoneId", &hosted_zone(namespace.id));
        }
        out.member("SOA");
        out.begin();
        if namespace.kind.is_dns() {
            out.int("TTL", view.soa_ttl.into());
        }
        out.end();
        out.end();
        out.member("HttpProperties");
        out.begin();
        out.text("HttpName", &namespace.name);
        out.end();
        out.end();
        date(out, "CreateDate", namespace.created);
    }

    /// A service as it is listed.
    pub(super) fn service(&self, out: &mut Writer<'_>, view: &ServiceView) {
        let service = &view.service;
        let id = service.id.to_string();
        out.text("Id", &id);
        out.text("Arn", &self.arn(format!("service/{id}")));
        out.text("ResourceOwner", &self.context.scope.account);
        out.text("Name", &service.name);
        some(out, "Description", service.description.as_deref());
        count(out, "InstanceCount", view.instances);
        if let Some(dns) = &service.dns {
            out.member("DnsConfig");
            out.begin();
            out.text("NamespaceId", &service.namespace.to_string());
            out.text("RoutingPolicy", dns.routing.name());
            out.member("DnsRecords");
            out.begin_list();
            for record in &dns.records {
                out.begin();
                out.text("Type", record.kind.name());
                out.int("TTL", record.ttl.unwrap_or(view.default_ttl).into());
                out.end();
            }
            out.end_list();
            out.end();
        }
        let in_dns = service.dns.is_some() && view.namespace_kind.is_dns();
        out.text("Type", if in_dns { "DNS_HTTP" } else { "HTTP" });
        health(out, &service.health);
        date(out, "CreateDate", service.created);
        out.text("CreatedByAccount", &self.context.scope.account);
    }

    /// A service as it is shown alone.
    pub(super) fn whole_service(&self, view: &ServiceView) -> Vec<u8> {
        self.answer(|out| {
            out.member("Service");
            out.begin();
            self.service(out, view);
            out.text("NamespaceId", &view.service.namespace.to_string());
            some(
                out,
                "CreatorRequestId",
                view.service.creator_request_id.as_deref(),
            );
            out.end();
        })
    }
}

fn health(out: &mut Writer<'_>, source: &HealthSource) {
    match source {
        HealthSource::None => {}
        HealthSource::Active(check) => {
            out.member("HealthCheckConfig");
            out.begin();
            match &check.kind {
                CheckKind::Http { path } | CheckKind::Https { path, .. } => {
                    out.text("Type", check.kind.name());
                    out.text("ResourcePath", path);
                }
                CheckKind::Tcp | CheckKind::Grpc { .. } => out.text("Type", check.kind.name()),
            }
            out.int("FailureThreshold", check.unhealthy.into());
            out.end();
        }
        HealthSource::Custom => {
            out.member("HealthCheckCustomConfig");
            out.begin();
            out.int("FailureThreshold", 1);
            out.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_look_like_those_of_aws_and_are_read_back() {
        let id = Uuid([0xab; 16]);
        let text = operation_text(id);
        assert_eq!(text.len(), 41);
        assert_eq!(operation_of(&text), Some(id));
        let other = Uuid([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        assert_eq!(operation_text(other), "0102030405060708090a0b0c0d0e0f10-00000010");
        for wrong in [
            "",
            "-",
            "nonsense",
            "0102030405060708090a0b0c0d0e0f10-00000011",
            &text.to_uppercase(),
        ] {
            assert_eq!(operation_of(wrong), None, "{wrong}");
        }
    }
}
