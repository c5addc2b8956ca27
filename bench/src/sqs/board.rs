//! What was measured, and whether it meets the goals.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::{Spread, Table};

/// A figure's value by round, so that ratios are taken within a round even when another round failed.
pub(super) type Series = BTreeMap<usize, f64>;

/// One contender's figures of one kind of work.
#[derive(Default)]
pub(super) struct Work {
    pub(super) per_second: Series,
    pub(super) cpu_us: Series,
    pub(super) p50_us: Series,
    pub(super) p99_us: Series,
}

#[derive(Default)]
pub(super) struct Board {
    /// The round under way.
    pub(super) round: usize,
    work: Vec<((&'static str, &'static str), Work)>,
    values: BTreeMap<&'static str, Series>,
    skipped: BTreeSet<String>,
    failed: Vec<String>,
}

impl Board {
    /// What one measured in this round: messages per second, processor µs per message, p50 and p99 of a call in µs.
    pub(super) fn work(&mut self, what: &'static str, who: &'static str, measured: [f64; 4]) {
        let place = self.work.iter().position(|(key, _)| *key == (what, who));
        let place = place.unwrap_or_else(|| {
            self.work.push(((what, who), Work::default()));
            self.work.len() - 1
        });
        let work = &mut self.work[place].1;
        let series = [
            &mut work.per_second,
            &mut work.cpu_us,
            &mut work.p50_us,
            &mut work.p99_us,
        ];
        for (series, value) in series.into_iter().zip(measured) {
            series.insert(self.round, value);
        }
    }

    pub(super) fn value(&mut self, name: &'static str, value: f64) {
        self.values.entry(name).or_default().insert(self.round, value);
    }

    pub(super) fn skipped(&mut self, who: &str, why: &str) {
        eprintln!("  {who} is left out: {why}");
        self.skipped.insert(format!("{who} is left out: {why}."));
    }

    pub(super) fn failed(&mut self, what: &str, error: &dyn std::error::Error) {
        let line: String = error
            .to_string()
            .replace(['\n', '|'], " ")
            .chars()
            .take(400)
            .collect();
        eprintln!("  {what} failed: {error}");
        self.failed
            .push(format!("Round {}, {what}: **failed**: {line}", self.round));
    }

    pub(super) fn failures(&self) -> usize {
        self.failed.len()
    }

    /// The tables and what was left out.
    pub(super) fn show(&self, stored: u64) -> String {
        let mut text = format!("### Goals\n\n{}\n", self.goals(stored));
        text.push_str(&format!("### Throughput\n\n{}", self.throughput()));
        for line in self.skipped.iter().chain(&self.failed) {
            text.push_str(&format!("\n{line}\n"));
        }
        text
    }

    fn throughput(&self) -> String {
        let mut table = Table::new(&[
            "what",
            "who",
            "messages/s",
            "Tsugite's ÷ its",
            "CPU µs per message",
            "p50 µs of a call",
            "p99 µs of a call",
        ]);
        for ((what, who), work) in &self.work {
            let ours = self.rate(what, "tsugite");
            table.row(&[
                (*what).to_owned(),
                (*who).to_owned(),
                show(&work.per_second, 0),
                show(&over(&ours, &work.per_second), 2),
                show(&work.cpu_us, 1),
                show(&work.p50_us, 0),
                show(&work.p99_us, 0),
            ]);
        }
        table.into_text()
    }

    fn goals(&self, stored: u64) -> String {
        let mut table = Table::new(&["line", "figure", "measured", "goal", "met"]);
        let goals = self.throughput_goals().into_iter();
        for goal in goals.chain(self.stored_goals(stored)).chain(self.other_goals()) {
            table.row(&goal.cells());
        }
        table.into_text()
    }

