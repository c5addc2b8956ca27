//! Which service a request reaches, as a table of requests.

use std::net::SocketAddr;

use super::{
    Endpoint, Head, OwnService, Protocol, Route, RouteError, ServiceKey, ServiceSpec, Table, TableBuilder,
};
use crate::path::BadPath;
use crate::roster::Roster;

fn service(namespace: &str, name: &str) -> ServiceSpec {
    let address = SocketAddr::from(([127, 0, 0, 1], 9000));
    ServiceSpec::new(
        ServiceKey::new(namespace, name),
        vec![Endpoint::new("i-1", address, Protocol::Http)],
    )
}

fn route(name: &str, host: Option<&str>, prefix: &str, service: &str, strip: bool) -> Route {
    Route {
        host: host.map(str::to_owned),
        path_prefix: prefix.to_owned(),
        strip_prefix: strip,
        ..Route::new(name, ServiceKey::new("internal", service))
    }
}

fn table() -> Table {
    let mut builder = TableBuilder::new();
    for name in ["orders", "customers", "admin", "web"] {
        builder.service(service("internal", name));
    }
    builder.service(service("shop", "orders"));
    let mut kitchen = service("shop", "kitchen");
    kitchen.declare_grpc_services("pkg.Kitchen, pkg.Oven,,");
    builder.service(kitchen);
    for route in [
        route("api", None, "/api", "web", false),
        route("api-orders", None, "/api/orders/", "orders", true),
        route("host", Some("Example.com"), "/", "customers", false),
        route("host-admin", Some("example.com"), "/admin", "admin", true),
        route("gone", None, "/gone", "nobody", false),
    ] {
        builder.route(route).unwrap();
    }
    builder.build(&Roster::new(1))
}

fn head<'a>(host: &'a str, path: &'a str) -> Head<'a> {
    Head {
        host: (!host.is_empty()).then_some(host),
        path,
        proxy_form: false,
        is_grpc: false,
    }
}

/// Who gets it, by which rule, and the target upstream: `orders.internal route target`.
fn outcome(table: &Table, head: &Head<'_>) -> String {
    match table.resolve(head) {
        Ok(found) => {
            assert_eq!(table.services()[found.service_index].key, found.service.key);
            let rule = found.route.map_or("-", |r| &r.name);
            format!(
                "{} {} {}",
                found.service.name,
                rule,
                found.upstream_target(head.path)
            )
        }
        Err(error) => format!("refused: {error}"),
    }
}

#[test]
fn requests() {
    let table = table();
    for (host, path, expected) in [
        // Path form: the default namespace by its short name, any by the full one; the segment is stripped.
        ("localhost:8080", "/orders/1?x", "orders.internal - /1?x"),
        ("", "/orders", "orders.internal - /"),
        ("", "/orders/", "orders.internal - /"),
        ("127.0.0.1:8080", "/orders.shop/1/2", "orders.shop - /1/2"),
        ("[::1]:8080", "/orders.internal/1", "orders.internal - /1"),
        // Host form: the path stays.
        ("orders.shop", "/orders/1", "orders.shop - /orders/1"),
        ("ORDERS.Shop.:99", "/", "orders.shop - /"),
        // Routes: host before any host, longest prefix, at segment ends, before both zero-config forms.
        ("", "/api/x", "web.internal api /api/x"),
        ("", "/api/orders/7", "orders.internal api-orders /7"),
        ("", "/api/orders", "orders.internal api-orders /"),
        ("", "/api/ordersX", "web.internal api /api/ordersX"),
        ("orders.shop", "/api", "web.internal api /api"),
        ("example.com:80", "/orders/1", "customers.internal host /orders/1"),
        ("example.com", "/api", "customers.internal host /api"),
        ("example.com", "/admin/x", "admin.internal host-admin /x"),
        ("example.com", "/admins", "customers.internal host /admins"),
        // Escapes travel as they came.
        ("orders.shop", "/a%2Fb/%41%zz", "orders.shop - /a%2Fb/%41%zz"),
        ("", "/orders/a%20b", "orders.internal - /a%20b"),
        ("", "/orders//x", "orders.internal - //x"),
    ] {
        assert_eq!(outcome(&table, &head(host, path)), expected, "{host} {path}");
    }
}

#[test]
fn refusals_say_what_was_looked_for_and_what_is_near() {
    let table = table();
    for (host, path, expected) in [
        (
            "",
            "/ordes/1",
            "refused: no route or service for host \"\" or path /ordes; near: orders",
        ),
        (
            "order.shop",
            "/",
            "refused: no route or service for host \"order.shop\" or path /; near: orders.shop",
        ),
        (
            "",
            "/ORDERS/1",
            "refused: no route or service for host \"\" or path /ORDERS; near: orders, orders.shop, orders.internal",
        ),
        ("a b", "/", "refused: the host \"a b\" is not a host name"),
        (
            "",
            "/gone/x",
            "refused: route gone goes to nobody.internal, which is not registered",
        ),
    ] {
        assert_eq!(outcome(&table, &head(host, path)), expected, "{host} {path}");
    }
}

