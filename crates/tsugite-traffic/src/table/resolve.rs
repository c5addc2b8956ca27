//! Finding the service of a request.

use std::borrow::Cow;
use std::fmt;

use super::{Route, Service, Table};
use crate::path::{self, BadPath};

/// What of a request decides where it goes.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// `:authority`, or the host of an absolute-form target, or `Host`; with port as it came. `None` if there is none.
    pub host: Option<&'a str>,
    /// The path without query, as it came.
    pub path: &'a str,
    /// Whether the request target was absolute (`GET http://orders.shop/x`): the client uses us as its proxy.
    pub proxy_form: bool,
    /// Whether the content type is `application/grpc` or begins with it.
    pub is_grpc: bool,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Resolved<'t> {
    /// The service.
    pub service: &'t Service,
    /// Index of the service in [`Table::services`]: lets a caller hold the table and find the service again.
    pub service_index: usize,
    /// The configured route; `None` for a zero-config call.
    pub route: Option<&'t Route>,
    /// Bytes to cut from the front of the path.
    pub strip: usize,
}

impl Resolved<'_> {
    /// The target to send upstream, given the path with its query as they came.
    pub fn upstream_target<'p>(&self, path_and_query: &'p str) -> Cow<'p, str> {
        let rest = path_and_query.get(self.strip..).unwrap_or_default();
        if rest.starts_with('/') {
            Cow::Borrowed(rest)
        } else {
            Cow::Owned(format!("/{rest}"))
        }
    }
}

/// A gRPC service that the gateway answers itself when no service is addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnService {
    /// `grpc.health.v1.Health`.
    Health,
    /// `grpc.reflection.v1.ServerReflection` and its `v1alpha`.
    Reflection,
}

/// Why a request has no service to go to. Each says what was looked for and, where that helps, what is near.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// The path is refused: it could mean different things to us and to the back end.
    BadPath {
        /// What is wrong with it.
        why: BadPath,
    },
    /// The host is not a host name, with or without port.
    BadHost {
        /// As it came, shortened.
        host: String,
    },
    /// An absolute-form request for a host that is neither registered nor in a route.
    ProxyRefused {
        /// The host asked for.
        host: String,
        /// Known hosts with similar names, nearest first.
        near: Vec<String>,
    },
    /// No route, host or first path segment fits.
    NoRoute {
        /// The host asked for; empty if there was none.
        host: String,
        /// The first path segment.
        segment: String,
        /// Known names that are similar, nearest first.
        near: Vec<String>,
    },
    /// A gRPC call whose authority names no service and whose service no instance declares.
    NoGrpcService {
        /// The authority; empty if there was none.
        authority: String,
        /// The service name of the path: `pkg.Service`.
        service: String,
        /// Declared or registered names that are similar, nearest first.
        near: Vec<String>,
    },
    /// A configured route fits, but its service is not registered (yet, or any more).
    NotRegistered {
        /// The route's name.
        route: String,
        /// The service as `service.namespace`.
        service: String,
    },
    /// Not an error of the client: the gateway answers this gRPC call itself.
    Own(OwnService),
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let near = |f: &mut fmt::Formatter<'_>, near: &[String]| match near {
            [] => Ok(()),
            names => write!(f, "; near: {}", names.join(", ")),
        };
        match self {
            RouteError::BadPath { why } => write!(f, "the path {}", why.reason()),
            RouteError::BadHost { host } => write!(f, "the host {host:?} is not a host name"),
            RouteError::ProxyRefused { host, near: names } => {
                write!(
                    f,
                    "{host:?} is not a registered service, and the gateway is not an open proxy"
                )?;
                near(f, names)
            }
            RouteError::NoRoute {
                host,
                segment,
                near: names,
            } => {
                write!(f, "no route or service for host {host:?} or path /{segment}")?;
                near(f, names)
            }
            RouteError::NoGrpcService {
                authority,
                service,
                near: names,
            } => {
                write!(
                    f,
                    "no service for authority {authority:?}, and no instance declares gRPC service {service:?}"
                )?;
                near(f, names)
            }
            RouteError::NotRegistered { route, service } => {
                write!(f, "route {route} goes to {service}, which is not registered")
            }
            RouteError::Own(OwnService::Health) => f.write_str("gRPC health is answered by the gateway"),
            RouteError::Own(OwnService::Reflection) => {
                f.write_str("gRPC reflection is answered by the gateway")
            }
        }
    }
}

impl std::error::Error for RouteError {}

/// A decision without references, so that two can be compared.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Choice {
    route: Option<usize>,
    service: Option<usize>,
    /// Whether the matched front of the path is cut off.
    strip: bool,
    /// Length of the matched front of the path.
    matched: usize,
}

impl Choice {
    /// Whether both send the request to the same place under the same rule.
    fn agrees(self, other: Option<Choice>) -> bool {
        other.is_some_and(|o| (self.route, self.service, self.strip) == (o.route, o.service, o.strip))
    }
}

