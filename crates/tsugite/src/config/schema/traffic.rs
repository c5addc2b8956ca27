//! The part of the schema about calls and endpoints: ejection, retries, balancing, limits.

use serde_json::{Value, json};
use tsugite_traffic::Policy;
use tsugite_traffic::retry::MAX_TRIES;

use super::{Keys, choice, default, duration, flag, integer, object};

/// What holds for every service.
pub(super) fn common() -> Keys {
    vec![
        ("retry", retry("When calls to every service are tried again.")),
        (
            "balance",
            balance("How the instances of every service share its calls."),
        ),
        (
            "limits",
            limits("How many calls to each service may be in progress."),
        ),
    ]
}

/// What holds for one service.
pub(super) fn own() -> Keys {
    let about = "Settings that differ from the common ones.";
    vec![
        ("retry", retry(about)),
        ("balance", balance(about)),
        ("limits", limits(about)),
    ]
}

pub(super) fn ejection() -> Value {
    let row = |about: &str, default: u32| {
        json!({
            "description": about, "type": "integer", "minimum": 0, "maximum": 10_000, "default": default
        })
    };
    let keys = vec![
        ("enabled", {
            let mut enabled = flag("Whether instances have circuits of their own.");
            enabled["default"] = true.into();
            enabled
        }),
        (
            "consecutive_failures",
            row("Failures in a row that eject; 0 is off.", 5),
        ),
        (
            "consecutive_connect_failures",
            row("Connect failures in a row that eject; 0 is off.", 3),
        ),
        (
            "base",
            default(
                duration("The first ejection; the n-th lasts n times that."),
                "30s",
            ),
        ),
        ("max", default(duration("The longest ejection."), "300s")),
        (
            "min_available_percent",
            json!({
                "description": "Share of the instances that ejections leave, the unhealthy ones counted as gone.",
                "type": "integer", "minimum": 0, "maximum": 100, "default": 50
            }),
        ),
        (
            "slow_start",
            default(
                duration("Over which an instance that is new or came back gets its whole share."),
                "10s",
            ),
        ),
    ];
    object("Leaving out single instances.", &[], keys)
}

fn retry(about: &str) -> Value {
    let keys = vec![
        (
            "tries",
            default(integer("Tries of one call in all; 1 is no retry.", MAX_TRIES), 3),
        ),
        (
            "per_try_timeout",
            duration("For the answer's head of one try; none by default."),
        ),
        (
            "budget",
            json!({"description": "Retries for each call.", "type": "number", "minimum": 0, "maximum": 1, "default": 0.2}),
        ),
        (
            "floor",
            json!({
                "description": "Retries a second that are always allowed.",
                "type": "integer", "minimum": 0, "maximum": 10_000, "default": 10
            }),
        ),
    ];
    object(about, &[], keys)
}

fn balance(about: &str) -> Value {
    let policies = Policy::ALL.map(Policy::as_str);
    let keys = vec![
        (
            "policy",
            default(choice("Which instance gets a call.", &policies), "peak_ewma"),
        ),
        (
            "key",
            json!({
                "description": "What ring_hash and maglev go by.", "type": "string",
                "pattern": "^(header:.+|cookie:.+|address)$"
            }),
        ),
    ];
    object(about, &[], keys)
}

fn limits(about: &str) -> Value {
    let keys = vec![
        (
            "requests",
            integer("To the service; no limit by default.", 10_000_000),
        ),
        (
            "endpoint_requests",
            integer("To each instance; no limit by default.", 10_000_000),
        ),
    ];
    object(about, &[], keys)
}