#[test]
fn a_path_cannot_mean_two_things() {
    let table = table();
    let bad = |host: &str, path: &str| match table.resolve(&head(host, path)) {
        Err(RouteError::BadPath { why }) => why,
        other => panic!("{host} {path}: {other:?}"),
    };
    for path in [
        "/orders/../admin",
        "/orders/%2e%2e/admin",
        "/orders/..%2fadmin",
        "/orders/..;/admin",
    ] {
        assert_eq!(bad("", path), BadPath::DotSegment, "{path}");
    }
    for (host, path) in [
        ("example.com", "/%61dmin/x"),
        ("example.com", "/admin%2Fx"),
        ("example.com", "//admin/x"),
        ("example.com", "/\\admin/x"),
        ("", "/api%2Forders"),
        ("", "/%6Frders/1"),
        ("", "//orders/1"),
    ] {
        assert_eq!(bad(host, path), BadPath::RoutedElsewhere, "{host} {path}");
    }
    assert_eq!(bad("", "/orders/%00"), BadPath::Control);
    assert_eq!(bad("", "*"), BadPath::NotAbsolute);
}

#[test]
fn never_an_open_proxy() {
    let table = table();
    let proxy = |host: &'static str, path: &'static str| Head {
        proxy_form: true,
        ..head(host, path)
    };
    for (host, path, expected) in [
        ("orders.shop", "/x", "orders.shop - /x"),
        ("orders.shop:80", "/orders/x", "orders.shop - /orders/x"),
        ("example.com", "/x", "customers.internal host /x"),
    ] {
        assert_eq!(outcome(&table, &proxy(host, path)), expected, "{host} {path}");
    }
    for (host, path) in [
        ("evil.com", "/"),
        ("localhost", "/orders/1"),
        ("169.254.169.254", "/orders/1"),
        ("evil.com", "/api/orders"),
        ("", "/orders/1"),
        ("orders", "/orders/1"),
    ] {
        let refused = table.resolve(&proxy(host, path));
        assert!(
            matches!(refused, Err(RouteError::ProxyRefused { .. })),
            "{host} {path}: {refused:?}"
        );
    }
    let Err(error) = table.resolve(&proxy("oders.shop", "/")) else {
        panic!("refused")
    };
    assert!(error.to_string().contains("near: orders.shop"), "{error}");
}

#[test]
fn grpc_never_uses_the_path_form() {
    let table = table();
    let grpc = |host: &'static str, path: &'static str| Head {
        is_grpc: true,
        ..head(host, path)
    };
    for (host, path, expected) in [
        ("kitchen.shop:8080", "/x.Y/Z", "kitchen.shop - /x.Y/Z"),
        (
            "127.0.0.1:8080",
            "/pkg.Kitchen/Cook",
            "kitchen.shop - /pkg.Kitchen/Cook",
        ),
        ("", "/pkg.Oven/Heat", "kitchen.shop - /pkg.Oven/Heat"),
        (
            "example.com",
            "/pkg.Oven/Heat",
            "customers.internal host /pkg.Oven/Heat",
        ),
        (
            "orders.shop",
            "/grpc.health.v1.Health/Check",
            "orders.shop - /grpc.health.v1.Health/Check",
        ),
        (
            "",
            "/orders/Method",
            "refused: no service for authority \"\", and no instance declares gRPC service \"orders\"",
        ),
        (
            "",
            "/pkg.Kitchn/Cook",
            "refused: no service for authority \"\", and no instance declares gRPC service \"pkg.Kitchn\"; near: pkg.Kitchen",
        ),
    ] {
        assert_eq!(outcome(&table, &grpc(host, path)), expected, "{host} {path}");
    }
    for (path, own) in [
        ("/grpc.health.v1.Health/Check", OwnService::Health),
        (
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            OwnService::Reflection,
        ),
        (
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            OwnService::Reflection,
        ),
    ] {
        assert_eq!(
            table.resolve(&grpc("localhost", path)).err(),
            Some(RouteError::Own(own)),
            "{path}"
        );
    }
}

#[test]
fn ambiguous_names_are_settled_and_told() {
    let mut builder = TableBuilder::new();
    builder.service(service("b.c", "a")).service(service("c", "a.b"));
    builder
        .service(service("x", "y"))
        .service(service("internal", "y.x"));
    let table = builder.build(&Roster::new(1));
    assert_eq!(outcome(&table, &head("a.b.c", "/")), "a.b.c - /");
    assert_eq!(
        table.resolve(&head("a.b.c", "/")).unwrap().service.key.namespace,
        "b.c"
    );
    assert_eq!(outcome(&table, &head("", "/y.x/1")), "y.x.internal - /1");
    assert_eq!(table.warnings().len(), 3, "{:?}", table.warnings());
}

#[test]
fn bad_routes_are_refused() {
    for prefix in ["", "api", "/a/../b", "/a//b", "/a?b", "/%61", "/a;b", "/a\\b"] {
        let refused = TableBuilder::new()
            .route(route("r", None, prefix, "x", false))
            .map(|_| ());
        assert_eq!(refused.unwrap_err().what, "path_prefix", "{prefix}");
    }
    for host in ["", "*.shop", "a:80", "http://a", "a b"] {
        let refused = TableBuilder::new()
            .route(route("r", Some(host), "/", "x", false))
            .map(|_| ());
        assert_eq!(refused.unwrap_err().what, "host", "{host}");
    }
}

#[test]
fn of_two_services_with_one_key_the_last_added_stays() {
    let mut builder = TableBuilder::new();
    let mut second = service("shop", "orders");
    second.endpoints[0].id = "i-2".into();
    builder
        .service(service("shop", "orders"))
        .service(service("shop", "kitchen"))
        .service(second);
    let table = builder.build(&Roster::new(1));
    assert_eq!(table.services().len(), 2);
    let orders = table.service(&ServiceKey::new("shop", "orders")).unwrap();
    assert_eq!(orders.endpoints[0].id, "i-2");
}
