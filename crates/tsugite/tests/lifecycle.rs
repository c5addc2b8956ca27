//! Start, stop, reload: the program as a process.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{Home, Running, command, finish, gone};

#[test]
fn it_starts_says_where_it_is_and_stops() {
    let running = Running::start("", &[]);
    let keys: Vec<&String> = running.ready.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["pid", "gateway", "aws", "admin", "dns", "xds"]);
    assert_eq!(running.ready["pid"], running.child.id());
    assert!(running.ready["xds"].is_null());
    let ready_file = running.ready_file();
    assert_eq!(running.admin("GET", "/readyz", None).status, 200);
    let log = running.log();
    for role in ["gateway", "aws", "admin", "dns"] {
        assert!(log.contains(&running.address(role).to_string()), "{role}: {log}");
    }
    assert_eq!(running.stop().code(), Some(0));
    assert!(gone(&ready_file));
}

#[test]
fn a_ready_file_that_a_killed_process_left_behind_goes_first() {
    let mut running = Running::start("", &[]);
    running.child.kill().unwrap();
    running.wait();
    let home = std::mem::replace(&mut running.home, Home::new());
    assert!(home.0.join("ready.json").exists(), "nobody could remove it");
    // The declared queue is refused, so the second process never serves; the stale file must not say that it does.
    let bad = home.file("bad.yaml", "topics: [{name: t, subscriptions: [{queue: q, raw: true}]}]\nqueues: [{name: q, attributes: {RedrivePolicy: {deadLetterTargetArn: \"arn:aws:sqs:us-east-1:000000000000:none\", maxReceiveCount: 1}}}]\n");
    let (code, _, stderr) = finish(
        command()
            .arg("up")
            .arg("-c")
            .arg(&bad)
            .arg("--data")
            .arg(home.0.join("data"))
            .arg("--ready-file")
            .arg(home.0.join("ready.json"))
            .args([
                "--gateway",
                "off",
                "--aws",
                "off",
                "--admin",
                "off",
                "--dns",
                "off",
            ]),
    );
    assert_eq!((code, gone(&home.0.join("ready.json"))), (1, true), "{stderr}");
}

#[test]
fn roles_can_be_off() {
    let running = Running::start("", &["--gateway", "off", "--aws", "off", "--dns", "off"]);
    for role in ["gateway", "aws", "dns"] {
        assert!(running.ready[role].is_null(), "{role}");
    }
    assert_eq!(running.admin("GET", "/healthz", None).status, 200);
    running.admin("GET", "/v1/circuits/a.internal", None).expect(404);
    assert_eq!(running.stop().code(), Some(0));
}

#[test]
fn the_environment_wins_over_the_file_and_a_flag_over_both() {
    let home = Home::new();
    let file = home.file("t.yaml", "listen: {gateway: nonsense}\n");
    let check = |environment: &str, flags: &[&str]| {
        let mut command = command();
        command
            .env("TSUGITE_GATEWAY", environment)
            .env("TSUGITE_STORE", "stop-here");
        finish(command.arg("up").arg("-c").arg(&file).args(flags)).2
    };
    assert!(check("also-nonsense", &[]).contains("`also-nonsense`"));
    assert!(check("also-nonsense", &["--gateway", "flagged-nonsense"]).contains("`flagged-nonsense`"));
    let fine = check("127.0.0.1:0", &[]);
    assert!(!fine.contains("nonsense") && fine.contains("stop-here"), "{fine}");
}

#[test]
fn bad_usage_and_bad_configurations_exit_with_2() {
    let home = Home::new();
    let bad = home.file("bad.yaml", "listen:\n  gatway: off\n");
    let bad = bad.to_str().unwrap();
    let data = home.0.join("data");
    for (arguments, told) in [
        (
            vec!["up", "-c", bad],
            format!("tsugite: {bad}:2:3: unknown key `gatway`; did you mean `gateway`?\n"),
        ),
        (
            vec!["check", "-c", bad],
            format!("tsugite: {bad}:2:3: unknown key `gatway`; did you mean `gateway`?\n"),
        ),
        (
            vec!["check", "-c", "/nonexistent.yaml"],
            "tsugite: /nonexistent.yaml: cannot be read".into(),
        ),
        (
            vec!["up", "--store", "postgres://x/y"],
            "tsugite: --store: the PostgreSQL store is not supported yet".into(),
        ),
        (
            vec!["up", "--xds", "127.0.0.1:0"],
            "tsugite: --xds: the xDS role is not supported yet".into(),
        ),
        (
            vec!["up", "--aws-auth", "strict"],
            "tsugite: --aws-auth: this asks for signatures, but there are no keys".into(),
        ),
        (
            vec!["up", "--admin", "0.0.0.0:0"],
            "tsugite: --admin: 0.0.0.0:0 can be reached from other machines".into(),
        ),
        (
            vec!["repair"],
            "error: the following required arguments were not provided".into(),
        ),
        (vec!["fly"], "error: unrecognized subcommand 'fly'".into()),
        (vec!["up", "--fly"], "error: unexpected argument '--fly'".into()),
    ] {
        let (code, _, stderr) = finish(command().env("TSUGITE_DATA", &data).args(&arguments));
        assert_eq!(code, 2, "{arguments:?}: {stderr}");
        assert!(stderr.starts_with(&told), "{arguments:?}: {stderr}");
    }
    assert!(
        gone(&data),
        "nothing may be made before the configuration is good"
    );
}

