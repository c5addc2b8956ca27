//! The project's own commands. `cargo xtask help` lists them; CI calls the same ones.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its terminal"
)]

mod install;
mod runner;
mod suites;
mod tidy;

use std::path::PathBuf;
use std::process::ExitCode;

use runner::Runner;

const HELP: &str = "\
cargo xtask test                      install what the tests need and run all of them
cargo xtask ci                        test, then fmt, clippy and tidy: what .ci/run calls
cargo xtask tidy                      crate graph, purity, module docs, sizes, documents
cargo xtask install [python|javascript|bench]
                                      only the installing part of test, or what the benchmarks need
cargo xtask conformance [PYTEST ARGS] the black-box tests against the built release binary
cargo xtask sim [--histories N]       seeded crash histories (default 100000; the tests play 10000)
cargo xtask models [--operations N]   random commands against the naive models (default 1000000; the tests play 100000)
cargo xtask fuzz [--seconds N]        each codec's fuzz target for N seconds (default 60, CI takes 5)
cargo xtask kill9 [--rounds N]        kill -9 under load, judged from outside (default 200, CI takes 50, a night 1000)
cargo xtask bench gateway|sqs|sns|registry [ARGS]
                                      against nginx, HAProxy, Envoy; the goals of queues and topics beside Redis, LocalStack …
cargo xtask deny                      licences, advisories and duplicate versions (installs cargo-deny)";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut runner = Runner::default();
    match words.as_slice() {
        ["test"] => suites::test(&mut runner),
        ["ci"] => suites::ci(&mut runner),
        ["tidy"] => suites::tidy(&mut runner),
        ["install"] => install::everything(&mut runner),
        ["install", "python"] => install::python(&mut runner),
        ["install", "javascript"] => install::javascript(&mut runner),
        ["install", "bench"] => install::bench_peers(&mut runner),
        ["conformance", rest @ ..] => suites::conformance(&mut runner, rest),
        ["sim"] => suites::simulation(&mut runner, "100000"),
        ["sim", "--histories", count] => suites::simulation(&mut runner, count),
        ["models"] => suites::models(&mut runner, "1000000"),
        ["models", "--operations", count] => suites::models(&mut runner, count),
        ["fuzz"] => suites::fuzz(&mut runner, "60"),
        ["fuzz", "--seconds", seconds] => suites::fuzz(&mut runner, seconds),
        ["kill9"] => suites::kill9(&mut runner, "200"),
        ["kill9", "--rounds", rounds] => suites::kill9(&mut runner, rounds),
        ["bench", rest @ ..] => suites::bench(&mut runner, rest),
        ["deny"] => suites::deny(&mut runner),
        ["help" | "--help" | "-h"] => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    }
    runner.finish()
}

/// The root of the work tree.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(PathBuf::from)
        .unwrap_or_default()
}

/// The cargo that runs us.
pub(crate) fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// Where cargo puts what it builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}
