//! Building a [`Table`] from what the configuration and the registry say.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use tsugite_base::Invalid;
use tsugite_base::names::DEFAULT_NAMESPACE;

use super::{Route, Service, ServiceSpec, Table};
use crate::path::canonical_host;
use crate::roster::Roster;

/// Collects routes and services, then builds the table.
#[derive(Clone, Debug, Default)]
pub struct TableBuilder {
    services: Vec<ServiceSpec>,
    routes: Vec<Route>,
}

impl TableBuilder {
    /// An empty builder.
    pub fn new() -> TableBuilder {
        TableBuilder::default()
    }

    /// Adds a service; a second one with the same key replaces the first.
    pub fn service(&mut self, spec: ServiceSpec) -> &mut TableBuilder {
        self.services.push(spec);
        self
    }

    /// Adds a configured route.
    ///
    /// # Errors
    /// The prefix does not start with `/`, holds a query, an escape or a dot segment, or the host is not a host name.
    pub fn route(&mut self, mut route: Route) -> Result<&mut TableBuilder, Invalid> {
        check_prefix(&route.path_prefix)?;
        if let Some(host) = &mut route.host {
            let Some(clean) = canonical_host(host) else {
                return Err(Invalid::new(
                    "host",
                    host,
                    "must be a host name without port or wildcard",
                ));
            };
            *host = clean.into_owned();
        }
        self.routes.push(route);
        Ok(self)
    }

    /// Builds the table. Breakers and balancing slots of services and endpoints that were in the last table built
    /// from the same roster live on; those of services that are gone are dropped.
    pub fn build(mut self, roster: &Roster) -> Table {
        // Stable, so that of two with one key the one added last comes last, and stays.
        self.services.sort_by(|a, b| a.key.cmp(&b.key));
        self.services.dedup_by(|later, earlier| {
            let same = later.key == earlier.key;
            if same {
                std::mem::swap(later, earlier);
            }
            same
        });
        let mut table = Table::default();
        let declared: Vec<Vec<String>> = self
            .services
            .iter_mut()
            .map(|s| std::mem::take(&mut s.grpc_services))
            .collect();
        table.services = roster.enrol(self.services);
        name_services(&mut table, &declared);
        place_routes(&mut table, self.routes);
        table
    }
}

fn check_prefix(prefix: &str) -> Result<(), Invalid> {
    let clean = prefix.starts_with('/')
        && !prefix.contains(['%', '?', '#', '\\', ';'])
        && !prefix.contains("//")
        && !prefix.split('/').any(|s| s == "." || s == "..");
    if clean {
        Ok(())
    } else {
        let rule = "must start with / and hold no escape, query, backslash, parameter, empty or dot segment";
        Err(Invalid::new("path_prefix", prefix, rule))
    }
}

fn name_services(table: &mut Table, declared: &[Vec<String>]) {
    let Table {
        services,
        by_host,
        by_segment,
        by_grpc,
        warnings,
        ..
    } = table;
    let mut claim = |map: &mut HashMap<String, usize>, name: String, at: usize| match map.entry(name) {
        Entry::Vacant(free) => {
            free.insert(at);
        }
        Entry::Occupied(taken) if *taken.get() != at => warnings.push(format!(
            "the name {} could mean service {} of namespace {} or service {} of namespace {}; the first wins",
            taken.key(),
            services[*taken.get()].key.service,
            services[*taken.get()].key.namespace,
            services[at].key.service,
            services[at].key.namespace,
        )),
        Entry::Occupied(_) => {}
    };
    // The short names of the default namespace come first: a dotted service in it wins over a namespace.
    for (at, Service { key, .. }) in services.iter().enumerate() {
        if key.namespace == DEFAULT_NAMESPACE {
            claim(by_segment, key.service.clone(), at);
        }
    }
    for (at, Service { name, .. }) in services.iter().enumerate() {
        claim(by_host, name.to_ascii_lowercase(), at);
        claim(by_segment, name.clone(), at);
        for grpc in &declared[at] {
            claim(by_grpc, grpc.clone(), at);
        }
    }
}

fn place_routes(table: &mut Table, routes: Vec<Route>) {
    for (at, route) in routes.iter().enumerate() {
        let service = table
            .services
            .binary_search_by(|s| s.key.cmp(&route.service))
            .ok();
        table.route_services.push(service);
        match &route.host {
            Some(host) => table.host_routes.entry(host.clone()).or_default().push(at),
            None => table.any_routes.push(at),
        }
    }
    // Stable: of two equal prefixes the one configured first wins.
    let by_length = |order: &mut Vec<usize>| {
        order.sort_by_key(|&at| std::cmp::Reverse(routes[at].path_prefix.trim_end_matches('/').len()));
    };
    table.host_routes.values_mut().for_each(by_length);
    by_length(&mut table.any_routes);
    table.routes = routes;
}