#[test]
fn a_port_in_use_is_named_with_its_flag() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    let home = Home::new();
    let off = [
        "--gateway",
        "off",
        "--aws",
        "off",
        "--admin",
        "off",
        "--dns",
        "off",
    ];
    for role in ["--gateway", "--aws", "--admin", "--dns"] {
        let mut flags: Vec<&str> = off.to_vec();
        let at = flags.iter().position(|flag| *flag == role).unwrap();
        flags[at + 1] = &address;
        let (code, _, stderr) = finish(command().current_dir(&home.0).arg("up").args(&flags));
        assert_eq!(code, 1, "{stderr}");
        let told = format!("tsugite: cannot listen on {address} ({role}): the port is in use");
        assert!(stderr.contains(&told), "{stderr}");
    }
}

#[test]
fn a_second_process_cannot_have_the_same_data_or_ports() {
    let running = Running::start("", &[]);
    let data = running.home.0.join("data");
    let (code, _, stderr) = finish(command().arg("up").arg("--data").arg(&data).args([
        "--gateway",
        "off",
        "--aws",
        "off",
        "--admin",
        "off",
        "--dns",
        "off",
    ]));
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains(&running.child.id().to_string()),
        "names the process: {stderr}"
    );
    // The workers share their ports with each other, but with no other process.
    let gateway = running.address("gateway").to_string();
    let (code, _, stderr) = finish(command().current_dir(&running.home.0).args([
        "up",
        "--gateway",
        &gateway,
        "--aws",
        "off",
        "--admin",
        "off",
        "--dns",
        "off",
    ]));
    assert_eq!(
        (code, stderr.contains("the port is in use")),
        (1, true),
        "{stderr}"
    );
}

#[test]
fn a_data_directory_that_cannot_be_made_is_named() {
    let home = Home::new();
    let file = home.file("file", "");
    let data = file.join("data");
    let (code, _, stderr) = finish(command().arg("up").arg("--data").arg(&data).args([
        "--gateway",
        "off",
        "--aws",
        "off",
        "--admin",
        "127.0.0.1:0",
        "--dns",
        "off",
    ]));
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains(data.to_str().unwrap()), "{stderr}");
}

#[test]
fn what_was_declared_survives_a_restart_and_a_difference_is_refused() {
    let declared = "queues: [{name: q, attributes: {VisibilityTimeout: 30}}]\n";
    let mut running = Running::start(declared, &[]);
    assert_eq!(
        running.admin("GET", "/v1/queues/q", None).expect(200).json()["depth"],
        0
    );
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code(), Some(0));
    let data = running.home.0.join("data");
    let different = running.home.file(
        "different.yaml",
        "queues: [{name: q, attributes: {VisibilityTimeout: 31}}]\n",
    );
    let (code, _, stderr) = finish(
        command()
            .arg("up")
            .arg("-c")
            .arg(&different)
            .arg("--data")
            .arg(&data)
            .args([
                "--gateway",
                "off",
                "--aws",
                "off",
                "--admin",
                "off",
                "--dns",
                "off",
            ]),
    );
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("the configuration declares the queue `q`, but"),
        "{stderr}"
    );
    assert!(stderr.contains("VisibilityTimeout"), "{stderr}");
}

