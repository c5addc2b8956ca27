//! Topics on the admin port and the command line: over real sockets, and as a person types them.

mod support;

use serde_json::{Value, json};
use support::{Answer, Running, command, finish};

const QUEUES: &str = "queues: [{name: kitchen}, {name: books}, {name: lost}]\n";

fn post(running: &Running, path: &str, body: Value) -> Answer {
    running.admin("POST", path, Some(body))
}

#[test]
fn a_topic_is_created_found_changed_and_removed() {
    let running = Running::start("", &[]);
    let path = "/v1/topics/orders";
    let body = json!({"attributes": {"DisplayName": "Orders"}, "tags": {"team": "kitchen"}});
    let created = running.admin("PUT", path, Some(body.clone())).expect(201).json();
    assert_eq!(created["arn"], "arn:aws:sns:us-east-1:000000000000:orders");
    running.admin("PUT", path, Some(body)).expect(200);
    running.admin("PUT", path, None).expect(200);
    let differs = json!({"attributes": {"DisplayName": "Others"}});
    let problem = running.admin("PUT", path, Some(differs)).expect(409).json();
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("different attributes"),
        "{problem}"
    );
    let shown = running.admin("GET", path, None).expect(200).json();
    assert_eq!(shown["attributes"]["DisplayName"], "Orders");
    assert_eq!(shown["tags"], json!({"team": "kitchen"}));
    let fifo = running
        .admin("PUT", "/v1/topics/line.fifo", None)
        .expect(201)
        .json();
    assert_eq!(fifo["fifo"], true);
    let bad = json!({"attributes": {"Color": "red"}});
    running.admin("PUT", "/v1/topics/other", Some(bad)).expect(400);
    running.admin("PUT", "/v1/topics/a%20b", None).expect(400);
    let other = "/v1/topics/far?account=111111111111&region=eu-west-1";
    running.admin("PUT", other, None).expect(201);
    running.admin("GET", "/v1/topics/far", None).expect(404);
    let listed = running.admin("GET", "/v1/topics", None).expect(200).json();
    let links: Vec<&Value> = listed["topics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|topic| &topic["_links"]["self"]["href"])
        .collect();
    assert_eq!(links, ["/v1/topics/line.fifo", "/v1/topics/orders", other]);
    let one = running
        .admin("GET", "/v1/topics?region=eu-west-1", None)
        .expect(200);
    assert_eq!(one.json()["topics"].as_array().unwrap().len(), 1);
    running.admin("DELETE", path, None).expect(200);
    running.admin("DELETE", path, None).expect(404);
}

#[test]
fn what_is_published_reaches_subscriptions_and_is_counted() {
    let running = Running::start(&format!("{QUEUES}topics: [{{name: t}}]\n"), &[]);
    let subscriptions = "/v1/topics/t/subscriptions";
    let kitchen = post(&running, subscriptions, json!({"queue": "kitchen", "raw": true}))
        .expect(201)
        .json();
    assert_eq!(kitchen["lag"], 0);
    post(&running, subscriptions, json!({"queue": "kitchen"})).expect(200);
    let differs = json!({"queue": "kitchen", "raw": false});
    let problem = post(&running, subscriptions, differs).expect(400).json();
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("different attributes"),
        "{problem}"
    );
    let lost = "arn:aws:sqs:us-east-1:000000000000:lost";
    post(&running, subscriptions, json!({"endpoint": lost})).expect(201);
    running.admin("DELETE", "/v1/queues/lost", None).expect(200);
    let published = post(&running, "/v1/topics/t/messages", json!({"message": "hi"}))
        .expect(201)
        .json();
    assert_eq!(
        (&published["deliveries"], &published["undeliverable"]),
        (&json!(1), &json!(1))
    );
    let shown = running.admin("GET", "/v1/topics/t", None).expect(200).json();
    assert_eq!(
        shown["since_start"],
        json!({"published": 1, "delivered": 1, "failed": 1})
    );
    let own = format!("{subscriptions}/{}", kitchen["id"].as_str().unwrap());
    let kitchen = running.admin("GET", &own, None).expect(200).json();
    assert_eq!((&kitchen["lag"], &kitchen["waiting"]), (&json!(1), &json!(1)));
    assert_eq!(kitchen["attributes"]["RawMessageDelivery"], "true");
    assert_eq!(kitchen["_links"]["queue"]["href"], "/v1/queues/kitchen");
    let metrics = running.admin("GET", "/metrics", None).expect(200).body;
    for (name, count) in [("published", 1), ("delivered", 1), ("failed", 1)] {
        let line = format!(
            "tsugite_topic_{name}_total{{topic=\"t\",account=\"000000000000\",region=\"us-east-1\"}} {count}\n"
        );
        assert!(metrics.contains(&line), "{line}\n{metrics}");
    }
    running.admin("DELETE", &own, None).expect(200);
    running.admin("DELETE", &own, None).expect(404);
    running.admin("GET", &own, None).expect(404);
    let rest = running.admin("GET", subscriptions, None).expect(200).json();
    assert_eq!(rest["subscriptions"][0]["endpoint"], lost);
    assert_eq!(rest["subscriptions"].as_array().unwrap().len(), 1);
}

