//! From what was written to what is meant: defaults, units, rules between keys.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_saphyr::Spanned;
use tracing::level_filters::LevelFilter;
use tsugite_base::limits;
use tsugite_base::names::{DEFAULT_ACCOUNT, DEFAULT_REGION, Scope};
use tsugite_registry::Validation;
use tsugite_traffic::{Balance, LimitSettings, RetrySettings};

use super::error::{ConfigError, Place, nearest};
use super::keys;
use super::raw::{self, Maybe, Raw};
use super::reader::Reader;
use super::{
    Admin, Auth, Aws, Config, Listen, Log, LogFormat, Overrides, Registry, Secret, circuit, declared, dns,
    sns, text, traffic,
};

/// More than that in flight is no use of a queue.
pub(super) const IN_FLIGHT_MOST: u32 = 10_000_000;
const DEFAULT_DATA: &str = "./tsugite-data";
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
const MAX_WORKERS: u64 = 256;

/// The raw form of a YAML text.
pub(super) fn read(file: &Path, yaml: &str) -> Result<Raw, ConfigError> {
    // A file of comments only is an empty configuration, not a document that is missing.
    let blank = yaml
        .lines()
        .all(|line| line.trim_start().starts_with('#') || line.trim().is_empty());
    if blank {
        return Ok(Raw::default());
    }
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(yaml, options).map_err(|error| ConfigError::yaml(file, &error))
}

/// The checked form of `raw` under `flags`.
pub(super) fn build(file: Option<&Path>, raw: Raw, flags: &Overrides) -> Result<Config, ConfigError> {
    let mut r = Reader::new(file);
    let insecure = switch(flags.insecure, raw.insecure.as_ref());
    refuse_unbuilt(&mut r, &raw, flags);
    let mut read = Vec::new();
    read.extend(raw.admin.token_file.iter().map(|file| PathBuf::from(&file.value)));
    let admin = admin(&mut r, raw.admin, flags);
    let aws = aws(&mut r, raw.aws, flags, &mut read);
    let guarded = Guarded {
        aws: aws.auth != Auth::Off,
        admin: admin.token.is_some(),
    };
    let listen = listen(&mut r, raw.listen, flags, insecure, guarded);
    let virtual_clock = virtual_clock(&mut r, raw.virtual_clock.as_ref(), flags, &listen);
    let data = r.pick("--data", flags.data.as_ref(), raw.data);
    let ready_file = r.pick("--ready-file", flags.ready_file.as_ref(), raw.ready_file);
    let drain = r.pick("--drain-timeout", flags.drain_timeout.as_ref(), raw.drain_timeout);
    let scope = aws.scope.clone();
    let common = declared::Common {
        circuit: circuit::circuit(&mut r, raw.circuit, circuit::Circuit::default()),
        retry: traffic::retry(&mut r, raw.retry, RetrySettings::default()),
        balance: traffic::balance(&mut r, raw.balance, Balance::default()),
        limits: traffic::limits(&mut r, raw.limits, LimitSettings::default()),
    };
    let config = Config {
        file: file.map(Path::to_owned),
        data: PathBuf::from(data.map_or_else(|| DEFAULT_DATA.to_owned(), |(_, path)| path)),
        listen,
        ready_file: ready_file.map(|(_, path)| PathBuf::from(path)),
        insecure,
        dev: switch(flags.dev, raw.dev.as_ref()),
        virtual_clock,
        workers: workers(&mut r, raw.workers, flags),
        drain_timeout: drain
            .and_then(|(place, value)| r.at(place, value, |value| text::duration(&value)))
            .unwrap_or(DRAIN_TIMEOUT),
        log: log(&mut r, raw.log, flags),
        aws,
        admin,
        dns: dns::dns(&mut r, raw.dns, listen.dns),
        registry: registry(&mut r, raw.registry),
        declared: declared::declared(
            &mut r,
            raw.queues,
            raw.topics,
            raw.services,
            raw.routes,
            &common,
            &scope,
        ),
        common,
        read,
    };
    r.finish(config)
}

