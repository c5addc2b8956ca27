//! The admin port over real sockets: documents with links, problems, and its defences.

mod support;

use serde_json::{Value, json};
use support::{Running, command, finish, raw, request};

#[test]
fn every_document_leads_on() {
    let running = Running::start(
        "queues: [{name: dead}, {name: q, attributes: {RedrivePolicy: \
         {deadLetterTargetArn: \"arn:aws:sqs:us-east-1:000000000000:dead\", maxReceiveCount: 3}}}]\n\
         topics: [{name: t, subscriptions: [{queue: q, raw: true}]}]\n\
         services: [{name: s, instances: [{id: one, address: 127.0.0.1, port: 9}]}]\n",
        &[],
    );
    let mut waiting = vec!["/v1".to_owned()];
    let mut seen = std::collections::BTreeSet::new();
    while let Some(path) = waiting.pop() {
        if path.contains('{') || !path.starts_with('/') || !seen.insert(path.clone()) {
            continue;
        }
        let answer = running.admin("GET", &path, None);
        // What cannot be read is written to: overrides and resets.
        if answer.status == 405 || path == "/metrics" || path == "/" {
            continue;
        }
        let document = answer.expect(200).json();
        assert!(document["_links"].is_object(), "{path}: {document}");
        links(&document, &mut waiting);
    }
    for path in [
        "/v1/queues/q",
        "/v1/queues/dead",
        "/v1/topics/t",
        "/v1/topics/t/subscriptions",
        "/v1/captured",
        "/v1/instances/internal/s/one",
        "/v1/namespaces/internal",
        "/v1/services?namespace=internal",
        "/v1/services/internal/s/instances",
        "/readyz",
    ] {
        assert!(seen.contains(path), "{path} is not reachable: {seen:?}");
    }
}

fn links(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                if key == "_links" {
                    let targets = member
                        .as_object()
                        .into_iter()
                        .flat_map(|targets| targets.values());
                    out.extend(targets.filter_map(|target| target["href"].as_str().map(str::to_owned)));
                } else {
                    links(member, out);
                }
            }
        }
        Value::Array(members) => members.iter().for_each(|member| links(member, out)),
        _ => {}
    }
}

#[test]
fn an_instance_registers_renews_changes_and_leaves() {
    let running = Running::start("services: [{name: leased, lease: 7s}]\n", &[]);
    let path = "/v1/instances/shop/orders/a%2Fb";
    let body = json!({"address": "127.0.0.1", "port": 9000, "protocol": "grpc", "attributes": {"zone": "a"}, "ttl_ms": 60_000});
    let outcome = |answer: support::Answer| answer.json()["outcome"].as_str().unwrap().to_owned();
    assert_eq!(
        outcome(running.admin("PUT", path, Some(body.clone())).expect(201)),
        "created"
    );
    assert_eq!(
        outcome(running.admin("PUT", path, Some(body.clone())).expect(200)),
        "renewed"
    );
    assert_eq!(outcome(running.admin("PUT", path, None).expect(200)), "renewed");
    let mut moved = body;
    moved["port"] = 9001.into();
    assert_eq!(
        outcome(running.admin("PUT", path, Some(moved)).expect(200)),
        "changed"
    );

    let shown = running.admin("GET", path, None).expect(200).json();
    assert_eq!(
        (
            &shown["address"],
            &shown["port"],
            &shown["protocol"],
            &shown["attributes"]
        ),
        (
            &json!("127.0.0.1"),
            &json!(9001),
            &json!("grpc"),
            &json!({"zone": "a"})
        )
    );
    assert_eq!(
        (&shown["ttl_ms"], &shown["health"]["status"]),
        (&json!(60_000), &json!("healthy"))
    );
    assert!(
        shown["expires_in_ms"].as_u64().is_some_and(|ms| ms > 30_000),
        "{shown}"
    );
    let service = running
        .admin("GET", "/v1/services/shop/orders", None)
        .expect(200)
        .json();
    assert_eq!(service["instances"][0]["id"], "a/b");

    running.admin("DELETE", path, None).expect(200);
    running.admin("DELETE", path, None).expect(404);
    running.admin("PUT", path, None).expect(404);

    // The lease: stated, declared, usual, none.
    for (service, ttl, lease) in [
        ("leased", json!(1000), json!(1000)),
        ("leased", Value::Null, json!(7000)),
        ("other", Value::Null, json!(15_000)),
        ("other", json!(0), Value::Null),
    ] {
        let path = format!("/v1/instances/internal/{service}/one");
        let body = json!({"address": "::1", "port": 1, "ttl_ms": ttl});
        running.admin("PUT", &path, Some(body));
        assert_eq!(
            running.admin("GET", &path, None).expect(200).json()["ttl_ms"],
            lease,
            "{service} {ttl}"
        );
    }
}