#[test]
fn pages_of_subscriptions_lead_on() {
    let queues: Vec<String> = (0..5).map(|n| format!("{{name: q{n}}}")).collect();
    let subscribed: Vec<String> = (0..5).map(|n| format!("{{queue: q{n}}}")).collect();
    let config = format!(
        "queues: [{}]\ntopics: [{{name: t, subscriptions: [{}]}}]\n",
        queues.join(", "),
        subscribed.join(", ")
    );
    let running = Running::start(&config, &[]);
    let mut next = Some("/v1/topics/t/subscriptions?limit=2".to_owned());
    let (mut pages, mut endpoints) = (0, std::collections::BTreeSet::new());
    while let Some(path) = next {
        let page = running.admin("GET", &path, None).expect(200).json();
        let here = page["subscriptions"].as_array().unwrap();
        endpoints.extend(here.iter().map(|s| s["endpoint"].as_str().unwrap().to_owned()));
        next = page["_links"]["next"]["href"].as_str().map(str::to_owned);
        pages += 1;
    }
    assert_eq!((pages, endpoints.len()), (3, 5));
    for bad in ["limit=0", "limit=1001", "limit=x", "after=here", "color=red"] {
        running
            .admin("GET", &format!("/v1/topics/t/subscriptions?{bad}"), None)
            .expect(400);
    }
}

#[test]
fn a_dry_run_says_who_would_get_a_message_and_why_not() {
    let running = Running::start(&format!("{QUEUES}topics: [{{name: t}}]\n"), &[]);
    let subscriptions = "/v1/topics/t/subscriptions";
    post(&running, subscriptions, json!({"queue": "kitchen"})).expect(201);
    let filtered =
        json!({"queue": "books", "filter_policy": {"kind": ["order"], "price": [{"numeric": [">", 10]}]}});
    post(&running, subscriptions, filtered).expect(201);
    post(&running, subscriptions, json!({"queue": "lost"})).expect(201);
    post(&running, subscriptions, json!({"endpoint": "a@b.example"})).expect(201);
    running.admin("DELETE", "/v1/queues/lost", None).expect(200);
    let ask = |attributes: Value| {
        let body = json!({"message": "hi", "attributes": attributes});
        post(&running, "/v1/topics/t/matches", body).expect(200).json()
    };
    let reasons = |answer: &Value, endpoint: &str| {
        let all = answer["subscriptions"].as_array().unwrap();
        let found = all
            .iter()
            .find(|s| s["endpoint"].as_str().unwrap().ends_with(endpoint))
            .unwrap();
        assert_eq!(found["matches"], found["reasons"] == json!([]), "{found}");
        found["reasons"].to_string()
    };
    let answer = ask(json!({"kind": "order", "price": 12}));
    assert_eq!(
        (&answer["matching"], &answer["looked_at"], &answer["all"]),
        (&json!(2), &json!(4), &json!(4))
    );
    assert_eq!(
        (reasons(&answer, "kitchen"), reasons(&answer, "books")),
        ("[]".into(), "[]".into())
    );
    assert!(reasons(&answer, "lost").contains("does not exist"), "{answer}");
    assert!(
        reasons(&answer, "a@b.example").contains("did not confirm"),
        "{answer}"
    );
    let answer = ask(json!({"kind": "order", "price": 9}));
    assert_eq!(answer["matching"], 1);
    assert!(reasons(&answer, "books").contains("price"), "{answer}");
    let answer = ask(json!({"price": {"type": "Number", "value": "12"}}));
    assert!(reasons(&answer, "books").contains("kind"), "{answer}");
    let shown = running.admin("GET", "/v1/topics/t", None).expect(200).json();
    assert_eq!(
        shown["since_start"]["published"], 0,
        "a dry run publishes nothing"
    );
    let few = post(&running, "/v1/topics/t/matches?limit=1", json!({"message": "hi"}))
        .expect(200)
        .json();
    assert_eq!((&few["looked_at"], &few["all"]), (&json!(1), &json!(4)));
}