/// The flag, else the file's value, else no.
fn switch(flag: Option<bool>, raw: Option<&Spanned<bool>>) -> bool {
    flag.or(raw.map(|value| value.value)).unwrap_or_default()
}

/// A clock that anybody may move belongs into tests: it is refused beside any port that others reach, `insecure`
/// or not.
fn virtual_clock(r: &mut Reader, raw: Option<&Spanned<bool>>, flags: &Overrides, listen: &Listen) -> bool {
    let wanted = switch(flags.virtual_clock, raw);
    if !wanted {
        return false;
    }
    let place = match (flags.virtual_clock, raw) {
        (None, Some(value)) => r.place(value),
        _ => Place::Flag("--virtual-clock"),
    };
    let doors = [
        ("gateway", listen.gateway),
        ("AWS", listen.aws),
        ("admin", listen.admin),
        ("DNS", listen.dns),
    ];
    for (role, address) in doors {
        if let Some(address) = address.filter(|address| !address.ip().is_loopback()) {
            let text = format!(
                "a virtual clock is for tests on one machine, and other machines can reach the {role} port on \
                 {address}; let it listen on 127.0.0.1, or leave the virtual clock out"
            );
            r.refuse(place.clone(), text);
        }
    }
    if listen.admin.is_none() {
        r.refuse(
            place,
            "only the admin port moves the virtual clock, and it is off",
        );
    }
    wanted
}

/// Values that mean something that is not there yet are refused, never ignored.
fn refuse_unbuilt(r: &mut Reader, raw: &Raw, flags: &Overrides) {
    let store = r.pick("--store", flags.store.as_ref(), raw.store.clone());
    if let Some((place, value)) = store.filter(|(_, value)| value != "embedded") {
        let text = if value.starts_with("postgres://") || value.starts_with("postgresql://") {
            "the PostgreSQL store is not supported yet; the only store is `embedded`".to_owned()
        } else {
            format!("unknown store `{value}`; the only store is `embedded`")
        };
        r.refuse(place, text);
    }
    let xds = r.pick("--xds", flags.xds.as_ref(), raw.listen.xds.clone());
    if let Some((place, _)) = xds.filter(|(_, value)| value != "off") {
        r.refuse(place, "the xDS role is not supported yet; it can only be `off`");
    }
}

/// Ports that ask their callers who they are.
struct Guarded {
    aws: bool,
    admin: bool,
}

fn listen(r: &mut Reader, raw: raw::Listen, flags: &Overrides, insecure: bool, guarded: Guarded) -> Listen {
    let mut door = |name, flag: &Option<String>, value: Maybe<String>, default: ([u8; 4], u16)| {
        let Some((place, value)) = r.pick(name, flag.as_ref(), value) else {
            return (Place::Nowhere, Some(SocketAddr::from(default)));
        };
        let address = r.at(place.clone(), value, |value| text::address(&value));
        (place, address.flatten())
    };
    let local = [127, 0, 0, 1];
    let (_, gateway) = door("--gateway", &flags.gateway, raw.gateway, (local, 8080));
    let (aws_place, aws) = door("--aws", &flags.aws, raw.aws, (local, 4566));
    let (admin_place, admin) = door("--admin", &flags.admin, raw.admin, (local, 9901));
    let (dns_place, dns) = door("--dns", &flags.dns, raw.dns, (local, 8600));
    let mut guard = |place, address: Option<SocketAddr>, role: &str, way_out: &str| {
        if let Some(address) = address.filter(|address| !address.ip().is_loopback()) {
            let text = format!(
                "{address} can be reached from other machines, and the {role} port {way_out}; \
                 listen on 127.0.0.1, or accept the risk with --insecure"
            );
            r.refuse(place, text);
        }
    };
    if !insecure {
        guard(dns_place, dns, "DNS", "cannot authenticate its callers");
    }
    if !insecure && !guarded.aws {
        guard(
            aws_place,
            aws,
            "AWS",
            "does not authenticate its callers (aws.auth is off)",
        );
    }
    if !insecure && !guarded.admin {
        let way_out = "has no token (admin.token_file or TSUGITE_ADMIN_TOKEN)";
        guard(admin_place, admin, "admin", way_out);
    }
    Listen {
        gateway,
        aws,
        admin,
        dns,
    }
}