#[test]
fn a_lease_that_is_not_renewed_ends() {
    let mut running = Running::start("", &[]);
    let path = "/v1/instances/internal/brief/one";
    // Nobody listens there: whoever answers when asked is kept.
    let body = json!({"address": "127.0.0.1", "port": 1, "ttl_ms": 300});
    running.admin("PUT", path, Some(body)).expect(201);
    running.wait_for("the end of the lease", |running| {
        (running.admin("GET", path, None).status == 404).then_some(())
    });
}

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let running = Running::start("", &[]);
    let instance = "/v1/instances/internal/orders/1";
    for (method, path, body, status, name, detail) in [
        ("PUT", instance, "{", 400, "invalid-request", "EOF while parsing"),
        (
            "PUT",
            instance,
            "{\"address\": \"here\", \"port\": 1}",
            400,
            "invalid-request",
            "IP address",
        ),
        (
            "PUT",
            instance,
            "{\"port\": 1}",
            400,
            "invalid-request",
            "missing field `address`",
        ),
        (
            "PUT",
            instance,
            "{\"address\": \"::1\", \"port\": 0}",
            400,
            "invalid-request",
            "port",
        ),
        (
            "PUT",
            instance,
            "{\"address\": \"::1\", \"port\": 70000}",
            400,
            "invalid-request",
            "70000",
        ),
        (
            "PUT",
            instance,
            "{\"address\": \"::1\", \"port\": 1, \"ttl\": 1}",
            400,
            "invalid-request",
            "unknown field `ttl`",
        ),
        (
            "PUT",
            instance,
            "{\"address\": \"::1\", \"port\": 1, \"protocol\": \"h3\"}",
            400,
            "invalid-request",
            "`h3`",
        ),
        ("GET", "/v1/queues/none", "", 404, "not-found", "no queue `none`"),
        ("GET", "/v1/topics/none", "", 404, "not-found", "no topic `none`"),
        ("GET", "/v1/services/none/none", "", 404, "not-found", "none"),
        (
            "GET",
            "/v1/circuits/none.none",
            "",
            404,
            "not-found",
            "no circuit `none.none`",
        ),
        ("GET", "/v2", "", 404, "not-found", "/v2"),
        (
            "GET",
            "/v1/queues/%zz",
            "",
            400,
            "invalid-request",
            "not well encoded",
        ),
        (
            "POST",
            "/v1/queues",
            "",
            405,
            "method-not-allowed",
            "GET, HEAD, OPTIONS",
        ),
        ("GET", "/v1/reset", "", 405, "method-not-allowed", "POST, OPTIONS"),
        ("BREW", "/v1", "", 405, "method-not-allowed", "BREW"),
        ("POST", "/v1/reset", "", 403, "dev-only", "--dev"),
        (
            "POST",
            "/v1/clock/advance",
            "{\"seconds\": 1}",
            409,
            "clock-not-virtual",
            "--virtual-clock",
        ),
    ] {
        let answer = running.admin_with(method, path, &[], body).expect(status);
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{method} {path}"
        );
        let problem = answer.json();
        assert_eq!(
            problem["type"],
            format!("urn:tsugite:problem:{name}"),
            "{method} {path}"
        );
        assert_eq!(problem["status"], status);
        assert!(
            problem["detail"].as_str().unwrap().contains(detail),
            "{method} {path}: {problem}"
        );
        assert_eq!(problem["_links"]["index"]["href"], "/v1");
        if status == 405 {
            assert!(answer.header("allow").is_some());
        }
    }
}

#[test]
fn parameters_that_nobody_looks_at_are_refused() {
    let running = Running::start("services: [{name: orders}]\n", &[]);
    running.admin("GET", "/v1/circuits?state=open", None).expect(200);
    running.admin("GET", "/healthz?from=probe", None).expect(200);
    for (method, path, named) in [
        ("GET", "/v1/circuits?state=nonsense", "nonsense"),
        ("GET", "/v1/circuits?stat=open", "stat"),
        ("DELETE", "/v1/instances/internal/orders/1?wait=nobody", "nobody"),
        ("DELETE", "/v1/instances/internal/orders/1?drian=30s", "drian"),
    ] {
        let answer = running.admin(method, path, None).expect(400);
        let detail = answer.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(detail.contains(named), "{path}: {detail}");
    }
    let body = json!({"address": "127.0.0.1", "port": 9000});
    running
        .admin("PUT", "/v1/instances/internal/orders/%2E%2E", Some(body))
        .expect(400);
}

