//! What each command runs.

use std::process::Command;

use crate::runner::Runner;
use crate::{cargo, install, root, target_dir};

/// Seconds for each fuzz target in CI.
const FUZZ_SMOKE_SECONDS: &str = "5";

/// Installs what is needed and runs every test.
pub(crate) fn test(runner: &mut Runner) {
    install::everything(runner);
    if !runner.all_passed() {
        return; // Without the clients, what follows would only drown the reason.
    }
    let exclude = ["--exclude", "tsugite-fuzz", "--exclude", "tsugite-bench"];
    let mut unit = Command::new(cargo());
    runner.run(
        "cargo test",
        unit.args(["test", "--locked", "--workspace", "--no-fail-fast"])
            .args(exclude),
    );
    fuzz(runner, FUZZ_SMOKE_SECONDS);
    if release_binary(runner) {
        pytest(runner, &[]);
    }
}

/// `test`, then what a reviewer would rather not look for.
pub(crate) fn ci(runner: &mut Runner) {
    let mut fmt = Command::new(cargo());
    runner.run("cargo fmt --check", fmt.args(["fmt", "--all", "--check"]));
    let mut clippy = Command::new(cargo());
    clippy.args([
        "clippy",
        "--locked",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ]);
    runner.run("cargo clippy", &mut clippy);
    tidy(runner);
    test(runner);
}

/// The walls.
pub(crate) fn tidy(runner: &mut Runner) {
    runner.check("tidy", || crate::tidy::problems(&root()));
}

/// The simulated disk under seeded crashes, for more histories than the test suite plays.
pub(crate) fn simulation(runner: &mut Runner, histories: &str) {
    let mut sim = Command::new(cargo());
    sim.args(["test", "--locked", "--release", "--package", "tsugite-sim"])
        .env("TSUGITE_SIM_SEEDS", histories);
    runner.run(&format!("simulation, {histories} histories"), &mut sim);
}

/// The queues against their models, for more commands than the test suite gives.
pub(crate) fn models(runner: &mut Runner, operations: &str) {
    let mut models = Command::new(cargo());
    models
        .args(["test", "--locked", "--release", "--package", "tsugite-broker"])
        .args(["--test", "model", "--test", "fifo_model", "--test", "topic_model"])
        .env("TSUGITE_MODEL_OPERATIONS", operations);
    runner.run(&format!("models, {operations} commands each"), &mut models);
}

/// Every fuzz target on stable Rust, each for `seconds`.
pub(crate) fn fuzz(runner: &mut Runner, seconds: &str) {
    let Ok(seconds_each) = seconds.parse::<u64>() else {
        runner.check("fuzz", || {
            vec![format!("--seconds {seconds}: not a whole number")]
        });
        return;
    };
    let mut fuzz = Command::new(cargo());
    fuzz.args(["test", "--locked", "--package", "tsugite-fuzz"]);
    fuzz.env("BOLERO_RANDOM_TEST_TIME_MS", (seconds_each * 1000).to_string());
    runner.run(&format!("fuzz, {seconds_each} s a target"), &mut fuzz);
}

/// The black-box tests, with pytest arguments of one's own.
pub(crate) fn conformance(runner: &mut Runner, arguments: &[&str]) {
    install::everything(runner);
    if runner.all_passed() && release_binary(runner) {
        pytest(runner, arguments);
    }
}

/// The program, and the checker that judges what clients of it have seen.
fn release_binary(runner: &mut Runner) -> bool {
    let mut build = Command::new(cargo());
    build.args(["build", "--locked", "--release"]);
    build.args(["--package", "tsugite", "--package", "tsugite-checker"]);
    runner.run("cargo build --release", &mut build)
}

fn pytest(runner: &mut Runner, arguments: &[&str]) {
    for (name, venv, only) in [
        ("conformance", install::venv(), None),
        // The same tests of SQS and SNS with the last SDK that spoke Query to both.
        (
            "conformance, Query protocol",
            install::query_venv(),
            Some("test_sqs_*.py test_sns_*.py"),
        ),
    ] {
        let mut pytest = Command::new(venv.join("bin/python"));
        pytest.args(["-m", "pytest", "conformance"]).args(arguments);
        if let Some(only) = only {
            pytest.arg("--override-ini").arg(format!("python_files={only}"));
            // Rounds of kill -9 and subscribers are about the server, whichever SDK loads it.
            pytest.args(["--ignore-glob=*kill9*", "--ignore-glob=*webhooks*"]);
        }
        pytest
            .env("PATH", install::tool_path())
            .env("PYTHONDONTWRITEBYTECODE", "1");
        pytest.env("TSUGITE_BIN", target_dir().join("release/tsugite"));
        runner.run(name, &mut pytest);
    }
}

/// Rounds of `kill -9` under load, recorded from outside.
pub(crate) fn kill9(runner: &mut Runner, rounds: &str) {
    if release_binary(runner) {
        let mut kill9 = Command::new("python3");
        kill9.args(["conformance/kill9.py", "--rounds", rounds, "--binary"]);
        kill9
            .arg(target_dir().join("release/tsugite"))
            .current_dir(root());
        runner.run(&format!("kill -9, {rounds} rounds"), &mut kill9);
    }
}

/// Benchmarks against the peers, with the binary that the Dockerfile ships.
pub(crate) fn bench(runner: &mut Runner, arguments: &[&str]) {
    install::bench_peers(runner);
    for package in ["tsugite", "tsugite-bench"] {
        let mut build = Command::new(cargo());
        build.args(["build", "--locked", "--profile", "dist", "--package", package]);
        if !runner.run(
            &format!("cargo build --profile dist --package {package}"),
            &mut build,
        ) {
            return;
        }
    }
    let mut bench = Command::new(target_dir().join("dist/tsugite-bench"));
    bench.args(arguments).env("PATH", install::tool_path());
    bench.env("TSUGITE_BIN", target_dir().join("dist/tsugite"));
    runner.run("bench", &mut bench);
}

/// Licences, advisories, duplicates. A recipe of its own: building cargo-deny costs CI more than it finds.
pub(crate) fn deny(runner: &mut Runner) {
    let installed = Command::new(cargo()).args(["deny", "--version"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        let mut install = Command::new(cargo());
        runner.run(
            "cargo install cargo-deny",
            install.args(["install", "--locked", "cargo-deny@0.20.2"]),
        );
    }
    runner.run("cargo deny", Command::new(cargo()).args(["deny", "check"]));
}