    fn throughput_goals(&self) -> Vec<Goal> {
        let rate = |what| self.rate(what, "tsugite");
        let against = |what, who| over(&rate(what), &self.rate(what, who));
        let mut bar = self.rate(SEND, "nginx");
        for round in rate(SEND).keys() {
            let half = bar.get(round).map_or(f64::INFINITY, |nginx| nginx * 0.5);
            bar.insert(*round, half.min(30_000.0));
        }
        let fifo = |fifo, standard| over(&rate(fifo), &rate(standard));
        vec![
            Goal::at_least(SEND, "messages/s", rate(SEND), f64::NAN, 0),
            Goal::at_least(SEND, "÷ nginx", against(SEND, "nginx"), f64::NAN, 2),
            Goal::at_least(
                SEND,
                "÷ the lower of 30,000/s and nginx's half",
                over(&rate(SEND), &bar),
                1.0,
                2,
            ),
            Goal::at_least(SEND, "÷ LocalStack", against(SEND, "localstack"), 40.0, 1),
            Goal::at_least(SEND, "÷ Redis streams", against(SEND, "redis"), 1.0, 2),
            Goal::at_least(BATCH, "messages/s", rate(BATCH), 150_000.0, 0),
            Goal::at_least(BATCH, "÷ Redis pipelined 10", against(BATCH, "redis"), 1.0, 2),
            Goal::at_least(CYCLE, "messages/s", rate(CYCLE), 60_000.0, 0),
            Goal::at_least(CYCLE, "÷ Redis streams", against(CYCLE, "redis"), f64::NAN, 2),
            Goal::at_most(
                ONE,
                "p50 - p50 of append and fdatasync, µs",
                self.named("one above sync"),
                150.0,
                0,
            ),
            Goal::at_most(
                ONE,
                "p50 - p50 of fdatasync in place, µs",
                self.named("one above sync in place"),
                150.0,
                0,
            ),
            Goal::at_least(FIFO_SEND, "÷ standard", fifo(FIFO_SEND, SEND), 0.5, 2),
            Goal::at_least(FIFO_BATCH, "÷ standard", fifo(FIFO_BATCH, BATCH), 0.5, 2),
            Goal::at_least(FIFO_CYCLE, "÷ standard", fifo(FIFO_CYCLE, CYCLE), 0.5, 2),
            Goal::at_least(GROUP_SEND, "messages/s", rate(GROUP_SEND), 5_000.0, 0),
            Goal::at_least(GROUP_CYCLE, "messages/s", rate(GROUP_CYCLE), 5_000.0, 0),
        ]
    }

    fn stored_goals(&self, stored: u64) -> Vec<Goal> {
        let named = |name| self.named(name);
        let standard = format!("{stored} stored, standard");
        let fifo = format!("{stored} stored, FIFO with {} groups", stored / 10);
        let mut goals = Vec::new();
        for (line, rss, rate, ready, receive, rss_max) in [
            (
                &standard,
                "standard RSS",
                "standard rate",
                "standard ready",
                "standard receive",
                150.0,
            ),
            (
                &fifo,
                "FIFO RSS",
                "FIFO rate",
                "FIFO ready",
                "FIFO receive",
                500.0,
            ),
        ] {
            goals.push(Goal::at_most(line, "RSS MB", named(rss), rss_max, 0));
            let drained = "receive and delete ÷ that of an almost empty queue";
            goals.push(Goal::at_least(line, drained, named(rate), 0.9, 2));
            goals.push(Goal::at_most(
                line,
                "kill -9 to ready file, s",
                named(ready),
                3.0,
                2,
            ));
            goals.push(Goal::at_most(
                line,
                "kill -9 to first receive, s",
                named(receive),
                3.0,
                2,
            ));
        }
        goals
    }

    fn other_goals(&self) -> Vec<Goal> {
        let named = |name| self.named(name);
        let polls = "15,000 idle 20-second polls";
        let written = "bytes written, 1 KiB bodies in batches";
        vec![
            Goal::at_most(polls, "KB of RSS per poll", named("poll RSS"), 20.0, 1),
            Goal::at_most(polls, "% of the machine", named("poll CPU"), 5.0, 2),
            Goal::at_most(polls, "wake-up p50, ms", named("wake p50"), f64::NAN, 2),
            Goal::at_most(polls, "wake-up p99, ms", named("wake p99"), 2.0, 2),
            Goal::at_most(written, "÷ bytes accepted, by the disk", named("device"), 1.3, 2),
            Goal::at_most(
                written,
                "÷ bytes accepted, by /proc/PID/io",
                named("written"),
                1.3,
                2,
            ),
            Goal::at_most(
                written,
                "÷ bytes accepted, by the log's frames",
                named("logged"),
                1.3,
                2,
            ),
            Goal::at_most("idle", "RSS MB", named("idle RSS"), 15.0, 1),
            Goal::at_most("idle", "start to ready, ms", named("idle start"), 50.0, 0),
            Goal::at_least(
                "load generator",
                "÷ wrk on Tsugite's SendMessage",
                named("generator"),
                0.9,
                2,
            ),
        ]
    }