#[test]
fn the_port_defends_itself() {
    let token = "0123456789abcdef";
    let config =
        "admin: {allowed_hosts: [tsugite.example], allowed_origins: [\"https://console.example\"]}\n";
    let running = Running::start(config, &[]);
    let put = |headers: &[(&str, &str)]| {
        let body = r#"{"address": "127.0.0.1", "port": 9000}"#;
        running
            .admin_with("PUT", "/v1/instances/internal/orders/1", headers, body)
            .status
    };
    let own = format!("http://{}", running.address("admin"));
    assert_eq!(put(&[]), 201);
    assert_eq!(put(&[("origin", &own)]), 200);
    assert_eq!(put(&[("origin", "https://console.example")]), 200);
    assert_eq!(put(&[("origin", "https://evil.example")]), 403);
    assert_eq!(put(&[("host", "evil.example")]), 421);
    assert_eq!(put(&[("host", "tsugite.example")]), 200);
    let preflight = [
        ("origin", "https://console.example"),
        ("access-control-request-method", "PUT"),
    ];
    let answer = running
        .admin_with("OPTIONS", "/v1/instances/internal/orders/1", &preflight, "")
        .expect(204);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://console.example")
    );
    let stranger = running
        .admin_with("GET", "/v1", &[("origin", "https://evil.example")], "")
        .expect(200);
    assert_eq!(stranger.header("access-control-allow-origin"), None);

    let home = support::Home::new();
    let file = home.file("token", &format!("{token}\n"));
    let running = Running::start(&format!("admin: {{token_file: {}}}\n", file.display()), &[]);
    let get = |path: &str, headers: &[(&str, &str)]| running.admin_with("GET", path, headers, "").status;
    let bearer = format!("Bearer {token}");
    assert_eq!(get("/v1", &[]), 401);
    assert_eq!(
        get("/v1/none", &[]),
        401,
        "what is there and what is not is nobody's business"
    );
    assert_eq!(
        get("/metrics", &[("authorization", "Bearer 0123456789abcdeX")]),
        401
    );
    assert_eq!(get("/metrics", &[("authorization", &bearer)]), 200);
    assert_eq!(get("/readyz", &[]), 200);
    let (code, _, stderr) =
        finish(command().args(["queues", "--admin", &running.address("admin").to_string()]));
    assert_eq!((code, stderr.contains("401")), (1, true), "{stderr}");
    let (code, stdout, _) = finish(command().env("TSUGITE_ADMIN_TOKEN", token).args([
        "queues",
        "--admin",
        &running.address("admin").to_string(),
    ]));
    assert_eq!((code, stdout.as_str()), (0, "no queues\n"));
}

#[test]
fn hostile_heads_and_bodies_are_bounded() {
    let running = Running::start("", &[]);
    let admin = running.address("admin");
    let many: String = (0..200).map(|i| format!("x-{i}: 1\r\n")).collect();
    assert_eq!(
        raw(
            admin,
            format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n").as_bytes()
        )
        .status,
        431
    );
    let long = "x".repeat(300_000);
    assert_eq!(
        raw(
            admin,
            format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {long}\r\n\r\n").as_bytes()
        )
        .status,
        431
    );
    assert_eq!(raw(admin, b"nonsense\r\n\r\n").status, 400);
    let large = "x".repeat(300_000);
    let path = "/v1/instances/internal/orders/1";
    assert_eq!(request(admin, "PUT", path, &[], &large).status, 413);
    let endless = format!(
        "PUT {path} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n493E0\r\n{large}\r\n"
    );
    assert_eq!(raw(admin, endless.as_bytes()).status, 413);
    running.admin("GET", "/readyz", None).expect(200);
}

#[test]
fn development_helpers_need_the_flag() {
    let running = Running::start("queues: [{name: declared}]\n", &["--dev"]);
    let body = json!({"address": "127.0.0.1", "port": 9000});
    running
        .admin("PUT", "/v1/instances/internal/orders/1", Some(body))
        .expect(201);
    running.admin("POST", "/v1/reset", None).expect(200);
    let services = running.admin("GET", "/v1/services", None).json();
    assert_eq!(services["services"], json!([]));
    running.admin("GET", "/v1/queues/declared", None).expect(200);
}