fn workers(r: &mut Reader, raw: Maybe<u64>, flags: &Overrides) -> usize {
    let in_range = |value: u64| match usize::try_from(value) {
        Ok(count) if (1..=MAX_WORKERS).contains(&value) => Ok(count),
        _ => Err(format!("{value} workers; there must be 1 to {MAX_WORKERS}")),
    };
    let chosen = match &flags.workers {
        Some(text) => r.at(Place::Flag("--workers"), text, |text| {
            let count = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
            in_range(count)
        }),
        None => r.maybe(raw, in_range),
    };
    chosen.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

fn log(r: &mut Reader, raw: raw::Log, flags: &Overrides) -> Log {
    let level = r
        .pick("--log-level", flags.log_level.as_ref(), raw.level)
        .and_then(|(place, value)| {
            let levels = [
                ("off", LevelFilter::OFF),
                ("error", LevelFilter::ERROR),
                ("warn", LevelFilter::WARN),
                ("info", LevelFilter::INFO),
                ("debug", LevelFilter::DEBUG),
                ("trace", LevelFilter::TRACE),
            ];
            r.at(place, value, |value| one_of(&value, &levels))
        });
    let format = r
        .pick("--log-format", flags.log_format.as_ref(), raw.format)
        .and_then(|(place, value)| {
            let formats = [("human", LogFormat::Human), ("json", LogFormat::Json)];
            r.at(place, value, |value| one_of(&value, &formats))
        });
    Log {
        level: level.unwrap_or(LevelFilter::INFO),
        format: format.unwrap_or(LogFormat::Human),
    }
}

/// The value that `name` stands for; the error lists the names, the nearest one alone if there is one.
pub(super) fn one_of<T: Copy>(name: &str, values: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = values.iter().find(|(known, _)| *known == name) {
        return Ok(*value);
    }
    let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    Err(match nearest(name, &names) {
        Some(near) => format!("unknown value `{name}`; did you mean `{near}`?"),
        None => format!("unknown value `{name}`; it can be `{}`", names.join("`, `")),
    })
}

fn aws(r: &mut Reader, raw: raw::Aws, flags: &Overrides, read: &mut Vec<PathBuf>) -> Aws {
    let picked = r.pick("--aws-auth", flags.aws_auth.as_ref(), raw.auth);
    let place = picked.as_ref().map_or(Place::Nowhere, |(place, _)| place.clone());
    let auth = picked.and_then(|(place, value)| {
        let modes = [
            ("off", Auth::Off),
            ("known", Auth::Known),
            ("strict", Auth::Strict),
        ];
        r.at(place, value, |value| one_of(&value, &modes))
    });
    let account = r.maybe(raw.account, |value| {
        let good = value.len() == 12 && value.bytes().all(|b| b.is_ascii_digit());
        good.then_some(value)
            .ok_or_else(|| "an account is twelve digits, in quotes".to_owned())
    });
    let region = r.maybe(raw.region, |value| {
        let good = !value.is_empty()
            && value
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let text = format!("`{value}` is not a region; write one like eu-west-1");
        good.then_some(value).ok_or(text)
    });
    let account = account.unwrap_or_else(|| DEFAULT_ACCOUNT.to_owned());
    let given = !raw.keys.is_empty() || raw.keys_file.is_some();
    let keys = keys::keys(r, raw.keys, raw.keys_file, &account, read);
    let auth = auth.unwrap_or_default();
    if auth != Auth::Off && !given {
        r.refuse(place, "this asks for signatures, but there are no keys to sign with; list them in aws.keys or aws.keys_file");
    }
    Aws {
        auth,
        keys,
        scope: Scope {
            account,
            region: region.unwrap_or_else(|| DEFAULT_REGION.to_owned()),
        },
        host: r.maybe(raw.host, host_name),
        purge_guard: raw.purge_guard.is_none_or(|value| value.value),
        deleted_queue_guard: switch(None, raw.deleted_queue_guard.as_ref()),
        in_flight_limit: r
            .maybe(raw.in_flight_limit, |value| {
                declared::count(value, IN_FLIGHT_MOST)
            })
            .unwrap_or(limits::IN_FLIGHT_MESSAGES as u32),
        sns: sns::sns(r, raw.sns),
    }
}

fn admin(r: &mut Reader, raw: raw::Admin, flags: &Overrides) -> Admin {
    let from_file = r.maybe(raw.token_file, |path| {
        let text =
            std::fs::read_to_string(&path).map_err(|error| format!("`{path}` cannot be read: {error}"))?;
        token(&text).map_err(|rule| format!("`{path}` {rule}"))
    });
    let from_environment = flags.admin_token.as_deref().and_then(|text| {
        let place = Place::Flag("TSUGITE_ADMIN_TOKEN");
        r.at(place, text, |text| {
            token(text).map_err(|rule| format!("the token {rule}"))
        })
    });
    let hosts = raw
        .allowed_hosts
        .into_iter()
        .filter_map(|host| r.one(host, host_name))
        .collect();
    let origins = raw.allowed_origins.into_iter().filter_map(|value| {
        r.one(value, |value| {
            let good = value.starts_with("http://") || value.starts_with("https://");
            let text = format!("`{value}` is not an origin; write one like https://console.example");
            good.then(|| value.trim_end_matches('/').to_lowercase())
                .ok_or(text)
        })
    });
    Admin {
        allowed_origins: origins.collect(),
        token: from_environment.or(from_file),
        allowed_hosts: hosts,
    }
}

fn token(text: &str) -> Result<Secret, &'static str> {
    let text = text.trim();
    let visible = text.bytes().all(|b| b.is_ascii_graphic());
    match text.len() {
        0 => Err("is empty"),
        16..=1024 if visible => Ok(Secret(text.to_owned())),
        16..=1024 => Err("holds a character that a header cannot carry"),
        _ => Err("must be 16 to 1024 characters long"),
    }
}

