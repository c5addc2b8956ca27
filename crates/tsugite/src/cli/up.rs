//! `tsugite up`: from flags to a running program and back.

use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tsugite_base::{World, limits};
use tsugite_log::disk::real::RealDisk;
use tsugite_log::{LogStore, Options};

use super::{Failed, Up};
use crate::config::{Config, LogFormat};
use crate::run::{self, Addresses, Listeners, near, reload, signals};
use crate::{process, telemetry, world};

pub(super) fn up(flags: &Up) -> Result<(), Failed> {
    let (world, clock) = world::host();
    let file = flags.file();
    let overrides = flags.overrides();
    let config =
        Config::load(file.as_deref(), &overrides).map_err(|error| Failed::Usage(error.to_string()))?;
    let level = telemetry::init(&config.log);
    process::raise_open_files();
    let listeners = Listeners::bind(&config).map_err(failure)?;
    let runtime = control_runtime().map_err(failure)?;
    let store = open_store(&config, world.clone())?;
    let outcome = runtime.block_on(async {
        let config = Arc::new(config);
        let stop = signals::stop().map_err(failure)?;
        let source = reload::Source { file, overrides };
        let configs = reload::watch(source, config.clone(), level).map_err(failure)?;
        // Whoever holds the clock can move it.
        let movable = config.virtual_clock.then(|| clock.clone());
        let on_ready = Box::new(move |addresses: &Addresses| greet(&config, addresses, clock.uptime()));
        run::run(configs, listeners, store.clone(), world, movable, stop, on_ready)
            .await
            .map_err(failure)
    });
    // Closed already unless the start failed; then this frees the directory.
    store.close_blocking();
    outcome
}

/// The runtime of everything that is not on the path of a call.
pub(crate) fn control_runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("tsugite-control")
        .enable_io()
        .enable_time()
        .build()
}

/// Opens the data directory. A failing disk ends the process: what it holds then is unknown until a restart.
pub(crate) fn open_store(config: &Config, world: World) -> Result<LogStore, Failed> {
    let data = &config.data;
    let disk = RealDisk::open(data).map_err(|error| {
        Failed::Failure(format!(
            "the data directory {} cannot be opened: {error}",
            data.display()
        ))
    })?;
    let mut settings = tsugite_log::Settings::default();
    settings.registry.dns_ttl = u32::try_from(config.dns.ttl.as_secs()).unwrap_or(u32::MAX);
    settings.registry.validation = config.registry.validation;
    settings.registry.min_available_percent = config.registry.min_available_percent;
    if !config.aws.purge_guard {
        settings.broker.purge_guard = Duration::ZERO;
    }
    if config.aws.deleted_queue_guard {
        settings.broker.deleted_guard = Duration::from_secs(limits::DELETED_GUARD_SECONDS);
    }
    settings.broker.seed = world.random_u64();
    settings.broker.in_flight = config.aws.in_flight_limit as usize;
    settings.broker.filter_policies = config.aws.sns.filter_policies as usize;
    let mut options = Options::new(world, settings);
    let ready_file = config.ready_file.clone();
    options.on_fatal = Arc::new(move |fatal| {
        tracing::error!("{fatal}");
        if let Some(file) = &ready_file {
            // Best effort on the way out: the error above is the news.
            let _ = std::fs::remove_file(file);
        }
        std::process::exit(1);
    });
    LogStore::open(options, Arc::new(disk)).map_err(failure)
}

fn failure(error: impl std::fmt::Display) -> Failed {
    Failed::Failure(error.to_string())
}

/// Tells a person where everything is and what to do next; programs get it as one event.
fn greet(config: &Config, addresses: &Addresses, took: std::time::Duration) {
    let shown =
        |address: Option<SocketAddr>| address.map_or_else(|| "off".to_owned(), |address| address.to_string());
    let (gateway, aws) = (shown(addresses.gateway), shown(addresses.aws));
    let (admin, dns) = (shown(addresses.admin), shown(addresses.dns));
    if config.log.format == LogFormat::Json || !config_wants_people(config) {
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(gateway, aws, admin, dns, took_ms, "ready");
        return;
    }
    // A closed standard error is no reason not to serve.
    let _ = std::io::stderr()
        .lock()
        .write_all(greeting(config, addresses, took).as_bytes());
}

/// Lines for eyes unless nothing at all is to be shown.
fn config_wants_people(config: &Config) -> bool {
    config.log.level >= tracing::level_filters::LevelFilter::INFO
}

fn greeting(config: &Config, addresses: &Addresses, took: std::time::Duration) -> String {
    let bold = |text: &str| match std::io::stderr().is_terminal() {
        true => format!("\u{1b}[1m{text}\u{1b}[0m"),
        false => text.to_owned(),
    };
    let mut out = format!(
        "{} {} is ready ({} ms)\n",
        bold("Tsugite"),
        env!("CARGO_PKG_VERSION"),
        took.as_millis()
    );
    let mut line =
        |role: &str, address: Option<SocketAddr>, hint: &dyn Fn(SocketAddr) -> String| match address {
            Some(address) => out.push_str(&format!(
                "  {role:<8} {:<22} {}\n",
                address.to_string(),
                hint(near(address))
            )),
            None => out.push_str(&format!("  {role:<8} off\n")),
        };
    line("gateway", addresses.gateway, &|at| {
        format!("call a service: curl http://{at}/orders/")
    });
    line("aws", addresses.aws, &|at| {
        format!("export AWS_ENDPOINT_URL=http://{at}")
    });
    line("admin", addresses.admin, &|at| {
        format!("console, API and metrics: http://{at}/")
    });
    line("dns", addresses.dns, &|at| {
        format!("dig @{} -p {} orders.internal", at.ip(), at.port())
    });
    out.push_str(&format!("  data     {}\n", config.data.display()));
    if config.virtual_clock {
        out.push_str("  clock    virtual, for tests only: POST /v1/clock/advance moves it\n");
    }
    if let Some(admin) = addresses.admin {
        out.push_str(&format!(
            "Register a service: curl -X PUT http://{}/v1/instances/internal/orders/1 \
             -d '{{\"address\":\"127.0.0.1\",\"port\":9000,\"ttl_ms\":0}}'\n",
            near(admin)
        ));
    }
    out
}
