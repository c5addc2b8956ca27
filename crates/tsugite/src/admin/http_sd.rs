//! `/v1/http_sd`: targets for Prometheus, in the form of its `http_sd_config`.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use serde_json::{Map, Value, json};
use tsugite_registry::{
    Bounds, HealthStatus, InstanceView, Protocol, Seen, ServiceName, ServiceView, Story, ZONE, address_of,
    protocol_of,
};

use super::answer::{Answer, Problem, respond};
use super::{Admin, Query, Store, watch};

/// Services that are looked up at once.
const PORTION: usize = 64;
/// Targets in one answer: as many as there are, up to where Prometheus itself gives up.
const TARGETS: usize = 100_000;

pub(super) async fn list<S: Store>(admin: &Admin<S>, query: &Query) -> Result<Answer, Problem> {
    let scope = watch::scope(query)?;
    // By service: one that changes while this goes on is told of again.
    let mut groups: BTreeMap<ServiceName, Vec<Value>> = BTreeMap::new();
    let mut seen = Seen::default();
    loop {
        let bounds = Bounds {
            services: PORTION,
            instances: TARGETS + 1,
        };
        let news = admin.store.news(&scope, seen, bounds).await;
        if news.anew {
            groups.clear();
        }
        for story in news.stories {
            match story {
                Story::Is(sight) => {
                    let view = &sight.view;
                    let name = ServiceName {
                        namespace: view.namespace_name.clone(),
                        service: view.service.name.clone(),
                    };
                    let instances = sight.instances.iter();
                    groups.insert(name, instances.filter_map(|i| group(view, i)).collect());
                }
                Story::Gone { name, .. } => {
                    groups.remove(&name);
                }
            }
        }
        if groups.values().map(Vec::len).sum::<usize>() > TARGETS {
            return Err(Problem::invalid(format!(
                "more than {TARGETS} targets: choose with `service` or `namespace`"
            )));
        }
        if news.complete {
            break;
        }
        seen = news.next;
    }
    let text = Value::Array(groups.into_values().flatten().collect()).to_string();
    Ok(respond(StatusCode::OK, "application/json", Bytes::from(text)))
}

/// Each instance is a group of its own, as its labels are its own. One without an address cannot be asked.
fn group(service: &ServiceView, instance: &InstanceView) -> Option<Value> {
    let target = address_of(&instance.attributes)?;
    let mut labels = Map::new();
    let mut label = |name: &str, value: &str| {
        labels.insert(format!("__meta_tsugite_{name}"), value.into());
    };
    label("namespace", &service.namespace_name);
    label("service", &service.service.name);
    label("instance", &instance.id);
    label(
        "health",
        match instance.health.status {
            HealthStatus::Healthy => "healthy",
            HealthStatus::Unhealthy => "unhealthy",
            HealthStatus::Unknown => "unknown",
        },
    );
    if let Some(protocol) = protocol_of(&instance.attributes) {
        label("protocol", Protocol::name(protocol));
    }
    if let Some(zone) = instance.attributes.get(ZONE) {
        label("zone", zone);
    }
    for (key, value) in &instance.attributes {
        label(&format!("attribute_{}", label_name(key)), value);
    }
    Some(json!({ "targets": [target.to_string()], "labels": labels }))
}

/// What is no letter, digit or underscore becomes an underscore.
fn label_name(key: &str) -> String {
    let fit = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '_'
        }
    };
    key.chars().map(fit).collect()
}

#[cfg(test)]
mod tests {
    use super::label_name;

    #[test]
    fn labels_are_what_prometheus_takes() {
        assert_eq!(label_name("AWS_INSTANCE_PORT"), "aws_instance_port");
        assert_eq!(label_name("app.kubernetes.io/név"), "app_kubernetes_io_n_v");
    }
}