#[test]
fn a_virtual_clock_moves_ahead_only() {
    let running = Running::start("", &["--virtual-clock"]);
    let ask = |body: Value| running.admin("POST", "/v1/clock/advance", Some(body));
    let clock = running.admin("GET", "/v1/clock", None).expect(200).json();
    assert_eq!(
        (&clock["virtual"], &clock["ahead_seconds"]),
        (&json!(true), &json!(0.0))
    );
    let moved = ask(json!({"seconds": 43_200.5})).expect(200).json();
    assert_eq!(moved["ahead_seconds"], json!(43_200.5));
    let until = ask(json!({"until": "2999-01-31T12:00:00Z"})).expect(200).json();
    assert!(
        until["now"].as_str().unwrap().starts_with("2999-01-31T12:00:0"),
        "{until}"
    );
    for (bad, told) in [
        (json!({}), "either"),
        (json!({"seconds": 1, "until": "3000-01-01T00:00:00Z"}), "either"),
        (json!({"seconds": -1}), "ahead"),
        (json!({"seconds": 1e300}), "seconds"),
        (json!({"seconds": 1e13}), "9999"),
        (json!({"until": "2000-01-01T00:00:00Z"}), "is over"),
        (json!({"until": "soon"}), "not a moment"),
        (json!({"hours": 1}), "hours"),
    ] {
        let problem = ask(bad.clone()).expect(400).json();
        assert!(
            problem["detail"].as_str().unwrap().contains(told),
            "{bad}: {problem}"
        );
    }
}

#[test]
fn metrics_tell_the_main_things() {
    let running = Running::start("queues: [{name: q}]\ntopics: [{name: t}]\n", &[]);
    let answer = running.admin("GET", "/metrics", None).expect(200);
    assert!(
        answer
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4"))
    );
    for line in [
        "tsugite_build_info{version=\"",
        "tsugite_process_resident_bytes ",
        "tsugite_process_open_fds ",
        "tsugite_queue_messages{queue=\"q\",account=\"000000000000\",region=\"us-east-1\",state=\"visible\"} 0",
        "tsugite_queue_oldest_age_seconds{queue=\"q\",account=\"000000000000\",region=\"us-east-1\"} 0",
        "tsugite_queue_sent_total{queue=\"q\",account=\"000000000000\",region=\"us-east-1\"} 0",
        "tsugite_queue_dead_lettered_total{queue=\"q\",account=\"000000000000\",region=\"us-east-1\"} 0",
        "tsugite_topic_subscriptions{topic=\"t\",account=\"000000000000\",region=\"us-east-1\",state=\"pending\"} 0",
        "tsugite_topic_published_total{topic=\"t\",account=\"000000000000\",region=\"us-east-1\"} 0",
        "tsugite_outbox_messages{topic=\"t\",account=\"000000000000\",region=\"us-east-1\",state=\"waiting\"} 0",
        "tsugite_outbox_oldest_age_seconds{topic=\"t\",account=\"000000000000\",region=\"us-east-1\"} 0",
        "tsugite_log_sync_duration_seconds_count ",
        "tsugite_aws_requests_total{service=\"sqs\",action=\"SendMessage\",outcome=\"succeeded\"} 0",
        "tsugite_gateway_connections 0",
    ] {
        assert!(
            answer.body.lines().any(|have| have.starts_with(line)),
            "{line}\n{}",
            answer.body
        );
    }
    for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(
            name.starts_with("tsugite_") && value.parse::<f64>().is_ok(),
            "{line}"
        );
    }
}

#[test]
fn the_console_is_whole_and_closed() {
    let running = Running::start("", &[]);
    let answer = running.admin("GET", "/", None).expect(200);
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(
        answer
            .header("content-security-policy")
            .is_some_and(|policy| policy.contains("default-src 'none'"))
    );
    assert!(answer.body.ends_with("</script>\n"));
    for foreign in ["http://", "https://", "src="] {
        assert!(!answer.body.contains(foreign), "{foreign}");
    }
    let head = running.admin("HEAD", "/", None).expect(200);
    assert_eq!(head.body, "");
}

