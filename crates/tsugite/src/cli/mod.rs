//! The command line: what can be asked, and the exit codes 0 (done), 1 (failure), 2 (bad usage or configuration).

mod admin;
mod captured;
mod client;
mod data;
mod follow;
mod queues;
mod redrive;
mod register;
mod services;
mod table;
mod topics;
pub(crate) mod up;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Overrides, schema};

/// One binary for all interprocess communication of microservices.
#[derive(Debug, Parser)]
#[command(
    name = "tsugite",
    version,
    disable_help_flag = false,
    arg_required_else_help = true
)]
#[command(after_help = "Start with `tsugite demo`, or with `tsugite up` and http://127.0.0.1:9901/.")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start all roles
    Up(Box<Up>),
    /// Start everything with example services and walk through every joint
    Demo(Demo),
    /// Check a configuration file
    Check(Check),
    /// Print the JSON Schema of the configuration
    Schema,
    /// Show and override circuits
    Circuits(admin::Circuits),
    /// Start a program, register it while it runs, and drain it before it stops
    Register(Box<register::Register>),
    /// Show, watch, register, drain and remove services and their instances
    Services(Box<services::Services>),
    /// Look into queues, send, receive, purge, remove
    Queues(Box<queues::Queues>),
    /// Look at topics, publish, subscribe, ask whom a message would reach
    Topics(Box<topics::Topics>),
    /// Show what would have been sent to mail addresses and phones
    Captured(captured::CapturedMessages),
    /// Check a data directory without changing it
    Verify(data::Verify),
    /// Make a damaged data directory open again with all that can be read, and name what was lost
    Repair(data::Repair),
}

/// Flags of `tsugite up`. A flag wins over its environment variable, and that over the file.
#[derive(Debug, Default, Args)]
pub(crate) struct Up {
    /// Configuration file [default: tsugite.yaml if it exists]
    #[arg(long, short, value_name = "FILE", env = "TSUGITE_CONFIG")]
    config: Option<PathBuf>,
    /// Data directory of the embedded store [default: ./tsugite-data]
    #[arg(long, value_name = "DIR", env = "TSUGITE_DATA")]
    data: Option<String>,
    /// The store: embedded
    #[arg(long, env = "TSUGITE_STORE")]
    store: Option<String>,
    /// HTTP and gRPC gateway, or off [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", env = "TSUGITE_GATEWAY")]
    gateway: Option<String>,
    /// SQS, SNS, Cloud Map and STS, or off [default: 127.0.0.1:4566]
    #[arg(long, value_name = "ADDRESS", env = "TSUGITE_AWS")]
    aws: Option<String>,
    /// Admin API, metrics and console, or off [default: 127.0.0.1:9901]
    #[arg(long, value_name = "ADDRESS", env = "TSUGITE_ADMIN")]
    admin: Option<String>,
    /// DNS over UDP and TCP, or off [default: 127.0.0.1:8600]
    #[arg(long, value_name = "ADDRESS", env = "TSUGITE_DNS")]
    dns: Option<String>,
    /// xDS: off, as it is not supported yet
    #[arg(long, value_name = "ADDRESS", env = "TSUGITE_XDS")]
    xds: Option<String>,
    /// Written as JSON once every role serves, removed at exit
    #[arg(long, value_name = "FILE", env = "TSUGITE_READY_FILE")]
    ready_file: Option<String>,
    /// Let ports without authentication listen on addresses that other machines reach
    #[arg(long, value_name = "BOOL", env = "TSUGITE_INSECURE", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_parser = BoolishValueParser::new())]
    insecure: Option<bool>,
    /// Allow POST /v1/reset while the admin port is on loopback
    #[arg(long, value_name = "BOOL", env = "TSUGITE_DEV", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_parser = BoolishValueParser::new())]
    dev: Option<bool>,
    /// Let POST /v1/clock/advance move the clock of queues and leases; every port must be on loopback
    #[arg(long, value_name = "BOOL", env = "TSUGITE_VIRTUAL_CLOCK", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "true", value_parser = BoolishValueParser::new())]
    virtual_clock: Option<bool>,
    /// Threads of the gateway and of the AWS port [default: one for each core]
    #[arg(long, value_name = "COUNT", env = "TSUGITE_WORKERS")]
    workers: Option<String>,
    /// How long calls in flight may go on after SIGTERM [default: 30s]
    #[arg(long, value_name = "DURATION", env = "TSUGITE_DRAIN_TIMEOUT")]
    drain_timeout: Option<String>,
    /// off, error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL", env = "TSUGITE_LOG_LEVEL")]
    log_level: Option<String>,
    /// human or json [default: human]
    #[arg(long, value_name = "FORMAT", env = "TSUGITE_LOG_FORMAT")]
    log_format: Option<String>,
    /// Authentication of the AWS port: off
    #[arg(long, value_name = "MODE", env = "TSUGITE_AWS_AUTH")]
    aws_auth: Option<String>,
}

