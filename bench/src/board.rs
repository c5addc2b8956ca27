//! What was measured, and whether it meets the goals.

use std::collections::{BTreeMap, BTreeSet};

use crate::report::{Spread, Table};

/// A figure's value by round, so that ratios are taken within a round even when another round failed.
pub(crate) type Series = BTreeMap<usize, f64>;

/// One contender's figures of one kind of work.
#[derive(Default)]
pub(crate) struct Work {
    pub(crate) per_second: Series,
    pub(crate) cpu_us: Series,
    pub(crate) p50_us: Series,
    pub(crate) p99_us: Series,
}

/// All figures of a run.
#[derive(Default)]
pub(crate) struct Board {
    /// The round under way.
    pub(crate) round: usize,
    work: Vec<((&'static str, &'static str), Work)>,
    values: BTreeMap<&'static str, Series>,
    skipped: BTreeSet<String>,
    failed: Vec<String>,
}

impl Board {
    /// What one measured in this round: messages per second, processor µs per message, p50 and p99 of a call in µs.
    pub(crate) fn work(&mut self, what: &'static str, who: &'static str, measured: [f64; 4]) {
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
            // What was not measured has no place in a table.
            if !value.is_nan() {
                series.insert(self.round, value);
            }
        }
    }

    pub(crate) fn value(&mut self, name: &'static str, value: f64) {
        self.values.entry(name).or_default().insert(self.round, value);
    }

    pub(crate) fn skipped(&mut self, who: &str, why: &str) {
        eprintln!("  {who} is left out: {why}");
        self.skipped.insert(format!("{who} is left out: {why}."));
    }

    pub(crate) fn failed(&mut self, what: &str, error: &dyn std::error::Error) {
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

    pub(crate) fn failures(&self) -> usize {
        self.failed.len()
    }

    /// The tables and what was left out.
    pub(crate) fn show(&self, goals: &[Goal]) -> String {
        let mut table = Table::new(&["line", "figure", "measured", "goal", "met"]);
        for goal in goals {
            table.row(&goal.cells());
        }
        let mut text = format!("### Goals\n\n{}\n", table.into_text());
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

    pub(crate) fn rate(&self, what: &str, who: &str) -> Series {
        let found = self.work.iter().find(|(key, _)| *key == (what, who));
        found.map(|(_, work)| work.per_second.clone()).unwrap_or_default()
    }

    /// A figure of Tsugite's alone.
    pub(crate) fn named(&self, name: &str) -> Series {
        self.values.get(name).cloned().unwrap_or_default()
    }
}

/// A figure that shall be at least, or at most, so much; a bound that is no number asks for nothing.
pub(crate) struct Goal {
    line: String,
    figure: &'static str,
    series: Series,
    bound: f64,
    is_floor: bool,
    decimals: usize,
}

impl Goal {
    pub(crate) fn at_least(
        line: &str,
        figure: &'static str,
        series: Series,
        bound: f64,
        decimals: usize,
    ) -> Goal {
        Goal {
            line: line.to_owned(),
            figure,
            series,
            bound,
            is_floor: true,
            decimals,
        }
    }

    pub(crate) fn at_most(
        line: &str,
        figure: &'static str,
        series: Series,
        bound: f64,
        decimals: usize,
    ) -> Goal {
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
pub(crate) fn over(ours: &Series, theirs: &Series) -> Series {
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
            board.work("batch", "tsugite", [ours, 0.0, 0.0, 0.0]);
            if let Some(theirs) = theirs {
                board.work("batch", "redis", [theirs, 0.0, 0.0, 0.0]);
            }
        }
        let ratio = over(&board.rate("batch", "tsugite"), &board.rate("batch", "redis"));
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
