//! The configuration as data: a text, what stands above it, and what comes of it.

use std::path::Path;

use tsugite_traffic::Policy;

use super::*;

fn parse(yaml: &str) -> Result<Config, String> {
    parse_with(yaml, &Overrides::default())
}

fn parse_with(yaml: &str, flags: &Overrides) -> Result<Config, String> {
    Config::parse(Path::new("t.yaml"), yaml, flags).map_err(|error| error.to_string())
}

fn refused(yaml: &str, expected: &str) {
    match parse(yaml) {
        Ok(_) => panic!("accepted:\n{yaml}"),
        Err(text) => assert_eq!(text, expected, "of\n{yaml}"),
    }
}

#[test]
fn nothing_at_all_is_the_default() {
    let bare = Config::load(None, &Overrides::default()).unwrap();
    let names_only = "listen:\nlog:\naws:\nadmin: {allowed_hosts: }\ndns:\nregistry:\nqueues:\ntopics:\nservices:\nroutes:\ncircuit: {open: }\n";
    for yaml in ["", "# nothing\n", "\n\n", names_only] {
        let read = parse(yaml).unwrap();
        assert_eq!(Config { file: None, ..read }, bare, "{yaml:?}");
    }
    assert_eq!(bare.data, PathBuf::from("./tsugite-data"));
    let show = |address: Option<SocketAddr>| address.map(|a| a.to_string()).unwrap_or_default();
    let listen = bare.listen;
    assert_eq!(
        [listen.gateway, listen.aws, listen.admin, listen.dns].map(show),
        [
            "127.0.0.1:8080",
            "127.0.0.1:4566",
            "127.0.0.1:9901",
            "127.0.0.1:8600"
        ]
    );
}

#[test]
fn the_example_is_the_default() {
    let bare = Config::load(None, &Overrides::default()).unwrap();
    let example = parse(EXAMPLE).unwrap();
    assert_eq!(
        Config {
            file: None,
            ..example
        },
        bare
    );
}

/// The example with its commented keys switched on; prose has two signs, keys have one.
fn example_switched_on() -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in EXAMPLE.lines() {
        if line.trim_start().starts_with("##")
            || ["token_file", "keys_file", "ca_file"]
                .iter()
                .any(|file| line.contains(file))
        {
            continue;
        }
        match line.strip_prefix("# ") {
            Some(key) if key.starts_with([' ', '-']) || key.ends_with(':') => lines.push(key.to_owned()),
            Some(key) => lines.push(match key.split(':').next() {
                Some("host" | "slow_call_duration" | "per_try_timeout") => format!("  {key}"),
                _ => key.to_owned(),
            }),
            None => lines.push(line.to_owned()),
        }
    }
    lines.retain(|line| {
        ![
            "  keys: []",
            "queues: []",
            "topics: []",
            "services: []",
            "routes: []",
            "limits: {}",
        ]
        .contains(&line.as_str())
    });
    lines.join("\n")
}

