//! Watches over HTTP: blocking queries with an index, and server-sent events.

use std::time::Duration;

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep_until};
use tsugite_engine::Failure;
use tsugite_registry::{DiscoverError, Page, Scope, ServiceName, Sight, Story};

use super::answer::{Answer, Problem, document, respond, with_links};
use super::body::{Watching, Write};
use super::instances::{instance_body, instance_path};
use super::resource::encode;
use super::services::{discover_problem, instances_path, links, service_path};
use super::{Admin, Query, Store};
use crate::config::{self, text};
use crate::watch::{Follower, Ticket, Told, TooMany};

/// How long a blocking query waits unless it says otherwise, and at most.
const WAIT: Duration = Duration::from_secs(300);
const WAIT_MAX: Duration = Duration::from_secs(600);
/// Of its wait a blocking query waits up to a sixteenth longer, so that queries that began together do not end together.
const JITTER: u32 = 16;
/// Between two signs of life of a stream.
const PULSE: Duration = Duration::from_secs(20);
/// Services that one watch can name.
pub(super) const NAMES: usize = 64;
/// Instances on a page, and at most.
const PAGE: usize = 1_000;
/// Instances of one service in an event; the rest is where its link leads.
const INSTANCES: usize = 1_000;

/// `GET /v1/services/{namespace}/{service}/instances`: a page of instances, at once or when `index` is no longer true.
pub(super) async fn instances<S: Store>(
    admin: &Admin<S>,
    name: ServiceName,
    query: &Query,
) -> Result<Answer, Problem> {
    let page = Page {
        after: query.get("after").map(str::to_owned),
        limit: limit(query)?,
    };
    let wait = wait(query)?;
    let known = match query.get("index") {
        None if query.get("wait").is_some() => {
            let detail = "`wait`: needs `index`, which the answer before this one named";
            return Err(Problem::invalid(detail));
        }
        None => None,
        Some(text) => Some(index(text, "`index`")?),
    };
    if let Some(known) = known {
        wait_for_change(admin, &name, known, wait).await?;
    }
    let sight = admin.store.sight(name.clone(), page).await;
    let (index, outcome) = match sight {
        Ok(sight) => (sight.index, Ok(page_of(admin, &sight))),
        Err(Failure::Refused(DiscoverError::NamespaceNotFound(_) | DiscoverError::ServiceNotFound(_))) => {
            let missing = format!("no service `{}` in `{}`", name.service, name.namespace);
            (0, Err(Problem::not_found(missing)))
        }
        Err(other) => return Err(discover_problem(other)),
    };
    let mut answer = outcome.unwrap_or_else(Problem::answer);
    answer
        .headers_mut()
        .insert("tsugite-index", HeaderValue::from(index));
    Ok(answer)
}

/// Waits until the index of the service is another than `known`, or the time is over.
async fn wait_for_change<S: Store>(
    admin: &Admin<S>,
    name: &ServiceName,
    known: u64,
    wait: Duration,
) -> Result<(), Problem> {
    // Looked at before there is a ticket: most who come late need none.
    if admin.store.service_index(name).await != known {
        return Ok(());
    }
    let ticket = ticket(admin, Scope::Services(vec![name.clone()]))?;
    let jitter = u64::try_from((wait / JITTER).as_millis()).unwrap_or_default();
    let jitter = Duration::from_millis(admin.world.random_u64() % (jitter + 1));
    let deadline = Instant::now() + wait + jitter;
    while admin.store.service_index(name).await == known && !ticket.is_over() {
        tokio::select! {
            () = ticket.rung() => {}
            () = sleep_until(deadline) => break,
        }
    }
    Ok(())
}

pub(super) fn ticket<S: Store>(admin: &Admin<S>, scope: Scope) -> Result<Ticket, Problem> {
    admin.hub.watch(scope).map_err(|TooMany { limit }| {
        Problem::busy(format!(
            "{limit} watches are open, which is the limit (registry.max_watchers); try again later"
        ))
    })
}

fn page_of<S: Store>(admin: &Admin<S>, sight: &Sight) -> Answer {
    let (namespace, service) = (&sight.view.namespace_name, &sight.view.service.name);
    let path = instances_path(namespace, service);
    let mut links = vec![
        ("self", path.clone()),
        ("watch", format!("{path}?index={}{{&wait}}", sight.index)),
        ("service", service_path(namespace, service)),
        ("index", "/v1".into()),
    ];
    if let Some(next) = &sight.next {
        links.push(("next", format!("{path}?after={}", encode(next))));
    }
    document(StatusCode::OK, sight_body(admin, sight), links)
}

/// A service with its instances.
pub(super) fn sight_body<S: Store>(admin: &Admin<S>, sight: &Sight) -> Value {
    let now = admin.world.now();
    let (namespace, service) = (&sight.view.namespace_name, &sight.view.service.name);
    let instances = sight.instances.iter().map(|instance| {
        let links = vec![("self", instance_path(namespace, service, &instance.id))];
        with_links(instance_body(namespace, service, instance, now), links)
    });
    let instances: Vec<Value> = instances.collect();
    let view = &sight.view;
    json!({
        "namespace": namespace,
        "service": service,
        "index": sight.index,
        "revision": view.revision,
        "health_index": sight.health_index,
        "count": view.instances,
        "instances": instances,
    })
}

