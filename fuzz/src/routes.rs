//! Finding the service of a request whose head a stranger wrote.

use std::net::SocketAddr;

use tsugite_traffic::{
    Endpoint, Head, Protocol, Roster, Route, ServiceKey, ServiceSpec, Table, TableBuilder,
};

fn table() -> Table {
    let address = SocketAddr::from(([127, 0, 0, 1], 9));
    let endpoints = || vec![Endpoint::new("one", address, Protocol::Http)];
    let orders = ServiceKey::new("internal", "orders");
    let mut builder = TableBuilder::new();
    builder.service(ServiceSpec::new(orders.clone(), endpoints()));
    builder.service(ServiceSpec::new(ServiceKey::new("shop", "orders"), endpoints()));
    let mut route = Route::new("api", orders);
    route.path_prefix = "/api/v1".into();
    route.strip_prefix = true;
    builder.route(route).expect("a valid route");
    builder.build(&Roster::new(1))
}

/// A head made of pieces that mean something, so that the interesting paths are met.
const PIECES: [&str; 16] = [
    "/",
    "orders",
    "orders.shop",
    "api",
    "v1",
    "..",
    ".",
    "%2e",
    "%2F",
    "%5c",
    "\\",
    "//",
    "a",
    "%",
    "é",
    "orders.internal:80",
];

fn spell(pieces: &[u8]) -> String {
    pieces
        .iter()
        .map(|piece| PIECES[usize::from(*piece) % PIECES.len()])
        .collect()
}

#[test]
fn heads_find_a_service_or_a_reason() {
    let table = table();
    bolero::check!()
        .with_type::<(Option<String>, Vec<u8>, String, Vec<u8>, bool, bool)>()
        .for_each(|(host, host_pieces, path, path_pieces, proxy_form, is_grpc)| {
            let host = host.as_ref().map(|host| host.clone() + &spell(host_pieces));
            let path = format!("/{}{}", spell(path_pieces), path.replace('?', "")); // A query is no part of it.
            let head = Head {
                host: host.as_deref(),
                path: &path,
                proxy_form: *proxy_form,
                is_grpc: *is_grpc,
            };
            match table.resolve(&head) {
                Ok(found) => {
                    let target = found.upstream_target(&path);
                    assert!(target.starts_with('/'), "{target}");
                    assert!(
                        !target.split(['/', '?']).any(|segment| segment == ".."),
                        "{path} became {target}"
                    );
                }
                Err(reason) => assert!(!reason.to_string().is_empty()),
            }
        });
}