#[test]
fn the_commented_keys_of_the_example_are_good_too() {
    let config = parse(&example_switched_on()).unwrap();
    let declared = config.declared;
    let redrive = &declared.queues[1].attributes["RedrivePolicy"];
    assert_eq!(
        redrive,
        r#"{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:orders-dead","maxReceiveCount":5}"#
    );
    assert_eq!(declared.queues[1].attributes["VisibilityTimeout"], "30");
    let topic = &declared.topics[0];
    assert_eq!(topic.attributes["DisplayName"], "Orders");
    let attributes = &topic.subscriptions[0].attributes;
    assert_eq!(attributes["RawMessageDelivery"], "true");
    assert_eq!(attributes["FilterPolicy"], r#"{"kind":["order","return"]}"#);
    assert_eq!(topic.subscriptions[1].protocol.name(), "https");
    let service = &declared.services[0];
    assert_eq!(
        (service.name.to_string().as_str(), service.instances[0].port),
        ("orders.internal", 9000)
    );
    assert_eq!(
        (service.circuit.min_calls, service.circuit.window),
        (50, config.common.circuit.window)
    );
    assert_eq!(declared.routes[0].service.to_string(), "orders.internal");
}

#[test]
fn every_key_of_the_schema_is_in_the_example() {
    fn keys(form: &serde_json::Value, out: &mut Vec<String>) {
        if let Some(properties) = form["properties"].as_object() {
            for (key, form) in properties {
                out.push(key.clone());
                keys(form, out);
                keys(&form["items"], out);
            }
        }
    }
    let mut all = Vec::new();
    keys(&schema::schema(), &mut all);
    assert!(all.len() > 60, "{}", all.len());
    for key in all {
        let written = EXAMPLE.lines().any(|line| {
            let line = line.trim_start_matches(['#', ' ', '-']);
            line.starts_with(&format!("{key}:"))
        });
        assert!(written, "`{key}` is not in the example");
    }
}

/// Puts an unknown key into every object of the schema and compares what the reader says that it knows.
#[test]
fn the_schema_and_the_reader_know_the_same_keys() {
    fn walk(form: &serde_json::Value, wrap: &dyn Fn(String) -> String) {
        let Some(properties) = form["properties"].as_object() else {
            return;
        };
        let yaml = wrap(r#"{"zzzzzzzzzzzz": 1}"#.to_owned());
        let error = parse(&yaml).unwrap_err();
        let known: Vec<&str> = error
            .split("known here: ")
            .nth(1)
            .unwrap_or_else(|| panic!("{yaml}: {error}"))
            .split(", ")
            .map(|key| key.trim_matches('`'))
            .collect();
        let in_schema: Vec<&str> = properties.keys().map(String::as_str).collect();
        assert_eq!(known, in_schema, "{yaml}");
        for (key, form) in properties {
            walk(form, &|inner| wrap(format!(r#"{{"{key}": {inner}}}"#)));
            walk(&form["items"], &|inner| {
                wrap(format!(r#"{{"{key}": [{inner}]}}"#))
            });
        }
    }
    walk(&schema::schema(), &|inner| inner);
}

#[test]
fn the_committed_schema_is_the_one_we_print() {
    let committed = include_str!("../../tsugite.schema.json");
    assert!(
        committed == schema::text(),
        "regenerate it: tsugite schema > crates/tsugite/tsugite.schema.json"
    );
}

#[test]
fn bad_keys_and_values_are_named_with_their_place() {
    refused(
        "listen:\n  gatway: off\n",
        "t.yaml:2:3: unknown key `gatway`; did you mean `gateway`?",
    );
    refused(
        "quues: []\n",
        "t.yaml:1:1: unknown key `quues`; did you mean `queues`?",
    );
    refused(
        "log:\n  completely_different: x\n",
        "t.yaml:2:3: unknown key `completely_different`; known here: `level`, `format`",
    );
    refused(
        "log:\n  level: inof\n",
        "t.yaml:2:10: unknown value `inof`; did you mean `info`?",
    );
    refused(
        "drain_timeout: 5\n",
        "t.yaml:1:16: `5` is not a duration; write a whole number and a unit, like 250ms, 5s, 2m or 1h",
    );
    refused(
        "listen:\n  admin: localhost\n",
        "t.yaml:2:10: `localhost` is not an address; write an IP address and a port, like 127.0.0.1:8080, or off",
    );
    refused("workers: 0\n", "t.yaml:1:10: 0 workers; there must be 1 to 256");
    refused(
        "data: x\ndata: y\n",
        "t.yaml:2:1: the key `data` stands here twice",
    );
    refused(
        "queues:\n  - attributes: {}\n",
        "t.yaml:2:5: the key `name` is missing",
    );
    refused(
        "aws:\n  account: \"12\"\n",
        "t.yaml:2:12: an account is twelve digits, in quotes",
    );
    refused(
        "aws:\n  in_flight_limit: 0\n",
        "t.yaml:2:20: 0 is out of range; it must be 1 to 10000000",
    );
    refused(
        "aws:\n  sns: {filter_policies: 0}\n",
        "t.yaml:2:26: 0 is out of range; it must be 1 to 1000000",
    );
    refused(
        "admin:\n  token_file: /nonexistent/token\n",
        "t.yaml:2:15: `/nonexistent/token` cannot be read: No such file or directory (os error 2)",
    );
    refused(
        "dns:\n  ttl: 1500ms\n",
        "t.yaml:2:8: `1500ms`: a DNS answer lives whole seconds, up to 24h",
    );
    refused(
        "dns:\n  max_answers: 0\n",
        "t.yaml:2:16: 0 answers; there must be 1 to 10000",
    );
    refused(
        "dns:\n  udp_size: 65535\n",
        "t.yaml:2:13: 65535 bytes; there must be 512 to 4096",
    );
    refused(
        "dns:\n  forward: [resolver.example]\n",
        "t.yaml:2:13: `resolver.example` is not a server; write an IP address, like 192.0.2.1 or 192.0.2.1:53",
    );
    refused(
        "dns:\n  forward: [127.0.0.1:8600]\n",
        "t.yaml:2:13: `127.0.0.1:8600` is this DNS port itself; name the servers that know the rest of the world",
    );
    refused(
        "dns:\n  rate_limit: {exempt: [10.0.0.0/33]}\n",
        "t.yaml:2:25: `10.0.0.0/33` is not a network; write an address and a number of bits, like 10.0.0.0/8",
    );
}

#[test]
fn what_is_not_there_yet_is_refused() {
    refused(
        "store: postgres://localhost/x\n",
        "t.yaml:1:8: the PostgreSQL store is not supported yet; the only store is `embedded`",
    );
    refused(
        "store: mysql\n",
        "t.yaml:1:8: unknown store `mysql`; the only store is `embedded`",
    );
    refused(
        "listen:\n  xds: 127.0.0.1:18000\n",
        "t.yaml:2:8: the xDS role is not supported yet; it can only be `off`",
    );
}

#[test]
fn declarations_are_checked() {
    refused(
        "routes:\n  - name: a\n    service: b\n",
        "t.yaml:2:11: the route `a` matches nothing; give it a host, a path_prefix or both",
    );
    refused(
        "queues:\n  - name: q\n  - name: q\n",
        "t.yaml:3:11: the queue `q` is declared twice",
    );
    refused(
        "queues:\n  - name: q\n    attributes:\n      VisibiltyTimeout: 30\n",
        "t.yaml:4:25: Unknown Attribute VisibiltyTimeout. Did you mean `VisibilityTimeout`?",
    );
    refused(
        "queues:\n  - name: q\n    attributes: {VisibilityTimeout: 43201, DelaySeconds: soon}\n",
        "t.yaml:3:37: Value 43201 for parameter VisibilityTimeout is invalid. Reason: Must be between 0 and 43200.\n\
         t.yaml:3:58: Value soon for parameter DelaySeconds is invalid. Reason: Must be a whole number between 0 and 900.",
    );
    refused(
        "queues:\n  - name: q\n    attributes: {ContentBasedDeduplication: true}\n",
        "t.yaml:3:45: Unknown Attribute ContentBasedDeduplication. It is for FIFO queues only.",
    );
    refused(
        "services:\n  - name: s\n    protocol: http2\n",
        "t.yaml:3:15: unknown value `http2`; did you mean `http`?",
    );
    refused(
        "services:\n  - name: s\n    instances:\n      - {id: a, address: here, port: 70000}\n",
        "t.yaml:4:26: `here` is not an IP address\nt.yaml:4:38: 70000 is not a port; it must be 1 to 65535",
    );
    refused(
        "circuit:\n  failure_rate: 50\n  open:\n    base: 2m\n",
        "t.yaml:2:17: 50 is not a share; write a number above 0 and up to 1, like 0.5\n\
         t.yaml:4:11: open.base 2m is longer than open.max 1m",
    );
    refused(
        "services:\n  - name: a b\n",
        "t.yaml:2:11: `a b` is not a service name; write letters, digits and hyphens",
    );
}

#[test]
fn what_holds_for_all_services_holds_for_one_unless_it_says_otherwise() {
    let yaml = "circuit: {ejection: {min_available_percent: 70, slow_start: 0s}}\n\
                retry: {tries: 2, budget: 0}\n\
                limits: {requests: 9}\n\
                balance: {policy: maglev, key: 'header:X-User'}\n\
                services:\n\
                \x20 - {name: a}\n\
                \x20 - name: b\n\
                \x20   circuit: {ejection: {consecutive_failures: 0}}\n\
                \x20   retry: {tries: 1}\n\
                \x20   limits: {endpoint_requests: 3}\n\
                \x20   balance: {policy: random}\n";
    let config = parse(yaml).unwrap();
    let [a, b] = config.declared.services.as_slice() else {
        panic!("two services")
    };
    assert_eq!(
        (&a.circuit, &a.retry),
        (&config.common.circuit, &config.common.retry)
    );
    assert_eq!(
        (a.limits, &a.balance),
        (config.common.limits, &config.common.balance)
    );
    assert_eq!((a.retry.tries, a.retry.budget, a.retry.floor), (2, 0.0, 10));
    let ejection = &b.circuit.ejection;
    assert_eq!(
        (ejection.consecutive_failures, ejection.min_available_percent),
        (0, 70)
    );
    assert_eq!((b.retry.tries, b.retry.budget), (1, 0.0));
    assert_eq!(
        (b.limits.requests, b.limits.endpoint_requests),
        (Some(9), Some(3))
    );
    assert_eq!((b.balance.policy, &b.balance.key), (Policy::Random, &None));
}

#[test]
fn wrong_values_of_what_guards_calls_are_named() {
    for (yaml, expected) in [
        (
            "retry: {tries: 6}\n",
            "t.yaml:1:16: 6 is out of range; it must be 1 to 5",
        ),
        (
            "retry: {budget: 20}\n",
            "t.yaml:1:17: 20 is not a share; write a number from 0 to 1, like 0.2",
        ),
        (
            "limits: {requests: 0}\n",
            "t.yaml:1:20: 0 is out of range; it must be 1 to 10000000",
        ),
        (
            "balance: {policy: round-robin}\n",
            "t.yaml:1:19: unknown value `round-robin`; did you mean `round_robin`?",
        ),
        (
            "balance: {policy: maglev}\n",
            "t.yaml:1:19: maglev needs a `key`: header:NAME, cookie:NAME or address",
        ),
        (
            "balance: {key: address}\n",
            "t.yaml:1:16: peak_ewma goes by no `key`; the policies that do are ring_hash and maglev",
        ),
        (
            "balance: {policy: ring_hash, key: 'cookie:a b'}\n",
            "t.yaml:1:35: `cookie:a b` is no key; write header:NAME, cookie:NAME or address",
        ),
        (
            "circuit: {ejection: {min_available_percent: 101}}\n",
            "t.yaml:1:45: 101 is out of range; a percentage is 0 to 100",
        ),
        (
            "circuit: {ejection: {base: 10m}}\n",
            "t.yaml:1:28: ejection.base 10m is longer than ejection.max 5m",
        ),
    ] {
        let error = parse(yaml).unwrap_err();
        assert_eq!(error.lines().next().unwrap(), expected, "{yaml}");
    }
}

#[test]
fn wrong_types_are_named() {
    for (yaml, place) in [
        ("listen: [1]\n", "t.yaml:1:9: "),
        ("workers: many\n", "t.yaml:1:10: "),
        ("insecure: maybe\n", "t.yaml:1:11: "),
        ("queues: {name: q}\n", "t.yaml:1:9: "),
        ("data: b: c\n", "t.yaml:1:8: "),
        ("- 1\n", "t.yaml:1:1: expected keys with values"),
        ("data: [x]\n", "t.yaml:1:7: expected a text"),
        ("queues: 5\n", "t.yaml:1:9: expected a list"),
        (
            "data: x\n---\ndata: y\n",
            "t.yaml:3:1: a second document begins here",
        ),
    ] {
        let error = parse(yaml).unwrap_err();
        assert!(error.starts_with(place), "{yaml}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

#[test]
fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
    let yaml = "data: from-file\nlisten:\n  gateway: 127.0.0.1:1\n  aws: 127.0.0.1:2\nlog: {level: debug}\n";
    let flags = Overrides {
        data: Some("from-flag".into()),
        aws: Some("off".into()),
        log_level: Some("error".into()),
        ..Overrides::default()
    };
    let config = parse_with(yaml, &flags).unwrap();
    assert_eq!(config.data, PathBuf::from("from-flag"));
    assert_eq!(config.listen.gateway, Some(([127, 0, 0, 1], 1).into()));
    assert_eq!(config.listen.aws, None);
    assert_eq!(config.listen.admin, Some(([127, 0, 0, 1], 9901).into()));
    assert_eq!(config.log.level, tracing::level_filters::LevelFilter::ERROR);
}

#[test]
fn a_bad_flag_is_named() {
    let flags = Overrides {
        admin: Some("here".into()),
        workers: Some("x".into()),
        ..Overrides::default()
    };
    assert_eq!(
        parse_with("", &flags).unwrap_err(),
        "--admin: `here` is not an address; write an IP address and a port, like 127.0.0.1:8080, or off\n\
         --workers: `x` is not a number"
    );
}

#[test]
fn an_open_address_needs_authentication_or_consent() {
    let open = |yaml: &str| parse(yaml).map(|_| ());
    assert_eq!(open("listen: {gateway: \"0.0.0.0:80\"}\n"), Ok(()));
    for (role, way_out) in [
        (
            "aws",
            "the AWS port does not authenticate its callers (aws.auth is off)",
        ),
        ("dns", "the DNS port cannot authenticate its callers"),
        (
            "admin",
            "the admin port has no token (admin.token_file or TSUGITE_ADMIN_TOKEN)",
        ),
    ] {
        let yaml = format!("listen: {{{role}: \"0.0.0.0:80\"}}\n");
        let error = open(&yaml).unwrap_err();
        let expected = format!("0.0.0.0:80 can be reached from other machines, and {way_out}; ");
        assert!(error.contains(&expected), "{error}");
        assert_eq!(open(&format!("insecure: true\n{yaml}")), Ok(()));
    }
    let with_token = Overrides {
        admin: Some("[::]:9901".into()),
        admin_token: Some("0123456789abcdef".into()),
        ..Overrides::default()
    };
    assert!(parse_with("", &with_token).is_ok());
    let not_after_all = Overrides {
        insecure: Some(false),
        ..Overrides::default()
    };
    let yaml = "insecure: true\nlisten: {dns: \"0.0.0.0:53\"}\n";
    assert!(
        parse_with(yaml, &not_after_all).is_err(),
        "a flag can also take back what the file allows"
    );
    let short = Overrides {
        admin_token: Some("short".into()),
        ..Overrides::default()
    };
    assert_eq!(
        parse_with("", &short).unwrap_err(),
        "TSUGITE_ADMIN_TOKEN: the token must be 16 to 1024 characters long"
    );
}

#[test]
fn a_virtual_clock_stays_on_this_machine() {
    assert!(parse("virtual_clock: true\n").unwrap().virtual_clock);
    for (yaml, role) in [
        (
            "listen: {gateway: \"0.0.0.0:80\"}\n",
            "gateway port on 0.0.0.0:80",
        ),
        (
            "insecure: true\nlisten: {dns: \"[::]:53\"}\n",
            "DNS port on [::]:53",
        ),
        ("listen: {admin: off}\n", "only the admin port"),
    ] {
        assert!(!parse(yaml).unwrap().virtual_clock);
        let error = parse(&format!("virtual_clock: true\n{yaml}")).unwrap_err();
        assert!(
            error.starts_with("t.yaml:1:16: ") && error.contains(role),
            "{error}"
        );
        let flag = Overrides {
            virtual_clock: Some(true),
            ..Overrides::default()
        };
        let error = parse_with(yaml, &flag).unwrap_err();
        assert!(error.starts_with("--virtual-clock: "), "{error}");
    }
}

#[test]
fn keys_that_need_a_restart_are_named() {
    let old = parse("").unwrap();
    let new =
        parse("data: elsewhere\nlog: {level: debug}\nlisten: {dns: off}\nqueues: [{name: q}]\n").unwrap();
    assert_eq!(old.fixed_differences(&new), ["data", "listen"]);
    assert!(old.fixed_differences(&old).is_empty());
    let merged = old.with_changes_of(&new);
    assert!(old.fixed_differences(&merged).is_empty());
    assert_eq!((merged.log.level, merged.declared), (new.log.level, new.declared));
}

const KEY: &str = "{id: AKID, secret: wJalrXUtnFEMI-EXAMPLE}";

#[test]
fn keys_of_the_aws_port() {
    let yaml = format!(
        "aws:\n  account: \"123456789012\"\n  auth: known\n  keys:\n    - {KEY}\n    - {{id: B, secret: \
         0123456789abcdef, account: \"000000000001\", user: bob}}\n"
    );
    let aws = parse(&yaml).unwrap().aws;
    assert_eq!(aws.auth, Auth::Known);
    let shown: Vec<_> = aws
        .keys
        .iter()
        .map(|key| (key.id.as_str(), key.arn.as_str()))
        .collect();
    assert_eq!(
        shown,
        [
            ("AKID", "arn:aws:iam::123456789012:root"),
            ("B", "arn:aws:iam::000000000001:user/bob")
        ]
    );
    assert!(
        !format!("{:?}", aws.keys).contains("wJalr"),
        "secrets do not show"
    );
    let open = format!("listen: {{aws: \"0.0.0.0:80\"}}\naws: {{auth: strict, keys: [{KEY}]}}\n");
    assert!(
        parse(&open).is_ok(),
        "a port that asks for signatures may listen anywhere"
    );
}

#[test]
fn bad_keys_are_named() {
    let bad = |keys: &str, expected: &str| {
        let error = parse(&format!("aws:\n  keys:\n    - {keys}\n")).unwrap_err();
        assert!(error.contains(expected), "{keys}: {error}");
        assert!(!error.contains("wJalr"), "{error}");
    };
    bad("{id: A}", "the key `A` has no secret");
    bad(
        "{id: A, secret: wJalr}",
        "the secret must be 16 to 256 visible ASCII characters long",
    );
    bad(
        "{id: a/b, secret: wJalrXUtnFEMI-EXAMPLE}",
        "`a/b` is not an access key id",
    );
    bad(
        "{id: A, secret: wJalrXUtnFEMI-EXAMPLE, secret_env: X}",
        "a key has one secret",
    );
    bad(
        "{id: A, secret_env: TSUGITE_NO_SUCH_VARIABLE}",
        "no variable `TSUGITE_NO_SUCH_VARIABLE`",
    );
    bad(
        "{id: A, secret_file: /nonexistent/s}",
        "`/nonexistent/s` cannot be read",
    );
    bad(&format!("{KEY}\n    - {KEY}"), "the key `AKID` stands here twice");
    bad(
        "{id: A, secret: wJalrXUtnFEMI-EXAMPLE, account: \"1\"}",
        "twelve digits",
    );
    bad(
        "{id: A, secret: wJalrXUtnFEMI-EXAMPLE, user: a b}",
        "`a b` is not a user name",
    );
    bad(
        "{id: A, secret: wJalrXUtnFEMI-EXAMPLE, user: \"arn:aws:iam::000000000001:user/a\"}",
        "is of account 000000000001, the key of 000000000000",
    );
    refused(
        "aws:\n  auth: known\n",
        "t.yaml:2:9: this asks for signatures, but there are no keys to sign with; list them in aws.keys or aws.keys_file",
    );
    refused(
        "aws:\n  auth: knwon\n",
        "t.yaml:2:9: unknown value `knwon`; did you mean `known`?",
    );
}

#[test]
fn new_keys_count_at_once_and_a_new_mode_after_a_restart() {
    let old = parse(&format!("aws: {{keys: [{KEY}]}}\n")).unwrap();
    let new = parse("aws: {auth: known, keys: [{id: B, secret: 0123456789abcdef}]}\n").unwrap();
    assert_eq!(old.fixed_differences(&new), ["aws.auth"]);
    let merged = old.with_changes_of(&new);
    assert_eq!(
        (merged.aws.auth, merged.aws.keys[0].id.as_str()),
        (Auth::Off, "B")
    );
}

#[test]
fn secrets_do_not_show() {
    let secret = Secret("0123456789abcdef".into());
    assert_eq!(format!("{secret:?}"), "Secret(…)");
}

#[test]
fn topics_are_checked_as_sns_checks_them() {
    // The words of most refusals are the broker's; the place and what is named are the configuration's.
    for (topic, told) in [
        (
            "{name: t, attributes: {DisplayNaem: x}}",
            ["t.yaml:2:41: ", "did you mean `DisplayName`?"],
        ),
        (
            "{name: t, attributes: {SignatureVersion: 3}}",
            ["t.yaml:2:46: ", "SignatureVersion"],
        ),
        (
            "{name: t, attributes: {ContentBasedDeduplication: true}}",
            ["t.yaml:2:55: ", "ContentBasedDeduplication"],
        ),
        (
            "{name: t, subscriptions: [{raw: true}]}",
            ["subscription of `t`", "neither `queue` nor `endpoint`"],
        ),
        (
            "{name: t, subscriptions: [{queue: q, endpoint: \"http://h/\"}]}",
            ["t.yaml:2:39: ", "either `queue` or `endpoint`, not both"],
        ),
        (
            "{name: t, subscriptions: [{queue: q.fifo}]}",
            ["t.yaml:2:39: ", "FIFO"],
        ),
        (
            "{name: t, subscriptions: [{endpoint: q}]}",
            ["t.yaml:2:42: ", "write `queue: q`"],
        ),
        (
            "{name: t, subscriptions: [{endpoint: q, protocol: lambda}]}",
            ["t.yaml:2:55: ", "lambda"],
        ),
        (
            "{name: t, subscriptions: [{queue: q, attributes: {FilterPolicy: {}}}]}",
            ["t.yaml:2:69: ", "has a key of its own: `filter_policy`"],
        ),
        (
            "{name: t, subscriptions: [{queue: q, attributes: {DeliveryPolicy: {}}}]}",
            ["t.yaml:2:71: ", "delivery policy"],
        ),
        (
            "{name: t, subscriptions: [{queue: q, filter_policy_scope: Body}]}",
            ["t.yaml:2:63: ", "`MessageAttributes`, `MessageBody`"],
        ),
    ] {
        let error = parse(&format!("topics:\n  - {topic}\n")).unwrap_err();
        assert!(told.iter().all(|part| error.contains(part)), "{topic}: {error}");
    }
    let nested = "topics: [{name: t, subscriptions: [{queue: q, filter_policy: {a: {b: [1]}}}]}]";
    assert!(
        parse(nested)
            .unwrap_err()
            .to_lowercase()
            .contains("filter policy"),
        "nesting is for the body"
    );
    let body = nested.replace(
        "filter_policy:",
        "filter_policy_scope: MessageBody, filter_policy:",
    );
    let topics = parse(&body).unwrap().declared.topics;
    assert_eq!(
        topics[0].subscriptions[0].attributes["FilterPolicy"],
        r#"{"a":{"b":[1]}}"#
    );
    let fifo = parse("topics: [{name: t.fifo, attributes: {ContentBasedDeduplication: true}}]").unwrap();
    assert_eq!(fifo.declared.topics[0].attributes["FifoTopic"], "true");
}