/// A connection whose request is half there keeps its port busy until it is whole or time is up.
#[test]
fn a_stop_lets_calls_under_way_finish() {
    let mut running = Running::start("drain_timeout: 10s\n", &[]);
    let mut stream = TcpStream::connect(running.address("admin")).unwrap();
    stream
        .write_all(
            b"PUT /v1/instances/internal/orders/1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 38\r\n\r\n",
        )
        .unwrap();
    // The server must have begun with the request before the signal: it answers this one on the way.
    running.admin("GET", "/healthz", None).expect(200);
    running.signal(Signal::TERM);
    running.wait_for("the drain to begin", |running| {
        running.log().contains("stopping").then_some(())
    });
    stream
        .write_all(b"{\"address\": \"127.0.0.1\", \"port\": 9000}")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(running.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once_and_time_up_ends_too() {
    let hang = |running: &Running| {
        let mut stream = TcpStream::connect(running.address("admin")).unwrap();
        stream
            .write_all(b"PUT /v1/instances/internal/orders/1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n")
            .unwrap();
        running.admin("GET", "/healthz", None).expect(200);
        stream
    };
    let mut running = Running::start("drain_timeout: 1h\n", &[]);
    let held = hang(&running);
    let begin = Instant::now();
    running.signal(Signal::INT);
    running.wait_for("the drain to begin", |running| {
        running.log().contains("stopping").then_some(())
    });
    running.signal(Signal::INT);
    assert_eq!(running.wait().code(), Some(0));
    assert!(
        begin.elapsed() < Duration::from_secs(8),
        "the body's own time limit must not be what ended it"
    );
    drop(held);

    let mut running = Running::start("drain_timeout: 200ms\n", &[]);
    let held = hang(&running);
    let begin = Instant::now();
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code(), Some(0));
    assert!(begin.elapsed() >= Duration::from_millis(200));
    assert!(begin.elapsed() < Duration::from_secs(8));
    assert!(
        running.log().contains("did not finish in time"),
        "{}",
        running.log()
    );
    drop(held);
}

#[test]
fn a_good_configuration_is_taken_on_sighup_and_a_bad_one_is_not() {
    let mut running = Running::start("queues: [{name: a}]\n", &[]);
    let names = |running: &Running| -> Vec<String> {
        let queues = running.admin("GET", "/v1/queues", None).json();
        let queues = queues["queues"].as_array().unwrap();
        queues
            .iter()
            .map(|queue| queue["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&running), ["a"]);

    let rewrite = |running: &Running, config: &str| {
        // Replaced in one step, as editors and orchestrators do.
        let beside = running.home.file("beside", config);
        fs::rename(beside, running.config()).unwrap();
        running.signal(Signal::HUP);
    };
    rewrite(&running, "queues: [{name: a}, {name: b}]\nworkers: 7\n");
    running.wait_for("the new queue", |running| {
        (names(running) == ["a", "b"]).then_some(())
    });
    running.wait_for("the warning", |running| {
        running.log().contains("workers").then_some(())
    });

    rewrite(&running, "queues: [{name: a}, {name: c}]\nquues: []\n");
    running.wait_for("the complaint", |running| {
        running.log().contains("unknown key `quues`").then_some(())
    });
    rewrite(
        &running,
        "queues: [{name: a, attributes: {VisibilityTimeout: 1}}]\n",
    );
    running.wait_for("the complaint", |running| {
        running.log().contains("declares the queue `a`").then_some(())
    });
    assert_eq!(names(&running), ["a", "b"]);
    let metrics = running.admin("GET", "/metrics", None).body;
    assert!(
        metrics.contains("tsugite_config_reloads_total{outcome=\"refused\"} 1"),
        "{metrics}"
    );
    assert_eq!(running.stop().code(), Some(0));
}

#[test]
fn a_changed_file_is_taken_without_a_signal() {
    let mut running = Running::start("", &[]);
    let beside = running.home.file("beside", "queues: [{name: noticed}]\n");
    fs::rename(beside, running.config()).unwrap();
    running.wait_for("the queue", |running| {
        (running.admin("GET", "/v1/queues/noticed", None).status == 200).then_some(())
    });
}

#[test]
fn instances_that_are_no_longer_declared_go() {
    let mut running = Running::start(
        "services: [{name: s, instances: [{id: x, address: 127.0.0.1, port: 1}, {id: y, address: 127.0.0.1, port: 2}]}]\n",
        &[],
    );
    running
        .admin("GET", "/v1/instances/internal/s/x", None)
        .expect(200);
    let beside = running.home.file(
        "beside",
        "services: [{name: s, instances: [{id: y, address: 127.0.0.1, port: 3}]}]\n",
    );
    fs::rename(beside, running.config()).unwrap();
    running.signal(Signal::HUP);
    running.wait_for("the end of x", |running| {
        (running.admin("GET", "/v1/instances/internal/s/x", None).status == 404).then_some(())
    });
    assert_eq!(
        running
            .admin("GET", "/v1/instances/internal/s/y", None)
            .expect(200)
            .json()["port"],
        3
    );
}

#[test]
fn a_stopped_store_can_be_verified_and_a_running_one_cannot() {
    let mut running = Running::start("queues: [{name: q}]\n", &[]);
    let data = running.home.0.join("data");
    let (code, _, stderr) = finish(command().arg("verify").arg(&data));
    assert_eq!(code, 1, "{stderr}");
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code(), Some(0));
    let (code, stdout, stderr) = finish(command().arg("verify").arg(&data));
    assert_eq!(
        (code, stdout.trim_end().ends_with("sound")),
        (0, true),
        "{stdout}{stderr}"
    );
    let nowhere = running.home.0.join("nowhere");
    let (code, _, _) = finish(command().arg("verify").arg(&nowhere));
    assert_eq!((code, nowhere.exists()), (1, false));
    let other = running.home.0.join("other");
    std::fs::create_dir(&other).unwrap();
    let (code, _, stderr) = finish(command().arg("verify").arg(&other));
    assert_eq!((code, stderr.contains("holds no store")), (1, true), "{stderr}");
    assert_eq!(
        std::fs::read_dir(&other).unwrap().count(),
        0,
        "verify changes nothing"
    );
}

#[test]
fn a_damaged_store_is_repaired_and_starts_again() {
    let mut running = Running::start("queues: [{name: q}]\n", &[]);
    let data = running.home.0.join("data");
    let (code, _, stderr) = finish(command().arg("repair").arg(&data));
    assert_eq!((code, stderr.contains("in use")), (1, true), "{stderr}");
    running.signal(Signal::TERM);
    assert_eq!(running.wait().code(), Some(0));
    let (code, stdout, _) = finish(command().arg("repair").arg(&data));
    assert_eq!(
        (code, stdout.starts_with("nothing to repair")),
        (0, true),
        "{stdout}"
    );

    let segment = data.join("log-0000000000000000");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[20] ^= 1;
    fs::write(&segment, &bytes).unwrap();
    assert_eq!(finish(command().arg("verify").arg(&data)).0, 1);
    let (code, stdout, stderr) = finish(command().args(["repair", "--json"]).arg(&data));
    assert_eq!(code, 0, "{stdout}{stderr}");
    let done: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&done["repaired"], &done["messages"]),
        (&true.into(), &0.into()),
        "{stdout}"
    );
    assert_eq!(done["damage"][0]["file"], "log-0000000000000000");
    assert_eq!(done["lost"], serde_json::json!([]));
    let kept = fs::read(data.join("log-0000000000000000.damaged-1")).unwrap();
    assert!(kept == bytes, "as it was");
    let (code, stdout, _) = finish(command().arg("verify").arg(&data));
    assert_eq!(code, 0, "{stdout}");
    let nowhere = data.join("nowhere");
    assert_eq!(finish(command().arg("repair").arg(&nowhere)).0, 1);
    assert!(!nowhere.exists());
    // It opens, and the queue is in it: a configuration that wants another one like it is refused.
    let different = running.home.file(
        "different.yaml",
        "queues: [{name: q, attributes: {VisibilityTimeout: 31}}]\n",
    );
    let mut up = command();
    up.arg("up").arg("-c").arg(&different).arg("--data").arg(&data);
    for role in ["--gateway", "--aws", "--admin", "--dns"] {
        up.args([role, "off"]);
    }
    let (code, _, stderr) = finish(&mut up);
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("the configuration declares the queue `q`, but"),
        "{stderr}"
    );
}

#[test]
fn a_subscription_to_a_queue_that_is_not_there_is_refused() {
    let home = Home::new();
    let config = home.file(
        "c.yaml",
        "topics: [{name: news, subscriptions: [{queue: inbx}]}]\n",
    );
    let data = home.0.join("data");
    let roles = [
        "--gateway",
        "off",
        "--aws",
        "off",
        "--admin",
        "127.0.0.1:0",
        "--dns",
        "off",
    ];
    let (code, _, stderr) = finish(
        command()
            .arg("up")
            .arg("-c")
            .arg(&config)
            .arg("--data")
            .arg(&data)
            .args(roles),
    );
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("a subscription of `inbx` to `news`"), "{stderr}");
}

#[test]
fn logs_can_be_json() {
    let running = Running::start("log: {format: json}\n", &[]);
    for line in running.log().lines() {
        let event: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            event["level"].is_string() && event["timestamp"].is_string(),
            "{line}"
        );
    }
    assert!(running.log().contains(&running.address("admin").to_string()));
}
