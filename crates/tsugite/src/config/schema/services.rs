//! The keys of services: their checks, and the instances that are always there.

use serde_json::json;

use super::{Keys, choice, circuit, default, duration, flag, integer, list, object, string, texts, traffic};

pub(super) fn service() -> Keys {
    let mut keys = vec![
        ("name", string("Its name.")),
        ("namespace", default(string("Its namespace."), "internal")),
        (
            "protocol",
            choice(
                "What it speaks; that of the request by default.",
                &["http", "h2c", "grpc"],
            ),
        ),
        (
            "lease",
            duration("Lease of instances that register without a ttl_ms."),
        ),
        (
            "health_check",
            object("An active check of every instance.", &[], health_check()),
        ),
        (
            "instances",
            list(
                "Instances that are always registered.",
                object("An instance.", &["id", "address", "port"], instance()),
            ),
        ),
        ("circuit", circuit("Settings that differ from the common ones.")),
    ];
    keys.extend(traffic::own());
    keys
}

fn health_check() -> Keys {
    vec![
        (
            "type",
            default(
                choice("What is asked.", &["http", "https", "tcp", "grpc"]),
                "http",
            ),
        ),
        (
            "path",
            string("Of http and https: requested with GET; 200 to 399 is healthy."),
        ),
        (
            "service",
            string("Of grpc: the service that is asked about; the whole server by default."),
        ),
        ("verify", flag("Of https: whether the certificate must be valid.")),
        (
            "interval",
            default(duration("Between the starts of two checks."), "10s"),
        ),
        ("timeout", default(duration("Of one check."), "1s")),
        (
            "unhealthy",
            default(integer("Failures in a row that make it unhealthy.", 100), 3),
        ),
        (
            "healthy",
            default(integer("Successes in a row that make it healthy again.", 100), 2),
        ),
    ]
}

fn instance() -> Keys {
    vec![
        ("id", string("Unique in its service.")),
        ("address", string("IPv4 or IPv6.")),
        ("port", integer("TCP port.", 65_535)),
        (
            "weight",
            default(
                json!({"description": "Its share of calls; 0 keeps it in reserve.", "type": "integer", "minimum": 0, "maximum": 1000}),
                100,
            ),
        ),
        ("zone", string("Where it runs.")),
        ("attributes", texts("Further attributes.")),
    ]
}