#[test]
fn the_command_line_shows_what_the_api_says() {
    let running = Running::start(
        "queues: [{name: q}]\ntopics: [{name: t, subscriptions: [{queue: q}]}]\n\
         services: [{name: s, instances: [{id: one, address: 127.0.0.1, port: 9}]}]\n",
        &[],
    );
    let admin = running.address("admin").to_string();
    let ask = |arguments: &[&str]| {
        let (code, stdout, stderr) = finish(command().env("TSUGITE_ADMIN", &admin).args(arguments));
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        stdout
    };
    assert_eq!(
        ask(&["queues"]),
        "QUEUE  DEPTH  IN FLIGHT  DELAYED  OLDEST MS  SENT/S  RECEIVED/S  DELETED/S\n\
         q      0      0          0        -          0.0     0.0         0.0\n"
    );
    assert_eq!(ask(&["queues", "ls", "--account", "111111111111"]), "no queues\n");
    let (code, _, stderr) = finish(command().args(["queues", "ls", "--account", "12"]));
    assert!(code == 2 && stderr.contains("twelve digits"), "{stderr}");
    assert_eq!(
        ask(&["topics", "ls"]),
        "TOPIC  SUBSCRIPTIONS  PENDING  TO POST  PUBLISHED/S  DELIVERED/S  FAILED/S\n\
         t      1              0        0        0.0          0.0          0.0\n"
    );
    assert_eq!(
        ask(&["services", "ls"]),
        "SERVICE  NAMESPACE  INSTANCES  REVISION\ns        internal   1          1\n"
    );
    assert!(ask(&["services", "show", "s"]).contains("\none       127.0.0.1:9  "));
    let (code, _, stderr) = finish(command().args(["topics", "ls", "--json", "--admin", &admin]));
    assert_eq!(code, 0, "flags may follow the command: {stderr}");
    let shown: Value = serde_json::from_str(&ask(&["queues", "--json", "show", "q"])).unwrap();
    assert_eq!(shown["name"], "q");
    let (code, _, stderr) = finish(
        command()
            .env("TSUGITE_ADMIN", &admin)
            .args(["queues", "show", "none"]),
    );
    assert_eq!(code, 1);
    assert!(
        stderr.starts_with("tsugite: Not found (404): no queue `none`"),
        "{stderr}"
    );
    let (code, _, stderr) = finish(command().args(["queues", "--admin", "127.0.0.1:1"]));
    assert_eq!(
        (code, stderr.contains("is `tsugite up` running there?")),
        (1, true),
        "{stderr}"
    );
}

#[test]
fn a_circuit_is_overridden_and_reset() {
    let mut running = Running::start("", &[]);
    let body = json!({"address": "127.0.0.1", "port": 9});
    running
        .admin("PUT", "/v1/instances/internal/orders/1", Some(body))
        .expect(201);
    let circuit = "/v1/circuits/orders.internal";
    running.wait_for("the circuit", |running| {
        (running.admin("GET", circuit, None).status == 200).then_some(())
    });
    let state = |answer: support::Answer| answer.expect(200).json()["state"].as_str().unwrap().to_owned();
    let wish = |wish: Value| running.admin("PUT", &format!("{circuit}/override"), Some(wish));
    assert_eq!(state(running.admin("GET", circuit, None)), "closed");
    assert_eq!(
        state(wish(json!({"state": "forced_open", "note": "maintenance"}))),
        "forced_open"
    );
    let listed = running
        .admin("GET", "/v1/circuits?state=forced_open", None)
        .json();
    assert_eq!(listed["circuits"][0]["override"]["note"], "maintenance");
    assert_eq!(
        state(running.admin("DELETE", &format!("{circuit}/override"), None)),
        "closed"
    );
    assert_eq!(
        state(wish(
            json!({"state": "disabled", "expires_at": "2999-01-01T00:00:00Z"})
        )),
        "disabled"
    );
    assert_eq!(
        state(running.admin("POST", &format!("{circuit}/reset"), None)),
        "closed"
    );
    for bad in [
        json!({"state": "ajar"}),
        json!({"state": "forced_open", "expires_at": "1999-01-01T00:00:00Z"}),
        json!({"state": "forced_open", "expires_at": "soon"}),
        json!({}),
    ] {
        wish(bad).expect(400);
    }
    let admin = running.address("admin").to_string();
    for (action, expected) in [("open", "forced_open"), ("close", "closed")] {
        let (code, _, stderr) =
            finish(command().args(["circuits", "--admin", &admin, action, "orders.internal"]));
        assert_eq!(code, 0, "{stderr}");
        assert_eq!(state(running.admin("GET", circuit, None)), expected);
    }
}
