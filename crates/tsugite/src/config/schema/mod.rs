//! The JSON Schema of the configuration, built from one table: every key, its form, its meaning.
//!
//! Tests hold it against the keys that the reader knows and against the committed `tsugite.schema.json`.

mod dns;
mod services;
mod topics;
mod traffic;

use serde_json::{Map, Value, json};
use tsugite_base::limits;

use super::build::IN_FLIGHT_MOST;

/// The schema (JSON Schema 2020-12) as pretty text with a final newline.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&schema()).unwrap_or_default();
    text.push('\n');
    text
}

/// The schema as a value.
pub fn schema() -> Value {
    let mut root = object("Configuration of tsugite up.", &[], top());
    let entries = [
        ("$schema", "https://json-schema.org/draft/2020-12/schema"),
        ("$id", "urn:tsugite:schema:config"),
        ("title", "Tsugite configuration"),
    ];
    let mut ordered = Map::new();
    for (key, value) in entries {
        ordered.insert(key.to_owned(), value.into());
    }
    if let Value::Object(rest) = root.take() {
        ordered.extend(rest);
    }
    Value::Object(ordered)
}

type Keys = Vec<(&'static str, Value)>;

fn top() -> Keys {
    let mut keys = vec![
        (
            "data",
            default(string("Directory of the embedded store."), "./tsugite-data"),
        ),
        ("store", default(choice("The store.", &["embedded"]), "embedded")),
        ("listen", object("Where each role listens.", &[], listen())),
        (
            "ready_file",
            string("Written as JSON once every role serves, removed at exit."),
        ),
        (
            "insecure",
            flag("Lets ports without authentication listen on addresses that other machines reach."),
        ),
        (
            "dev",
            flag("Allows POST /v1/reset while the admin port is on loopback."),
        ),
        (
            "virtual_clock",
            flag(
                "Allows POST /v1/clock/advance; every port must be on loopback. For tests, never for production.",
            ),
        ),
        (
            "workers",
            integer(
                "Threads of the gateway and of the AWS port; one for each core by default.",
                256,
            ),
        ),
        (
            "drain_timeout",
            default(
                duration("How long calls in flight may go on after the stop signal."),
                "30s",
            ),
        ),
        ("log", object("What is logged to standard error.", &[], log())),
        ("aws", object("The AWS port.", &[], aws())),
        ("admin", object("The admin port.", &[], admin())),
        ("dns", object("The DNS port.", &[], dns::dns())),
        (
            "registry",
            object("Namespaces, services and instances.", &[], registry()),
        ),
        ("queues", declared("Queues", "A queue.", queue())),
        ("topics", declared("Topics", "A topic.", topics::topic())),
        (
            "services",
            declared("Services", "A service.", services::service()),
        ),
        (
            "routes",
            list(
                "Routes of the gateway.",
                object("A route.", &["name", "service"], route()),
            ),
        ),
        ("circuit", circuit("The circuit breaker of every service.")),
    ];
    keys.extend(traffic::common());
    keys
}

/// A list of things that the start creates.
fn declared(what: &str, one: &str, keys: Keys) -> Value {
    list(&format!("{what} that shall exist."), object(one, &["name"], keys))
}

fn listen() -> Keys {
    vec![
        (
            "gateway",
            default(address("HTTP and gRPC calls to services."), "127.0.0.1:8080"),
        ),
        (
            "aws",
            default(address("SQS, SNS, Cloud Map and STS."), "127.0.0.1:4566"),
        ),
        (
            "admin",
            default(
                address("Health, metrics, the admin API and the console."),
                "127.0.0.1:9901",
            ),
        ),
        ("dns", default(address("DNS over UDP and TCP."), "127.0.0.1:8600")),
        ("xds", default(choice("Not supported yet.", &["off"]), "off")),
    ]
}

fn log() -> Keys {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    vec![
        (
            "level",
            default(
                choice("The least important level that is shown.", &levels),
                "info",
            ),
        ),
        (
            "format",
            default(
                choice("Lines for eyes or JSON objects.", &["human", "json"]),
                "human",
            ),
        ),
    ]
}

fn aws() -> Keys {
    let account = json!({
        "description": "Account of requests that name none.", "type": "string", "pattern": "^[0-9]{12}$",
        "default": "000000000000"
    });
    vec![
        ("account", account),
        (
            "region",
            default(string("Region of requests that name none."), "us-east-1"),
        ),
        (
            "auth",
            default(
                choice(
                    "What is asked of callers: nothing, a signature by a known key, or that and what queue policies say.",
                    &["off", "known", "strict"],
                ),
                "off",
            ),
        ),
        (
            "keys",
            list("Keys that callers sign with.", object("A key.", &["id"], key())),
        ),
        (
            "keys_file",
            string("File with a list of further keys, read again when it changes."),
        ),
        (
            "host",
            string("Host and port in queue URLs; the request's own Host by default."),
        ),
        (
            "purge_guard",
            json!({"description": "Refuse a second purge of a queue within 60 seconds, as AWS does.", "type": "boolean", "default": true}),
        ),
        (
            "deleted_queue_guard",
            json!({
                "description": "Refuse the name of a deleted queue for 60 seconds, as AWS does.",
                "type": "boolean", "default": false
            }),
        ),
        (
            "in_flight_limit",
            json!({
                "description": "Messages of one queue that may be in flight at the same time: 120,000 at AWS. \
                    Beyond it a standard queue refuses short polls with OverLimit, and a FIFO queue returns nothing.",
                "type": "integer", "minimum": 1, "maximum": IN_FLIGHT_MOST, "default": limits::IN_FLIGHT_MESSAGES
            }),
        ),
        (
            "sns",
            object("What topics deliver, and to how many.", &[], topics::sns()),
        ),
    ]
}

fn key() -> Keys {
    let account = json!({
        "description": "Account that it speaks for; that of aws.account by default.", "type": "string",
        "pattern": "^[0-9]{12}$"
    });
    vec![
        ("id", string("Access key id.")),
        (
            "secret",
            string("Secret access key, 16 characters or more; or one of the next two."),
        ),
        (
            "secret_env",
            string("Environment variable that holds the secret."),
        ),
        ("secret_file", string("File that holds the secret.")),
        ("account", account),
        (
            "user",
            string("Name of the user, or an ARN; the root of the account by default."),
        ),
    ]
}

fn admin() -> Keys {
    let host = string("A host name.");
    let origin = string("An origin, like https://console.example.");
    vec![
        (
            "token_file",
            string("File that holds the bearer token, 16 characters or more."),
        ),
        (
            "allowed_hosts",
            list(
                "Host names of the port, beside loopback names and IP addresses.",
                host,
            ),
        ),
        (
            "allowed_origins",
            list("Origins whose pages may write, beside the port's own.", origin),
        ),
    ]
}

fn registry() -> Keys {
    let percent = json!({
        "description": "Percent of a service's instances below which those that seem unhealthy are used as well.",
        "type": "integer", "minimum": 0, "maximum": 100, "default": 50
    });
    let drain = duration("How long calls to an instance that Cloud Map deregisters may go on.");
    vec![
        (
            "validation",
            json!({
                "description": "How much of what AWS refuses Cloud Map refuses: all of it (strict), or what would do harm here (lenient).",
                "enum": ["lenient", "strict"], "default": "lenient"
            }),
        ),
        (
            "max_watchers",
            default(
                integer("Watches of services at the same time, at most.", limits::WATCHERS),
                limits::DEFAULT_WATCHERS,
            ),
        ),
        ("min_available_percent", percent),
        ("drain", default(drain, "30s")),
    ]
}

fn queue() -> Keys {
    let attributes = json!({
        "description": "AWS attribute names and values; a policy may be a mapping.",
        "type": "object",
        "additionalProperties": { "type": ["string", "number", "boolean", "object"] }
    });
    vec![
        ("name", string("Its name, as CreateQueue takes it.")),
        ("attributes", attributes),
    ]
}

fn route() -> Keys {
    vec![
        ("name", string("Unique; in metrics and problem documents.")),
        ("host", string("The host that it matches; any by default.")),
        (
            "path_prefix",
            string("The path that it matches, whole segments; any by default."),
        ),
        (
            "service",
            string("A service of the default namespace, or service.namespace."),
        ),
        (
            "strip_prefix",
            flag("The service does not see the matched prefix."),
        ),
        (
            "timeout",
            default(duration("Of the whole call, from the end of the request."), "15s"),
        ),
        (
            "connect_timeout",
            default(duration("Of the connection to an instance."), "1s"),
        ),
        ("streaming", flag("For calls without end: no total timeout.")),
    ]
}

fn circuit(about: &str) -> Value {
    let open = vec![
        (
            "base",
            default(duration("The first time; doubles each time after."), "5s"),
        ),
        ("max", default(duration("At most."), "60s")),
    ];
    let half_open = vec![
        ("permits", default(integer("Probes that decide.", 64), 5)),
        ("concurrent", default(integer("Probes at the same time.", 64), 5)),
        (
            "max_duration",
            default(duration("Undecided by then, it opens again."), "30s"),
        ),
    ];
    let keys = vec![
        (
            "window",
            default(duration("Over which calls are counted."), "10s"),
        ),
        (
            "min_calls",
            default(
                integer("Fewer calls than this never open a circuit.", 1_000_000),
                20,
            ),
        ),
        (
            "failure_rate",
            default(rate("Share of failed calls that opens it."), 0.5),
        ),
        (
            "slow_call_duration",
            duration(
                "A call that takes longer is slow; half of the route's timeout, at most 5s, by default.",
            ),
        ),
        (
            "slow_call_rate",
            default(rate("Share of slow calls that opens it."), 0.8),
        ),
        ("open", object("How long it stays open.", &[], open)),
        ("half_open", object("Probes after it was open.", &[], half_open)),
        ("ejection", traffic::ejection()),
    ];
    object(about, &[], keys)
}

fn object(about: &str, required: &[&str], keys: Keys) -> Value {
    let properties: Map<String, Value> = keys
        .into_iter()
        .map(|(key, form)| (key.to_owned(), form))
        .collect();
    let mut form = json!({
        "description": about, "type": "object", "additionalProperties": false, "properties": properties
    });
    if !required.is_empty() {
        form["required"] = json!(required);
    }
    form
}

fn list(about: &str, items: Value) -> Value {
    json!({ "description": about, "type": "array", "items": items })
}

fn string(about: &str) -> Value {
    json!({ "description": about, "type": "string" })
}

fn texts(about: &str) -> Value {
    json!({ "description": about, "type": "object", "additionalProperties": { "type": "string" } })
}

fn flag(about: &str) -> Value {
    json!({ "description": about, "type": "boolean", "default": false })
}

fn choice(about: &str, values: &[&str]) -> Value {
    json!({ "description": about, "type": "string", "enum": values })
}

fn integer(about: &str, most: impl Into<Value>) -> Value {
    json!({ "description": about, "type": "integer", "minimum": 1, "maximum": most.into() })
}

fn rate(about: &str) -> Value {
    json!({ "description": about, "type": "number", "exclusiveMinimum": 0, "maximum": 1 })
}

fn duration(about: &str) -> Value {
    json!({ "description": about, "type": "string", "pattern": "^[0-9]+(ms|s|m|h)$" })
}

fn address(about: &str) -> Value {
    json!({
        "description": format!("{about} An IP address and a port, or off."),
        "type": "string",
        "pattern": "^(off|.*:[0-9]{1,5})$"
    })
}

fn default(mut form: Value, value: impl Into<Value>) -> Value {
    form["default"] = value.into();
    form
}
