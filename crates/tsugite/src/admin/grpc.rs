//! `tsugite.registry.v1.Watch` on the admin port: watches over gRPC.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header, request};
use tsugite_grpc::watch::{self, Health, Instance, Name, Request, Service, Told as Wire};
use tsugite_grpc::{Code, health, is_grpc, metadata};
use tsugite_registry::{HealthStatus, Protocol, Scope, ServiceName, Sight, Story, address_of, protocol_of};

use super::answer::{Answer, Problem, respond};
use super::body::{Watching, Write};
use super::watch::{NAMES, ticket};
use super::{Admin, Store};
use crate::watch::{Follower, Told};

/// Between two looks at whether the program stops; HTTP/2's pings find out who is gone.
const PULSE: Duration = Duration::from_secs(300);
/// Instances of one service in a message.
const INSTANCES: usize = 1_000;

/// Whether a request is a call of gRPC, whose answers take another form.
pub(super) fn is_call(parts: &request::Parts) -> bool {
    let content_type = parts.headers.get(header::CONTENT_TYPE);
    parts.method == Method::POST && content_type.is_some_and(|value| is_grpc(value.as_bytes()))
}

/// Answers `Watch/Watch`.
pub(super) fn watch<S: Store>(
    admin: &Arc<Admin<S>>,
    parts: &request::Parts,
    body: &[u8],
) -> Result<Answer, Problem> {
    if !is_call(parts) || parts.version != Version::HTTP_2 {
        let detail = "this is a method of gRPC, which is called over HTTP/2 with `content-type: application/grpc`; \
                      over HTTP/1.1 there is /v1/watch";
        return Err(Problem::invalid(detail));
    }
    let message = health::from_body(body).map_err(|bad| Problem::invalid(bad.to_string()))?;
    let request = watch::decode_request(message).map_err(|bad| Problem::invalid(bad.to_string()))?;
    let ticket = ticket(admin, scope(&request)?)?;
    let seed = admin.world.random_u64();
    let follower = Follower::new(admin.store.clone(), ticket, request.index, INSTANCES, PULSE, seed);
    let mut answer = respond(StatusCode::OK, "application/grpc", Bytes::new());
    *answer.body_mut() = Watching::body(follower, Messages);
    Ok(answer)
}

fn scope(request: &Request<'_>) -> Result<Scope, Problem> {
    match (request.services.as_slice(), request.namespace) {
        ([], "") => Ok(Scope::All),
        ([], namespace) => Ok(Scope::Namespace(namespace.to_owned())),
        (_, namespace) if !namespace.is_empty() => Err(Problem::invalid("namespace: not beside services")),
        (names, _) if names.len() > NAMES => Err(Problem::invalid(format!("services: at most {NAMES}"))),
        (names, _) => {
            let name = |name: &Name<'_>| ServiceName {
                namespace: name.namespace.to_owned(),
                service: name.service.to_owned(),
            };
            Ok(Scope::Services(names.iter().map(name).collect()))
        }
    }
}

impl Problem {
    /// The problem as the end of a call that has not begun.
    pub(super) fn of_call(self) -> Answer {
        let (status, detail) = self.parts();
        let code = match status {
            StatusCode::BAD_REQUEST => Code::InvalidArgument,
            other => Code::from_http(other.as_u16()),
        };
        let mut answer = respond(StatusCode::OK, "application/grpc", Bytes::new());
        let headers = answer.headers_mut();
        headers.insert("grpc-status", HeaderValue::from_static(code.as_header()));
        if let Ok(message) = HeaderValue::from_str(&metadata::encode_message(detail)) {
            headers.insert("grpc-message", message);
        }
        answer
    }
}

/// Writes messages of gRPC.
struct Messages;

impl Write for Messages {
    fn portion(&self, told: &[Told]) -> Bytes {
        let mut out = Vec::new();
        for told in told {
            match told {
                Told::Anew => watch::response(&mut out, 0, Wire::Anew),
                Told::Synced(index) => watch::response(&mut out, *index, Wire::Synced),
                Told::Story(Story::Is(sight)) => {
                    watch::response(&mut out, sight.index, Wire::Service(&service(sight)));
                }
                Told::Story(Story::Gone { index, name }) => {
                    let name = Name {
                        namespace: &name.namespace,
                        service: &name.service,
                    };
                    watch::response(&mut out, *index, Wire::Removed(name));
                }
            }
        }
        out.into()
    }

    /// A watch has no end of its own: clients come again, with the index that they have seen.
    fn trailers(&self) -> Option<HeaderMap> {
        Some(HeaderMap::from_iter([
            (
                header::HeaderName::from_static("grpc-status"),
                HeaderValue::from_static(Code::Unavailable.as_header()),
            ),
            (
                header::HeaderName::from_static("grpc-message"),
                HeaderValue::from_static("the server stops"),
            ),
        ]))
    }
}

fn service(sight: &Sight) -> Vec<u8> {
    let view = &sight.view;
    let mut out = watch::service(Service {
        name: Name {
            namespace: &view.namespace_name,
            service: &view.service.name,
        },
        revision: view.revision,
        health_index: sight.health_index,
        count: view.instances as u64,
    });
    for instance in &sight.instances {
        let address = address_of(&instance.attributes);
        let ip = address.map(|address| address.ip().to_string());
        let shown = Instance {
            id: &instance.id,
            address: ip.as_deref().unwrap_or_default(),
            port: address.map_or(0, |address| address.port()),
            protocol: protocol_of(&instance.attributes).map_or("", Protocol::name),
            health: match instance.health.status {
                HealthStatus::Healthy => Health::Healthy,
                HealthStatus::Unhealthy => Health::Unhealthy,
                HealthStatus::Unknown => Health::Unknown,
            },
        };
        watch::instance(&mut out, shown, instance.attributes.iter());
    }
    out
}