impl Up {
    /// The file to read: the one that was named, or the usual one if it is there.
    fn file(&self) -> Option<PathBuf> {
        let usual = PathBuf::from("tsugite.yaml");
        self.config.clone().or_else(|| usual.is_file().then_some(usual))
    }

    fn overrides(&self) -> Overrides {
        Overrides {
            data: self.data.clone(),
            store: self.store.clone(),
            gateway: self.gateway.clone(),
            aws: self.aws.clone(),
            admin: self.admin.clone(),
            dns: self.dns.clone(),
            xds: self.xds.clone(),
            ready_file: self.ready_file.clone(),
            insecure: self.insecure,
            dev: self.dev,
            virtual_clock: self.virtual_clock,
            workers: self.workers.clone(),
            drain_timeout: self.drain_timeout.clone(),
            log_level: self.log_level.clone(),
            log_format: self.log_format.clone(),
            aws_auth: self.aws_auth.clone(),
            admin_token: std::env::var("TSUGITE_ADMIN_TOKEN").ok(),
        }
    }
}

#[derive(Debug, Args)]
struct Demo {
    /// Leave everything running at the end
    #[arg(long)]
    keep: bool,
}

#[derive(Debug, Args)]
struct Check {
    /// Configuration file
    #[arg(
        long,
        short,
        value_name = "FILE",
        default_value = "tsugite.yaml",
        env = "TSUGITE_CONFIG"
    )]
    config: PathBuf,
}

/// Why a command did not succeed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Exit code 1.
    Failure(String),
    /// Exit code 2.
    Usage(String),
}

/// Runs what the command line asks for.
pub fn run(cli: Cli) -> ExitCode {
    let outcome = match cli.command {
        Command::Up(up) => up::up(&up),
        Command::Demo(demo) => crate::demo::demo(demo.keep),
        Command::Check(check) => check_command(&check),
        Command::Schema => out(&schema::text()),
        Command::Circuits(command) => command.run(),
        Command::Register(command) => match command.run() {
            Ok(code) => return code,
            Err(failed) => Err(failed),
        },
        Command::Services(command) => command.run(),
        Command::Queues(command) => command.run(),
        Command::Topics(command) => command.run(),
        Command::Captured(command) => command.run(),
        Command::Verify(verify) => verify.run(),
        Command::Repair(repair) => repair.run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::Failure(text)) => complain(&text, 1),
        Err(Failed::Usage(text)) => complain(&text, 2),
    }
}

fn check_command(check: &Check) -> Result<(), Failed> {
    let config = Config::load(Some(&check.config), &Overrides::default())
        .map_err(|error| Failed::Usage(error.to_string()))?;
    let declared = &config.declared;
    out(&format!(
        "{} is good: {} queues, {} topics, {} services and {} routes declared\n",
        check.config.display(),
        declared.queues.len(),
        declared.topics.len(),
        declared.services.len(),
        declared.routes.len(),
    ))
}

/// Writes to standard output; a reader that left early (`tsugite schema | head`) is no failure.
pub(crate) fn out(text: &str) -> Result<(), Failed> {
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failed::Failure(format!(
            "cannot write to standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

fn complain(text: &str, code: u8) -> ExitCode {
    let mut stderr = std::io::stderr().lock();
    for line in text.lines() {
        // Nobody is left to tell when standard error is closed; the exit code still says it.
        let _ = writeln!(stderr, "tsugite: {line}");
    }
    ExitCode::from(code)
}
