//! `/metrics` in the Prometheus text format: what a person looks for first when something is wrong.

mod broker;
mod dns;

use std::fmt::{Display, Write};
use std::sync::atomic::Ordering::Relaxed;

use tsugite_gateway::{Latencies, MetricsSnapshot, ServiceMetrics};
use tsugite_log::{LogMetrics, SYNC_BUCKETS_MICROS};
use tsugite_traffic::State;

use super::{Admin, Store};
use crate::aws::{ActionMetrics, LATENCY_BOUNDS_MICROS};

/// Everything, family by family.
pub(super) fn text<S: Store>(admin: &Admin<S>) -> String {
    let mut page = Page(String::with_capacity(16 * 1024));
    process(&mut page, admin);
    watches(&mut page, admin);
    gateway(&mut page, &admin.gateway.metrics_snapshot());
    circuits(&mut page, admin);
    aws(&mut page, &admin.aws.metrics());
    dns::text(&mut page, &admin.dns.stats().read());
    broker::queues(&mut page, admin);
    broker::topics(&mut page, admin);
    if let Some(log) = admin.store.log_metrics() {
        store(&mut page, &log);
    }
    page.0
}

/// The text, and how its lines are written.
struct Page(String);

impl Page {
    /// A family of one kind with its meaning; its samples follow.
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (i, (label, text)) in labels.iter().enumerate() {
            self.0.push(if i == 0 { '{' } else { ',' });
            let _ = write!(self.0, "{label}=\"{}\"", escaped(text));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// A family of one sample without labels.
    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The samples of a histogram from counts per bucket; the last count is of what is above all bounds.
    fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        bounds: impl Iterator<Item = (f64, u64)>,
        count: u64,
        sum: f64,
    ) {
        let bucket = format!("{name}_bucket");
        for (bound, cumulative) in bounds {
            let bound = bound.to_string();
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            self.sample(&bucket, &labels, cumulative);
        }
        let labels_inf: Vec<_> = labels.iter().copied().chain([("le", "+Inf")]).collect();
        self.sample(&bucket, &labels_inf, count);
        self.sample(&format!("{name}_sum"), labels, sum);
        self.sample(&format!("{name}_count"), labels, count);
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// Counts per bucket as cumulative counts with bounds in seconds.
fn cumulated<'a>(bounds_micros: &'a [u64], counts: &'a [u64]) -> impl Iterator<Item = (f64, u64)> + 'a {
    let mut seen = 0;
    bounds_micros.iter().zip(counts).map(move |(bound, count)| {
        seen += count;
        (seconds(*bound), seen)
    })
}

#[expect(clippy::cast_precision_loss, reason = "a metric needs no more than 52 bits")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn watches<S: Store>(page: &mut Page, admin: &Admin<S>) {
    let (watchers, wake_ups, refused) = admin.hub.counts();
    page.single(
        "tsugite_watchers",
        "gauge",
        "Watches of services that wait for a change.",
        watchers,
    );
    page.single(
        "tsugite_watch_wakeups_total",
        "counter",
        "Times that a change woke a watch.",
        wake_ups,
    );
    page.single(
        "tsugite_watches_refused_total",
        "counter",
        "Watches refused because there were too many.",
        refused,
    );
}

fn process<S: Store>(page: &mut Page, admin: &Admin<S>) {
    page.family(
        "tsugite_build_info",
        "gauge",
        "Always 1; the labels say what runs.",
    );
    page.sample("tsugite_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    let usage = crate::process::usage();
    if let Some(bytes) = usage.resident_bytes {
        page.single(
            "tsugite_process_resident_bytes",
            "gauge",
            "Memory of the process in RAM.",
            bytes,
        );
    }
    if let Some(count) = usage.open_files {
        page.single(
            "tsugite_process_open_fds",
            "gauge",
            "Open file descriptors.",
            count,
        );
    }
    if let Some(limit) = usage.open_files_limit {
        page.single(
            "tsugite_process_max_fds",
            "gauge",
            "File descriptors that may be open.",
            limit,
        );
    }
    let uptime = admin.world.mono().since(admin.started).as_secs_f64();
    page.single("tsugite_uptime_seconds", "gauge", "Time since the start.", uptime);
    let requests = admin.requests.load(Relaxed);
    page.single(
        "tsugite_admin_requests_total",
        "counter",
        "Requests to the admin port.",
        requests,
    );
    let errors = admin.errors.load(Relaxed);
    page.single(
        "tsugite_admin_errors_total",
        "counter",
        "Requests to the admin port that failed.",
        errors,
    );
    let reloads = admin.reloads();
    page.family(
        "tsugite_config_reloads_total",
        "counter",
        "Configurations loaded again, by outcome.",
    );
    page.sample(
        "tsugite_config_reloads_total",
        &[("outcome", "applied")],
        reloads.0,
    );
    page.sample(
        "tsugite_config_reloads_total",
        &[("outcome", "refused")],
        reloads.1,
    );
}

fn gateway(page: &mut Page, gateway: &MetricsSnapshot) {
    let name = "tsugite_gateway_requests_total";
    page.family(
        name,
        "counter",
        "Calls by service and outcome; the named outcomes are the gateway's own answers.",
    );
    for service in &gateway.services {
        let id = format!("{}.{}", service.service, service.namespace);
        for (class, count) in &service.responses {
            page.sample(name, &[("service", &id), ("class", class.label())], count);
        }
    }
    let name = "tsugite_gateway_request_duration_seconds";
    page.family(
        name,
        "histogram",
        "From the head of a request to the head of its answer.",
    );
    for service in &gateway.services {
        let id = format!("{}.{}", service.service, service.namespace);
        latency(page, name, &id, &service.latency);
    }
    of_services(page, gateway);
    let help = "Open client connections.";
    page.single("tsugite_gateway_connections", "gauge", help, gateway.connections);
    let help = "Client connections accepted.";
    page.single(
        "tsugite_gateway_connections_total",
        "counter",
        help,
        gateway.accepted,
    );
    let help = "Requests that no route matched.";
    page.single(
        "tsugite_gateway_unrouted_total",
        "counter",
        help,
        gateway.unrouted,
    );
    let help = "Requests refused as malformed or forbidden.";
    page.single(
        "tsugite_gateway_bad_requests_total",
        "counter",
        help,
        gateway.bad_requests,
    );
}

fn of_services(page: &mut Page, gateway: &MetricsSnapshot) {
    type Read = fn(&ServiceMetrics) -> u64;
    let families: [(&str, &str, &str, Read); 4] = [
        (
            "tsugite_gateway_connect_errors_total",
            "counter",
            "Connections to instances that failed.",
            |service| service.connect_errors,
        ),
        (
            "tsugite_gateway_retries_total",
            "counter",
            "Tries beyond the first of a call.",
            |service| service.retries,
        ),
        (
            "tsugite_gateway_retries_refused_total",
            "counter",
            "Retries that were not made because the budget was exhausted.",
            |service| service.unaffordable,
        ),
        (
            "tsugite_gateway_active_requests",
            "gauge",
            "Calls in progress.",
            |service| service.active,
        ),
    ];
    for (name, kind, help, read) in families {
        page.family(name, kind, help);
        for service in &gateway.services {
            let id = format!("{}.{}", service.service, service.namespace);
            page.sample(name, &[("service", &id)], read(service));
        }
    }
}

fn latency(page: &mut Page, name: &str, service: &str, latencies: &Latencies) {
    let bounds = latencies.cumulative().into_iter();
    page.histogram(
        name,
        &[("service", service)],
        bounds,
        latencies.count(),
        latencies.sum_seconds(),
    );
}

fn circuits<S: Store>(page: &mut Page, admin: &Admin<S>) {
    let reports = admin.gateway.circuits();
    let name = "tsugite_circuit_state";
    page.family(
        name,
        "gauge",
        "1 for the state that the circuit is in, 0 for the others.",
    );
    for report in &reports {
        for state in State::ALL {
            let here = u8::from(report.state == state);
            page.sample(name, &[("circuit", &report.id), ("state", state.as_str())], here);
        }
    }
    let name = "tsugite_circuit_calls_total";
    page.family(name, "counter", "Calls that the circuit counted, by class.");
    for report in &reports {
        let totals = &report.totals;
        for (class, count) in [
            ("success", totals.success),
            ("failure", totals.failure),
            ("slow_success", totals.slow_success),
            ("slow_failure", totals.slow_failure),
            ("overload", totals.overload),
            ("ignored", totals.ignored),
        ] {
            page.sample(name, &[("circuit", &report.id), ("class", class)], count);
        }
    }
    let name = "tsugite_circuit_rejected_total";
    page.family(name, "counter", "Calls that the circuit refused, by its state.");
    for report in &reports {
        let rejected = &report.rejected;
        for (state, count) in [
            ("open", rejected.open),
            ("half_open", rejected.half_open),
            ("forced_open", rejected.forced_open),
        ] {
            page.sample(name, &[("circuit", &report.id), ("state", state)], count);
        }
    }
    let name = "tsugite_circuit_transitions_total";
    page.family(name, "counter", "Changes of state.");
    for report in reports
        .iter()
        .flat_map(|report| [report].into_iter().chain(&report.endpoints))
    {
        page.sample(name, &[("circuit", &report.id)], report.transition_count);
    }
    let name = "tsugite_endpoint_ejected";
    page.family(
        name,
        "gauge",
        "1 while the instance is ejected, 0 while it takes calls.",
    );
    for report in reports.iter().flat_map(|report| &report.endpoints) {
        let ejected = u8::from(!matches!(report.state, State::Closed | State::Disabled));
        page.sample(name, &[("circuit", &report.id)], ejected);
    }
}

fn aws(page: &mut Page, actions: &[ActionMetrics]) {
    let name = "tsugite_aws_requests_total";
    page.family(
        name,
        "counter",
        "Requests on the AWS port by outcome; refused is the caller's fault, failed is ours.",
    );
    for action in actions {
        for (outcome, count) in [
            ("succeeded", action.succeeded),
            ("refused", action.refused),
            ("failed", action.failed),
        ] {
            let labels = [
                ("service", action.service),
                ("action", action.action),
                ("outcome", outcome),
            ];
            page.sample(name, &labels, count);
        }
    }
    let name = "tsugite_aws_request_duration_seconds";
    page.family(
        name,
        "histogram",
        "From request to answer; long polls with their wait.",
    );
    for action in actions {
        let bounds = cumulated(&LATENCY_BOUNDS_MICROS, &action.latency);
        let labels = [("service", action.service), ("action", action.action)];
        let count = action.latency.iter().sum();
        page.histogram(name, &labels, bounds, count, seconds(action.latency_sum_micros));
    }
}

/// How long everything stood still for the sake of checkpoints.
fn pauses(page: &mut Page, log: &LogMetrics) {
    let name = "tsugite_log_checkpoint_pause_seconds";
    page.family(
        name,
        "summary",
        "Pauses of the store while its state is encoded for a checkpoint.",
    );
    page.sample(&format!("{name}_sum"), &[], seconds(log.pause_micros));
    page.sample(&format!("{name}_count"), &[], log.pauses as f64);
    let name = "tsugite_log_longest_checkpoint_pause_seconds";
    page.family(name, "gauge", "The longest of these pauses since the start.");
    page.sample(name, &[], seconds(log.longest_pause_micros));
}

fn store(page: &mut Page, log: &LogMetrics) {
    for (name, help, value) in [
        ("tsugite_log_records_total", "Records appended.", log.records),
        (
            "tsugite_log_frames_total",
            "Frames written; one frame is one group commit.",
            log.frames,
        ),
        ("tsugite_log_bytes_total", "Bytes written.", log.bytes),
        (
            "tsugite_log_checkpoints_total",
            "Checkpoints written.",
            log.checkpoints,
        ),
        (
            "tsugite_log_disk_reads_total",
            "Records read back from disk.",
            log.disk_reads,
        ),
        (
            "tsugite_log_dropped_segments_total",
            "Segments that left the log.",
            log.dropped_segments,
        ),
        (
            "tsugite_log_relocated_bytes_total",
            "Bytes of messages copied so that their segment could be given back.",
            log.relocated_bytes,
        ),
    ] {
        page.single(name, "counter", help, value);
    }
    for (name, help, value) in [
        ("tsugite_log_segments", "Segment files.", log.segments),
        (
            "tsugite_log_segment_bytes",
            "Bytes of segment files.",
            log.segment_bytes,
        ),
        (
            "tsugite_log_live_bytes",
            "Bytes of log that stored messages needed at the newest checkpoint.",
            log.live_bytes,
        ),
        (
            "tsugite_log_pending_bytes",
            "Bytes that wait for the next sync.",
            log.pending_bytes,
        ),
        (
            "tsugite_log_disk_full",
            "1 while growing commands are refused for want of space.",
            u64::from(log.full),
        ),
    ] {
        page.single(name, "gauge", help, value);
    }
    pauses(page, log);
    let name = "tsugite_log_sync_duration_seconds";
    page.family(name, "histogram", "Syncs of the log.");
    let bounds = cumulated(&SYNC_BUCKETS_MICROS, &log.sync_buckets);
    page.histogram(name, &[], bounds, log.syncs, seconds(log.sync_micros));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_prometheus_text() {
        let mut page = Page(String::new());
        page.single("a_total", "counter", "Things.", 3);
        page.sample("b", &[("x", "1"), ("y", "a\"b\\c\nd")], 0.5);
        page.histogram(
            "h",
            &[("x", "1")],
            cumulated(&[1_000, 2_000_000], &[2, 1, 4]),
            7,
            1.5,
        );
        assert_eq!(
            page.0,
            "# HELP a_total Things.\n# TYPE a_total counter\na_total 3\n\
             b{x=\"1\",y=\"a\\\"b\\\\c\\nd\"} 0.5\n\
             h_bucket{x=\"1\",le=\"0.001\"} 2\nh_bucket{x=\"1\",le=\"2\"} 3\nh_bucket{x=\"1\",le=\"+Inf\"} 7\n\
             h_sum{x=\"1\"} 1.5\nh_count{x=\"1\"} 7\n"
        );
    }
}