#[test]
fn mistakes_are_told() {
    let running = Running::start(&format!("{QUEUES}topics: [{{name: t}}, {{name: l.fifo}}]\n"), &[]);
    for (path, body, told) in [
        ("/v1/topics/t/messages", json!({}), "missing field `message`"),
        ("/v1/topics/t/messages", json!({"message": ""}), "Empty message"),
        (
            "/v1/topics/t/messages",
            json!({"message": "x", "group": 3}),
            "expected a string",
        ),
        (
            "/v1/topics/t/messages",
            json!({"message": "x", "attributes": {"a": true}}),
            "`a`",
        ),
        (
            "/v1/topics/t/messages",
            json!({"message": "x", "attributes": {"a": {"type": "Binary", "value": "%"}}}),
            "base64",
        ),
        (
            "/v1/topics/t/messages",
            json!({"message": "x", "structured": true}),
            "Message Structure",
        ),
        (
            "/v1/topics/t/messages",
            json!({"message": "x", "deduplication_id": "d"}),
            "MessageDeduplicationId",
        ),
        (
            "/v1/topics/l.fifo/messages",
            json!({"message": "x"}),
            "MessageGroupId",
        ),
        (
            "/v1/topics/t/matches",
            json!({"message": "x", "subject": ""}),
            "Subject",
        ),
        (
            "/v1/topics/t/subscriptions",
            json!({}),
            "either `queue` or `endpoint`",
        ),
        (
            "/v1/topics/t/subscriptions",
            json!({"queue": "none"}),
            "no queue `none`",
        ),
        (
            "/v1/topics/t/subscriptions",
            json!({"endpoint": "somewhere"}),
            "`somewhere`",
        ),
        (
            "/v1/topics/t/subscriptions",
            json!({"endpoint": "x", "protocol": "lambda"}),
            "lambda",
        ),
        (
            "/v1/topics/t/subscriptions",
            json!({"queue": "kitchen", "filter_policy": {"a": [{"like": "x"}]}}),
            "FilterPolicy",
        ),
        (
            "/v1/topics/t/subscriptions",
            json!({"queue": "kitchen", "color": 1}),
            "color",
        ),
    ] {
        let problem = post(&running, path, body.clone()).expect(400).json();
        assert!(
            problem["detail"].as_str().unwrap().contains(told),
            "{path} {body}: {problem}"
        );
    }
    for path in [
        "/v1/topics/none/messages",
        "/v1/topics/none/matches",
        "/v1/topics/none/subscriptions",
    ] {
        post(&running, path, json!({"message": "x"})).expect(404);
    }
    running.admin("GET", "/v1/topics/t/messages", None).expect(405);
}