    pub(super) fn rate(&self, what: &str, who: &str) -> Series {
        let found = self.work.iter().find(|(key, _)| *key == (what, who));
        found.map(|(_, work)| work.per_second.clone()).unwrap_or_default()
    }

    fn named(&self, name: &str) -> Series {
        self.values.get(name).cloned().unwrap_or_default()
    }
}

pub(super) const SEND: &str = "SendMessage";
pub(super) const BATCH: &str = "SendMessageBatch of 10";
pub(super) const CYCLE: &str = "send 10, receive 10, delete 10";
pub(super) const ONE: &str = "SendMessage, 1 connection";
pub(super) const FIFO_SEND: &str = "FIFO, 1,000 groups: SendMessage";
pub(super) const FIFO_BATCH: &str = "FIFO, 1,000 groups: SendMessageBatch of 10";
pub(super) const FIFO_CYCLE: &str = "FIFO, 1,000 groups: send 10, receive 10, delete 10";
pub(super) const GROUP_SEND: &str = "FIFO, one group: SendMessage";
pub(super) const GROUP_CYCLE: &str = "FIFO, one group, 1 connection: send 10, receive 10, delete 10";

/// A figure that shall be at least, or at most, so much; a bound that is no number asks for nothing.
struct Goal {
    line: String,
    figure: &'static str,
    series: Series,
    bound: f64,
    is_floor: bool,
    decimals: usize,
}

impl Goal {
    fn at_least(line: &str, figure: &'static str, series: Series, bound: f64, decimals: usize) -> Goal {
        Goal {
            line: line.to_owned(),
            figure,
            series,
            bound,
            is_floor: true,
            decimals,
        }
    }

    fn at_most(line: &str, figure: &'static str, series: Series, bound: f64, decimals: usize) -> Goal {
        Goal {
            is_floor: false,
            ..Goal::at_least(line, figure, series, bound, decimals)
        }
    }

    fn cells(&self) -> [String; 5] {
        let (goal, met) = if self.bound.is_nan() {
            (String::new(), "")
        } else {
            let word = if self.is_floor { "at least" } else { "at most" };
            (format!("{word} {}", self.bound), self.met())
        };
        [
            self.line.clone(),
            self.figure.to_owned(),
            show(&self.series, self.decimals),
            goal,
            met.to_owned(),
        ]
    }

    fn met(&self) -> &'static str {
        let median = Spread::of(self.series.values().copied().collect()).median;
        match (median.is_nan(), self.is_floor) {
            (true, _) => "not measured",
            (_, true) if median >= self.bound => "yes",
            (_, false) if median <= self.bound => "yes",
            _ => "**no**",
        }
    }
}

/// Ours divided by theirs in the rounds that have both.
fn over(ours: &Series, theirs: &Series) -> Series {
    ours.iter()
        .filter_map(|(round, ours)| Some((*round, ours / theirs.get(round)?)))
        .collect()
}

fn show(series: &Series, decimals: usize) -> String {
    if series.is_empty() {
        return "-".to_owned();
    }
    Spread::of(series.values().copied().collect()).show(decimals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_stay_within_a_round() {
        let mut board = Board::default();
        for (round, ours, theirs) in [(1, 10.0, Some(5.0)), (2, 40.0, None), (3, 10.0, Some(20.0))] {
            board.round = round;
            board.work(BATCH, "tsugite", [ours, 0.0, 0.0, 0.0]);
            if let Some(theirs) = theirs {
                board.work(BATCH, "redis", [theirs, 0.0, 0.0, 0.0]);
            }
        }
        let ratio = over(&board.rate(BATCH, "tsugite"), &board.rate(BATCH, "redis"));
        assert_eq!(ratio, Series::from([(1, 2.0), (3, 0.5)]));
    }

    #[test]
    fn goals_are_judged_by_the_median() {
        let series = Series::from([(1, 1.0), (2, 2.0), (3, 9.0)]);
        assert_eq!(Goal::at_least("", "", series.clone(), 2.0, 0).met(), "yes");
        assert_eq!(Goal::at_most("", "", series, 1.9, 0).met(), "**no**");
        assert_eq!(Goal::at_most("", "", Series::new(), 1.9, 0).met(), "not measured");
    }
}