fn limit(query: &Query) -> Result<usize, Problem> {
    let Some(text) = query.get("limit") else {
        return Ok(PAGE);
    };
    let limit = text.parse().ok().filter(|limit| (1..=PAGE).contains(limit));
    limit.ok_or_else(|| Problem::invalid(format!("`limit`: {text} is not a number from 1 to {PAGE}")))
}

fn wait(query: &Query) -> Result<Duration, Problem> {
    let Some(text) = query.get("wait") else {
        return Ok(WAIT);
    };
    let wait = text::duration(text).map_err(|rule| Problem::invalid(format!("`wait`: {rule}")))?;
    match wait <= WAIT_MAX {
        true => Ok(wait),
        false => Err(Problem::invalid(format!("`wait`: {text} is longer than 10m"))),
    }
}

fn index(text: &str, what: &str) -> Result<u64, Problem> {
    text.parse()
        .map_err(|_| Problem::invalid(format!("{what}: {text} is not an index that an answer named")))
}

/// What `service=`, `namespace=` or their absence select.
pub(super) fn scope(query: &Query) -> Result<Scope, Problem> {
    let names: Vec<&str> = query.all("service").collect();
    let namespaces: Vec<&str> = query.all("namespace").collect();
    match (names.as_slice(), namespaces.as_slice()) {
        ([], []) => Ok(Scope::All),
        ([], [namespace]) => Ok(Scope::Namespace((*namespace).to_owned())),
        ([], _) => Err(Problem::invalid("`namespace`: there can be one only")),
        (_, [_, ..]) => Err(Problem::invalid("`namespace`: not beside `service`")),
        (names, []) if names.len() > NAMES => {
            Err(Problem::invalid(format!("`service`: at most {NAMES} of them")))
        }
        (names, []) => Ok(Scope::Services(
            names
                .iter()
                .map(|text| service_name(text))
                .collect::<Result<_, _>>()?,
        )),
    }
}

/// Reads `namespace/service`, or as on the command line `service` or `service.namespace`.
fn service_name(text: &str) -> Result<ServiceName, Problem> {
    if let Some((namespace, service)) = text.split_once('/') {
        return Ok(ServiceName {
            namespace: namespace.to_owned(),
            service: service.to_owned(),
        });
    }
    let name = config::ServiceName::parse(text)
        .map_err(|rule| Problem::invalid(format!("`service`: {rule}, or namespace/name")))?;
    Ok(ServiceName {
        namespace: name.namespace,
        service: name.service,
    })
}

/// `GET /v1/watch`: server-sent events until somebody ends it.
pub(super) fn events<S: Store>(
    admin: &std::sync::Arc<Admin<S>>,
    query: &Query,
    headers: &HeaderMap,
) -> Result<Answer, Problem> {
    let scope = scope(query)?;
    // A browser that reconnects sends the id of the last event that it has seen.
    let seen = match (headers.get("last-event-id"), query.get("index")) {
        (Some(id), _) => index(id.to_str().unwrap_or("?"), "Last-Event-ID")?,
        (None, Some(text)) => index(text, "`index`")?,
        (None, None) => 0,
    };
    let ticket = ticket(admin, scope)?;
    let seed = admin.world.random_u64();
    let follower = Follower::new(admin.store.clone(), ticket, seen, INSTANCES, PULSE, seed);
    let mut answer = respond(StatusCode::OK, "text/event-stream", Bytes::new());
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    // nginx in front would keep events back otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    *answer.body_mut() = Watching::body(follower, Events { admin: admin.clone() });
    Ok(answer)
}

/// Writes server-sent events.
struct Events<S> {
    admin: std::sync::Arc<Admin<S>>,
}

impl<S: Store> Write for Events<S> {
    fn portion(&self, told: &[Told]) -> Bytes {
        if told.is_empty() {
            return Bytes::from_static(b": still here\n\n");
        }
        let mut out = String::new();
        for told in told {
            match told {
                // Without an id: whoever loses the connection here begins anew again.
                Told::Anew => event(&mut out, "anew", None, &json!({})),
                Told::Story(story) => self.story(&mut out, story),
                Told::Synced(index) => event(&mut out, "synced", Some(*index), &json!({ "index": index })),
            }
        }
        out.into()
    }

    fn trailers(&self) -> Option<HeaderMap> {
        None
    }
}

impl<S: Store> Events<S> {
    fn story(&self, out: &mut String, story: &Story) {
        match story {
            Story::Is(sight) => {
                let mut body = sight_body(&self.admin, sight);
                body["complete"] = sight.next.is_none().into();
                event(
                    out,
                    "service",
                    Some(sight.index),
                    &with_links(body, links(&sight.view)),
                );
            }
            Story::Gone { index, name } => {
                let body = json!({ "namespace": name.namespace, "service": name.service, "index": index });
                event(out, "removed", Some(*index), &body);
            }
        }
    }
}

fn event(out: &mut String, kind: &str, id: Option<u64>, data: &Value) {
    use std::fmt::Write as _;
    if let Some(id) = id {
        let _ = writeln!(out, "id: {id}");
    }
    // JSON has no line breaks outside its strings, and none unescaped in them.
    let _ = write!(out, "event: {kind}\ndata: {data}\n\n");
}