impl Table {
    /// Finds the service of a request. Does not allocate when it succeeds on a plain path.
    ///
    /// # Errors
    /// See [`RouteError`].
    pub fn resolve(&self, head: &Head<'_>) -> Result<Resolved<'_>, RouteError> {
        let decoded = path::decode(head.path).map_err(|why| RouteError::BadPath { why })?;
        let host = match head.host {
            None | Some("") => None,
            Some(authority) => Some(path::host_of(authority).ok_or_else(|| RouteError::BadHost {
                host: authority.chars().take(100).collect(),
            })?),
        };
        let host = host.as_deref();
        let choice = self.choose(host, head.path, head);
        if let Some(decoded) = decoded {
            let other = self.choose(host, &decoded, head);
            let same = choice.map_or(other.is_none(), |c| c.agrees(other));
            if !same {
                return Err(RouteError::BadPath {
                    why: BadPath::RoutedElsewhere,
                });
            }
        }
        let choice = choice.ok_or_else(|| self.explain(host, head))?;
        let route = choice.route.and_then(|at| self.routes.get(at));
        match choice.service.and_then(|at| Some((at, self.services.get(at)?))) {
            Some((service_index, service)) => {
                let strip = if choice.strip { choice.matched } else { 0 };
                Ok(Resolved {
                    service,
                    service_index,
                    route,
                    strip,
                })
            }
            None => Err(RouteError::NotRegistered {
                route: route.map(|r| r.name.clone()).unwrap_or_default(),
                service: route.map(|r| r.service.to_string()).unwrap_or_default(),
            }),
        }
    }

    fn choose(&self, host: Option<&str>, path: &str, head: &Head<'_>) -> Option<Choice> {
        let of_host = host
            .and_then(|h| self.host_routes.get(h))
            .map_or(&[][..], Vec::as_slice);
        let of_any = if head.proxy_form {
            &[][..]
        } else {
            &self.any_routes
        };
        for &at in of_host.iter().chain(of_any) {
            let route = &self.routes[at];
            if let Some(matched) = path::covers(&route.path_prefix, path) {
                let (route, strip) = (Some(at), route.strip_prefix);
                return Some(Choice {
                    route,
                    service: self.route_services[at],
                    strip,
                    matched,
                });
            }
        }
        let zero_config = |at: &usize, strip: bool, matched: usize| Choice {
            route: None,
            service: Some(*at),
            strip,
            matched,
        };
        if let Some(at) = host.and_then(|h| self.by_host.get(h)) {
            return Some(zero_config(at, false, 0));
        }
        if head.proxy_form {
            return None;
        }
        let segment = path::first_segment(path);
        if head.is_grpc {
            return self.by_grpc.get(segment).map(|at| zero_config(at, false, 0));
        }
        let at = self.by_segment.get(segment)?;
        Some(zero_config(at, true, segment.len() + 1))
    }

    /// The error for a request that nothing fits.
    fn explain(&self, host: Option<&str>, head: &Head<'_>) -> RouteError {
        let host = host.unwrap_or_default().to_owned();
        let hosts = || self.by_host.keys().chain(self.host_routes.keys());
        if head.proxy_form {
            let near = nearest(&host, hosts());
            return RouteError::ProxyRefused { host, near };
        }
        let segment: String = path::first_segment(head.path).chars().take(100).collect();
        if head.is_grpc {
            return match segment.as_str() {
                "grpc.health.v1.Health" => RouteError::Own(OwnService::Health),
                "grpc.reflection.v1.ServerReflection" | "grpc.reflection.v1alpha.ServerReflection" => {
                    RouteError::Own(OwnService::Reflection)
                }
                _ => {
                    let mut near = nearest(&segment, self.by_grpc.keys());
                    near.extend(nearest(&host, self.by_host.keys()));
                    near.truncate(NEAR);
                    RouteError::NoGrpcService {
                        authority: host,
                        service: segment,
                        near,
                    }
                }
            };
        }
        let mut near = nearest(&segment, self.by_segment.keys());
        near.extend(nearest(&host, hosts()));
        near.dedup();
        near.truncate(NEAR);
        RouteError::NoRoute { host, segment, near }
    }
}

/// How many similar names an error shows.
const NEAR: usize = 3;
/// Names beyond these are not compared: an error must not cost more than a request.
const COMPARED: usize = 200;

/// The known names that a person may have meant: few letters changed, or one beginning with the other.
fn nearest<'a>(wanted: &str, known: impl Iterator<Item = &'a String>) -> Vec<String> {
    if wanted.is_empty() || wanted.len() > 80 {
        return Vec::new();
    }
    let lower = wanted.to_ascii_lowercase();
    let mut near: Vec<(usize, &String)> = known
        .take(COMPARED)
        .filter_map(|name| {
            let other = name.to_ascii_lowercase();
            let begins = lower.len() >= 3 && (other.starts_with(&lower) || lower.starts_with(&other));
            let distance = distance(&lower, &other);
            (begins || distance <= 1 + lower.len() / 4).then_some((distance, name))
        })
        .collect();
    near.sort();
    near.into_iter()
        .take(NEAR)
        .map(|(_, name)| name.clone())
        .collect()
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(corner + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
