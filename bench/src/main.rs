//! Benchmarks against the programs that people would use otherwise, in the same run and by the same load.
//!
//! `cargo xtask bench gateway|sqs|sns|registry|calibrate` builds and calls this. It links nothing of Tsugite: it starts the binary
//! named by `TSUGITE_BIN`, as it starts the peers.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command-line tool talks to its terminal"
)]

mod board;
mod calibrate;
mod gateway;
mod histogram;
mod load;
mod peers;
mod process;
mod registry;
mod report;
mod servers;
mod sns;
mod sqs;
mod upstream;

use std::process::ExitCode;
use std::time::Duration;

/// Any failure of a benchmark is told to the person who runs it.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const HELP: &str = "\
tsugite-bench gateway [OPTIONS]    Tsugite, nginx, HAProxy and Envoy in front of the same upstream
tsugite-bench sqs [OPTIONS]        the queues' goals: Tsugite beside nginx, Redis, LocalStack, moto, NATS, RabbitMQ
tsugite-bench sns [OPTIONS]        the topics' goals: Tsugite beside LocalStack and moto
tsugite-bench registry [OPTIONS]   the registry's goals: Tsugite beside nginx and other DNS servers
tsugite-bench calibrate [OPTIONS]  our load generator against wrk and h2load
tsugite-bench upstream HTTP1_PORT GRPC_PORT    the upstream alone: answers of 1 KiB

  --rounds N    times that each contender has its turn (default 5)
  --seconds N   of each measurement (default 5)
  --threads N   of each contender of gateway (default 1)
  --rate N      requests per second of gateway's fixed-rate part (default 2000)
  --peers A,B   only these contenders beside Tsugite; `none` for Tsugite alone
  --only A,B    only these scenarios: of sqs generator, send, batch, cycle, one, fifo, written, idle, polls, stored;
                of sns fanout, written, filters, posts, hanging;
                of registry discover, register, heartbeats, visible, dns, one, watchers, million
  --stored N    messages of the scenario stored (default 1000000; the goal is for 10000000)
  --write       put the tables into bench/RESULTS.md";

/// What one can choose on the command line.
#[derive(Debug, Clone)]
struct Options {
    rounds: usize,
    seconds: Duration,
    threads: usize,
    rate: u64,
    peers: Option<Vec<String>>,
    only: Option<Vec<String>>,
    stored: u64,
    write: bool,
}

impl Options {
    fn parse(words: &[String]) -> Option<Options> {
        let seconds = Duration::from_secs(5);
        let mut options = Options {
            rounds: 5,
            seconds,
            threads: 1,
            rate: 2000,
            peers: None,
            only: None,
            stored: 1_000_000,
            write: false,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--rounds" => options.rounds = words.next()?.parse().ok()?,
                "--seconds" => options.seconds = Duration::from_secs(words.next()?.parse().ok()?),
                "--threads" => options.threads = words.next()?.parse().ok()?,
                "--rate" => options.rate = words.next()?.parse().ok()?,
                "--peers" => options.peers = Some(list(words.next()?)),
                "--only" => options.only = Some(list(words.next()?)),
                "--stored" => options.stored = words.next()?.parse().ok()?,
                "--write" => options.write = true,
                _ => return None,
            }
        }
        Some(options)
    }

    fn takes(&self, contender: &str) -> bool {
        contender == "tsugite" || is_among(contender, self.peers.as_deref())
    }

    fn plays(&self, scenario: &str) -> bool {
        is_among(scenario, self.only.as_deref())
    }
}

fn list(word: &str) -> Vec<String> {
    word.split(',').map(str::to_owned).collect()
}

fn is_among(name: &str, chosen: Option<&[String]>) -> bool {
    chosen.is_none_or(|chosen| chosen.iter().any(|one| one == name))
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = words.split_first() else {
        return usage();
    };
    let outcome = match (command.as_str(), rest, Options::parse(rest)) {
        ("upstream", [http1, grpc], _) => upstream::run(http1, grpc),
        ("gateway", _, Some(options)) => on_one_thread(gateway::run(options)),
        ("sqs", _, Some(options)) => on_one_thread(sqs::run(options)),
        ("sns", _, Some(options)) => on_one_thread(sns::run(options)),
        ("registry", _, Some(options)) => on_one_thread(registry::run(options)),
        ("calibrate", _, Some(options)) => on_one_thread(calibrate::run(options)),
        _ => return usage(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tsugite-bench {command}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{HELP}");
    ExitCode::from(2)
}

/// The load generator has one thread, as wrk -t1 has.
fn on_one_thread(work: impl Future<Output = Result<()>>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, work)
}