#[test]
fn mail_is_captured_and_its_link_confirms() {
    let running = Running::start("topics: [{name: t}]\n", &[]);
    assert_eq!(
        running.admin("GET", "/v1/captured", None).expect(200).json()["captured"],
        json!([])
    );
    let subscriptions = "/v1/topics/t/subscriptions";
    let pending = post(&running, subscriptions, json!({"endpoint": "a@b.example"}))
        .expect(201)
        .json();
    assert_eq!(pending["pending"], true);
    post(&running, subscriptions, json!({"endpoint": "+4712345678"})).expect(201);
    let (ask_admin, admin) = (
        |path| running.admin("GET", path, None).expect(200).json(),
        running.address("admin"),
    );
    let mails = ask_admin("/v1/captured?recipient=a%40b.example");
    let link = mails["captured"][0]["confirmation_url"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(mails["captured"][0]["text"], Value::Null, "a token is no text");
    let ask = |arguments: &[&str]| {
        let (code, stdout, stderr) =
            finish(command().env("TSUGITE_ADMIN", admin.to_string()).args(arguments));
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        stdout
    };
    assert!(ask(&["captured"]).contains(&format!("asks to confirm the subscription: curl '{link}'\n")));
    let path = link.split_once(&running.address("aws").to_string()).unwrap().1;
    support::request(running.address("aws"), "GET", path, &[], "").expect(200);
    let shown = ask_admin("/v1/topics/t");
    assert_eq!(
        (&shown["subscription_count"], &shown["pending_count"]),
        (&json!(2), &json!(0))
    );
    assert!(
        ask(&["topics", "publish", "t", "soup is ready", "--subject", "Lunch"])
            .ends_with("to 2 subscriptions\n")
    );
    let all = ask_admin("/v1/captured");
    assert_eq!(all["captured"].as_array().unwrap().len(), 3);
    let text = ask(&["captured", "--recipient", "+4712345678"]);
    assert!(
        text.contains("sms to +4712345678  from t\nsubject: Lunch\nsoup is ready\n"),
        "{text}"
    );
    assert_eq!(
        ask_admin("/v1/captured?limit=1")["captured"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    for bad in ["limit=0", "limit=1001", "to=x"] {
        running
            .admin("GET", &format!("/v1/captured?{bad}"), None)
            .expect(400);
    }
}

#[test]
fn the_command_line_steers_topics() {
    let running = Running::start(QUEUES, &[]);
    let admin = running.address("admin").to_string();
    let run = |arguments: &[&str]| {
        finish(
            command()
                .env("TSUGITE_ADMIN", &admin)
                .arg("topics")
                .args(arguments),
        )
    };
    let ask = |arguments: &[&str]| {
        let (code, stdout, stderr) = run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        stdout
    };
    let refused = |arguments: &[&str], expected: i32, told: &str| {
        let (code, _, stderr) = run(arguments);
        assert!(
            code == expected && stderr.contains(told),
            "{arguments:?}: {code} {stderr}"
        );
    };
    assert_eq!(ask(&[]), "no topics\n");
    assert_eq!(
        ask(&["create", "t", "--tag", "a=b"]),
        "arn:aws:sns:us-east-1:000000000000:t\n"
    );
    assert!(ask(&["show", "t"]).ends_with("tags:\n  a: b\nno subscriptions\n"));
    assert!(
        ask(&["subscribe", "t", "kitchen", "--raw"]).starts_with("arn:aws:sns:us-east-1:000000000000:t:")
    );
    ask(&["subscribe", "t", "books", "--filter", r#"{"kind": ["order"]}"#]);
    assert!(ask(&["subscribe", "t", "a@b.example"]).contains("`tsugite captured` shows the link"));
    let shown = ask(&["show", "t"]);
    let header = "SUBSCRIPTION                          PROTOCOL  ENDPOINT";
    assert!(
        shown.contains(header) && shown.contains("{\"kind\":[\"order\"]}"),
        "{shown}"
    );
    let dry = ask(&["match", "t", "hi", "--attribute", "kind=bill"]);
    assert!(dry.starts_with("GETS IT  PROTOCOL  ENDPOINT"), "{dry}");
    assert!(dry.ends_with("1 of 3 subscriptions would get it\n"), "{dry}");
    assert!(ask(&["publish", "t", "hi", "--attribute", "kind=order"]).ends_with("to 2 subscriptions\n"));
    assert_eq!(
        ask(&["unsubscribe", "t", "books"]),
        "arn:aws:sqs:us-east-1:000000000000:books gets nothing more from t\n"
    );
    assert!(
        ask(&["ls"])
            .lines()
            .nth(1)
            .unwrap()
            .starts_with("t      1              1        0 "),
        "{}",
        ask(&["ls"])
    );
    let json: Value = serde_json::from_str(&ask(&["show", "t", "--json"])).unwrap();
    assert_eq!(json["since_start"]["delivered"], 2);
    refused(
        &["unsubscribe", "t", "books"],
        1,
        "`tsugite topics show t` lists them",
    );
    refused(&["show", "none"], 1, "no topic `none`");
    refused(
        &["publish", "t", "x", "--attribute", "kind"],
        2,
        "NAME[:TYPE]=VALUE",
    );
    refused(
        &["subscribe", "t", "books", "--filter", "{"],
        2,
        "--filter: this is not JSON",
    );
    refused(&["rm", "t"], 2, "its 2 subscriptions");
    assert_eq!(ask(&["rm", "t", "--yes"]), "t is gone\n");
}

#[test]
fn an_endpoint_in_trouble_is_shown_with_its_next_try() {
    let running = Running::start("topics: [{name: t}]\n", &[]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/hook", listener.local_addr().unwrap());
    drop(listener);
    let subscribed = post(
        &running,
        "/v1/topics/t/subscriptions",
        json!({"endpoint": endpoint}),
    )
    .expect(201)
    .json();
    assert_eq!(
        (&subscribed["pending"], &subscribed["protocol"]),
        (&json!(true), &json!("http"))
    );
    let own = subscribed["_links"]["self"]["href"].as_str().unwrap().to_owned();
    let mut running = running;
    let delivery = running.wait_for("a failed try", |running| {
        let shown = running.admin("GET", &own, None).expect(200).json();
        shown["deliveries"]["next_try"]
            .is_string()
            .then(|| shown["deliveries"].clone())
    });
    assert_eq!(
        (&delivery["attempts"], &delivery["failures"]),
        (&json!(1), &json!(1))
    );
    assert!(delivery["last_error"].is_string(), "{delivery}");
    let admin = running.address("admin").to_string();
    let (code, stdout, _) = finish(
        command()
            .env("TSUGITE_ADMIN", &admin)
            .args(["topics", "show", "t"]),
    );
    assert!(
        code == 0 && stdout.contains(&format!("{endpoint}: ")) && stdout.contains("next try 20"),
        "{stdout}"
    );
    let metrics = running.admin("GET", "/metrics", None).expect(200).body;
    let waiting = "tsugite_outbox_messages{topic=\"t\",account=\"000000000000\",region=\"us-east-1\",state=\"in_flight\"} 1\n";
    assert!(metrics.contains(waiting), "{metrics}");
}
