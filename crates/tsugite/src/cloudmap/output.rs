//! Structures that several answers share.

use tsugite_aws::JsonWriter;
use tsugite_base::Timestamp;
use tsugite_registry::{
    Attributes, CheckKind, HealthSource, NamespaceKind, NamespaceView, OperationId, ServiceView,
};

use super::Call;

/// One JSON object, as an answer.
pub(super) fn answer(write: impl FnOnce(&mut JsonWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    let mut json = JsonWriter::new(&mut out);
    json.begin();
    write(&mut json);
    json.end();
    out
}

pub(super) fn operation_id(id: OperationId) -> Vec<u8> {
    answer(|json| json.text("OperationId", &id.to_string()))
}

/// Seconds since the epoch with milliseconds.
pub(super) fn date(json: &mut JsonWriter<'_>, name: &str, at: Timestamp) {
    json.member(name);
    json.raw(&format!("{}.{:03}", at.seconds(), at.millis() % 1000));
}

pub(super) fn some(json: &mut JsonWriter<'_>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        json.text(name, value);
    }
}

pub(super) fn attributes(json: &mut JsonWriter<'_>, attributes: &Attributes) {
    json.member("Attributes");
    json.begin();
    for (key, value) in attributes {
        json.text(key, value);
    }
    json.end();
}

fn count(json: &mut JsonWriter<'_>, name: &str, count: usize) {
    json.int(name, i64::try_from(count).unwrap_or(i64::MAX));
}

impl<S> Call<'_, S> {
    /// A namespace as an open object: the caller has begun it and ends it.
    pub(super) fn namespace(&self, json: &mut JsonWriter<'_>, view: &NamespaceView) {
        let namespace = &view.namespace;
        let id = namespace.id.to_string();
        json.text("Id", &id);
        json.text("Arn", &self.arn(format!("namespace/{id}")));
        json.text("ResourceOwner", &self.context.scope.account);
        json.text("Name", &namespace.name);
        json.text("Type", namespace.kind.name());
        some(json, "Description", namespace.description.as_deref());
        count(json, "ServiceCount", view.services);
        json.member("Properties");
        json.begin();
        json.member("DnsProperties");
        json.begin();
        if namespace.kind == NamespaceKind::DnsPrivate {
            json.member("SOA");
            json.begin();
            json.int("TTL", view.soa_ttl.into());
            json.end();
        }
        json.end();
        json.member("HttpProperties");
        json.begin();
        json.text("HttpName", &namespace.name);
        json.end();
        json.end();
        date(json, "CreateDate", namespace.created);
        some(json, "CreatorRequestId", namespace.creator_request_id.as_deref());
    }

    /// A service as an open object: the caller has begun it and ends it.
    pub(super) fn service(&self, json: &mut JsonWriter<'_>, view: &ServiceView) {
        let service = &view.service;
        let id = service.id.to_string();
        json.text("Id", &id);
        json.text("Arn", &self.arn(format!("service/{id}")));
        json.text("ResourceOwner", &self.context.scope.account);
        json.text("Name", &service.name);
        json.text("NamespaceId", &service.namespace.to_string());
        some(json, "Description", service.description.as_deref());
        count(json, "InstanceCount", view.instances);
        if let Some(dns) = &service.dns {
            json.member("DnsConfig");
            json.begin();
            json.text("NamespaceId", &service.namespace.to_string());
            json.text("RoutingPolicy", dns.routing.name());
            json.member("DnsRecords");
            json.begin_list();
            for record in &dns.records {
                json.begin();
                json.text("Type", record.kind.name());
                json.int("TTL", record.ttl.unwrap_or(view.default_ttl).into());
                json.end();
            }
            json.end_list();
            json.end();
        }
        json.text("Type", if service.dns.is_some() { "DNS_HTTP" } else { "HTTP" });
        health(json, &service.health);
        date(json, "CreateDate", service.created);
        some(json, "CreatorRequestId", service.creator_request_id.as_deref());
    }
}

fn health(json: &mut JsonWriter<'_>, source: &HealthSource) {
    match source {
        HealthSource::None => {}
        HealthSource::Active(check) => {
            json.member("HealthCheckConfig");
            json.begin();
            match &check.kind {
                CheckKind::Http { path } => {
                    json.text("Type", "HTTP");
                    json.text("ResourcePath", path);
                }
                CheckKind::Tcp => json.text("Type", "TCP"),
            }
            json.int("FailureThreshold", check.unhealthy.into());
            json.end();
        }
        HealthSource::Custom => {
            json.member("HealthCheckCustomConfig");
            json.begin();
            json.int("FailureThreshold", 1);
            json.end();
        }
    }
}
