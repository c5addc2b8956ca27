//! The resources of the admin port: paths to names, and the methods that each one knows.

use http::Method;

use super::answer::Problem;

/// What a path names. Names are percent-decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Console,
    Health,
    Ready,
    Metrics,
    Index,
    Services,
    Service {
        namespace: String,
        service: String,
    },
    ServiceInstances {
        namespace: String,
        service: String,
    },
    Instance {
        namespace: String,
        service: String,
        id: String,
    },
    InstanceHealth {
        namespace: String,
        service: String,
        id: String,
    },
    Heartbeats,
    Watch,
    GrpcWatch,
    HttpSd,
    Namespaces,
    Namespace(String),
    Queues,
    Queue(String),
    QueueGroups(String),
    QueuePurge(String),
    QueueRedrive(String),
    QueueReceive(String),
    QueueDelete(String),
    Messages(String),
    Message {
        queue: String,
        number: String,
    },
    Topics,
    Topic(String),
    TopicMessages(String),
    TopicMatches(String),
    Subscriptions(String),
    Subscription {
        topic: String,
        id: String,
    },
    Captured,
    Circuits,
    Circuit(String),
    CircuitOverride(String),
    CircuitReset(String),
    Reset,
    Clock,
    ClockAdvance,
}

impl Resource {
    pub(super) fn find(path: &str) -> Result<Resource, Problem> {
        let nothing = || Problem::not_found(format!("nothing is at {path}; /v1 lists what there is"));
        let segments = segments(path)?;
        let names: Vec<&str> = segments.iter().map(String::as_str).collect();
        let own = |name: &str| name.to_owned();
        Ok(match names.as_slice() {
            [""] => Resource::Console,
            ["healthz"] => Resource::Health,
            ["readyz"] => Resource::Ready,
            ["metrics"] => Resource::Metrics,
            ["v1"] => Resource::Index,
            ["v1", "services"] => Resource::Services,
            ["v1", "services", namespace, service] => Resource::Service {
                namespace: own(namespace),
                service: own(service),
            },
            ["v1", "services", namespace, service, "instances"] => Resource::ServiceInstances {
                namespace: own(namespace),
                service: own(service),
            },
            ["v1", "watch"] => Resource::Watch,
            ["tsugite.registry.v1.Watch", "Watch"] => Resource::GrpcWatch,
            ["v1", "http_sd"] => Resource::HttpSd,
            ["v1", "namespaces"] => Resource::Namespaces,
            ["v1", "namespaces", name] => Resource::Namespace(own(name)),
            ["v1", "instances", namespace, service, id] => Resource::Instance {
                namespace: own(namespace),
                service: own(service),
                id: own(id),
            },
            ["v1", "instances", namespace, service, id, "health"] => Resource::InstanceHealth {
                namespace: own(namespace),
                service: own(service),
                id: own(id),
            },
            ["v1", "heartbeats"] => Resource::Heartbeats,
            ["v1", "queues"] => Resource::Queues,
            ["v1", "queues", name] => Resource::Queue(own(name)),
            ["v1", "queues", name, "groups"] => Resource::QueueGroups(own(name)),
            ["v1", "queues", name, "purge"] => Resource::QueuePurge(own(name)),
            ["v1", "queues", name, "redrive"] => Resource::QueueRedrive(own(name)),
            ["v1", "queues", name, "receive"] => Resource::QueueReceive(own(name)),
            ["v1", "queues", name, "delete"] => Resource::QueueDelete(own(name)),
            ["v1", "queues", name, "messages"] => Resource::Messages(own(name)),
            ["v1", "queues", name, "messages", number] => Resource::Message {
                queue: own(name),
                number: own(number),
            },
            ["v1", "topics"] => Resource::Topics,
            ["v1", "topics", name] => Resource::Topic(own(name)),
            ["v1", "topics", name, "messages"] => Resource::TopicMessages(own(name)),
            ["v1", "topics", name, "matches"] => Resource::TopicMatches(own(name)),
            ["v1", "topics", name, "subscriptions"] => Resource::Subscriptions(own(name)),
            ["v1", "topics", name, "subscriptions", id] => Resource::Subscription {
                topic: own(name),
                id: own(id),
            },
            ["v1", "captured"] => Resource::Captured,
            ["v1", "circuits"] => Resource::Circuits,
            ["v1", "circuits", id] => Resource::Circuit(own(id)),
            ["v1", "circuits", id, "override"] => Resource::CircuitOverride(own(id)),
            ["v1", "circuits", id, "reset"] => Resource::CircuitReset(own(id)),
            ["v1", "reset"] => Resource::Reset,
            ["v1", "clock"] => Resource::Clock,
            ["v1", "clock", "advance"] => Resource::ClockAdvance,
            _ => return Err(nothing()),
        })
    }