fn host_name(value: String) -> Result<String, String> {
    let good = !value.is_empty()
        && value
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']'));
    let text = format!("`{value}` is not a host name");
    good.then(|| value.to_lowercase()).ok_or(text)
}

fn registry(r: &mut Reader, raw: raw::Registry) -> Registry {
    let modes = [("lenient", Validation::Lenient), ("strict", Validation::Strict)];
    let validation = r.maybe(raw.validation, |value| one_of(&value, &modes));
    let max_watchers = r.maybe(raw.max_watchers, |value| match usize::try_from(value) {
        Ok(count) if (1..=limits::WATCHERS).contains(&count) => Ok(count),
        _ => Err(format!(
            "{value} watches; there must be 1 to {}",
            limits::WATCHERS
        )),
    });
    let percent = r.maybe(raw.min_available_percent, |value| match u32::try_from(value) {
        Ok(percent) if percent <= 100 => Ok(percent),
        _ => Err(format!("{value} is no percentage; it must be 0 to 100")),
    });
    let drain = r.maybe(raw.drain, |value| text::duration(&value));
    Registry {
        validation: validation.unwrap_or_default(),
        max_watchers: max_watchers.unwrap_or(limits::DEFAULT_WATCHERS),
        min_available_percent: percent.unwrap_or(50),
        drain: drain.unwrap_or(Duration::from_secs(30)),
    }
}