    /// The value of `Allow`.
    pub(super) const fn methods(&self) -> &'static str {
        match self {
            Resource::Instance { .. } => "GET, HEAD, PUT, DELETE, OPTIONS",
            Resource::CircuitOverride(_) | Resource::InstanceHealth { .. } => "PUT, DELETE, OPTIONS",
            Resource::Topic(_) => "GET, HEAD, PUT, DELETE, OPTIONS",
            Resource::Queue(_) | Resource::Subscription { .. } | Resource::Service { .. } => {
                "GET, HEAD, DELETE, OPTIONS"
            }
            Resource::Messages(_) | Resource::Subscriptions(_) => "GET, HEAD, POST, OPTIONS",
            Resource::QueueRedrive(_) => "GET, HEAD, POST, DELETE, OPTIONS",
            Resource::CircuitReset(_)
            | Resource::Heartbeats
            | Resource::Reset
            | Resource::GrpcWatch
            | Resource::ClockAdvance
            | Resource::QueuePurge(_)
            | Resource::QueueReceive(_)
            | Resource::QueueDelete(_)
            | Resource::TopicMessages(_)
            | Resource::TopicMatches(_) => "POST, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    /// The query parameters that a request may have; `None` takes any, for the resources that probes ask for.
    pub(super) fn parameters(&self, method: &Method) -> Option<&'static [&'static str]> {
        let looks = matches!(*method, Method::GET | Method::HEAD);
        match self {
            Resource::Console | Resource::Health | Resource::Ready | Resource::Metrics => None,
            Resource::Instance { .. } if *method == Method::DELETE => Some(&["drain", "wait"]),
            Resource::Services if looks => Some(&["after", "namespace"]),
            Resource::Namespaces if looks => Some(&["after"]),
            Resource::ServiceInstances { .. } if looks => Some(&["after", "limit", "index", "wait"]),
            Resource::Watch if looks => Some(&["service", "namespace", "index"]),
            Resource::HttpSd if looks => Some(&["service", "namespace"]),
            Resource::Messages(_) if looks => Some(&["account", "region", "after", "limit", "id"]),
            Resource::QueueGroups(_) if looks => Some(&["account", "region", "limit"]),
            Resource::Subscriptions(_) if looks => Some(&["account", "region", "after", "limit"]),
            Resource::TopicMatches(_) => Some(&["account", "region", "limit"]),
            Resource::Captured if looks => Some(&["limit", "recipient"]),
            Resource::Queues | Resource::Topics if looks => Some(&["account", "region"]),
            Resource::Topic(_)
            | Resource::TopicMessages(_)
            | Resource::Subscriptions(_)
            | Resource::Subscription { .. }
            | Resource::Queue(_)
            | Resource::Messages(_)
            | Resource::Message { .. }
            | Resource::QueuePurge(_)
            | Resource::QueueRedrive(_)
            | Resource::QueueReceive(_)
            | Resource::QueueDelete(_) => Some(&["account", "region"]),
            Resource::Circuits if looks => Some(&["state"]),
            _ => Some(&[]),
        }
    }

    /// Whether it is shown without a token: probes of orchestrators have none, and the console is an empty page.
    pub(super) const fn open(&self) -> bool {
        matches!(self, Resource::Console | Resource::Health | Resource::Ready)
    }
}

/// The names between slashes; one slash at the end means nothing.
fn segments(path: &str) -> Result<Vec<String>, Problem> {
    let segments: Option<Vec<String>> = path.trim_start_matches('/').split('/').map(decode).collect();
    let mut segments = segments.ok_or_else(|| Problem::invalid(format!("{path} is not well encoded")))?;
    if segments.len() > 1 && segments.last().is_some_and(String::is_empty) {
        segments.pop();
    }
    Ok(segments)
}

/// One segment without its percent signs; nothing if they are wrong.
fn decode(segment: &str) -> Option<String> {
    let mut out = Vec::with_capacity(segment.len());
    let mut bytes = segment.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut digit = || char::from(bytes.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// A key or value of a query; one that is badly encoded stands for itself.
pub(super) fn decode_query(text: &str) -> String {
    let text = text.replace('+', " ");
    decode(&text).unwrap_or(text)
}

/// A name as one segment of a path.
pub(super) fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'@') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_resources() {
        let find = |path| Resource::find(path).ok();
        assert_eq!(find("/"), Some(Resource::Console));
        assert_eq!(find("/v1/"), Some(Resource::Index));
        assert_eq!(find("/v1/queues/a%20b"), Some(Resource::Queue("a b".into())));
        assert_eq!(
            find("/v1/circuits/orders.shop/reset"),
            Some(Resource::CircuitReset("orders.shop".into()))
        );
        for nothing in [
            "/v2",
            "/v1/queues/a/b",
            "/v1/queues/%",
            "/v1/queues/%zz",
            "/v1/queues/%ff",
            "/V1",
        ] {
            assert_eq!(find(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn names_survive_a_path() {
        for name in ["orders", "a/b c%", "日本", ""] {
            assert_eq!(decode(&encode(name)).as_deref(), Some(name));
        }
    }
}
