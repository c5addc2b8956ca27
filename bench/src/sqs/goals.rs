//! The queues' goals, and what the lines of their tables are called.

use crate::board::{Board, Goal, over};

/// Every goal with what was measured.
pub(super) fn goals(board: &Board, stored: u64) -> Vec<Goal> {
    let mut all = throughput_goals(board);
    all.extend(stored_goals(board, stored));
    all.extend(other_goals(board));
    all
}

fn throughput_goals(board: &Board) -> Vec<Goal> {
    let rate = |what| board.rate(what, "tsugite");
    let against = |what, who| over(&rate(what), &board.rate(what, who));
    let mut bar = board.rate(SEND, "nginx");
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
            board.named("one above sync"),
            150.0,
            0,
        ),
        Goal::at_most(
            ONE,
            "p50 - p50 of fdatasync in place, µs",
            board.named("one above sync in place"),
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

fn stored_goals(board: &Board, stored: u64) -> Vec<Goal> {
    let named = |name| board.named(name);
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

fn other_goals(board: &Board) -> Vec<Goal> {
    let named = |name| board.named(name);
    let polls = "15,000 idle 20-second polls";
    let written = "bytes written, 1 KiB bodies in batches";
    vec![
        Goal::at_most(polls, "KB of RSS per poll", named("poll RSS"), 20.0, 1),
        Goal::at_most(polls, "% of the machine", named("poll CPU"), 5.0, 2),
        Goal::at_most(polls, "wake-up p50, ms", named("wake p50"), f64::NAN, 2),
        Goal::at_most(polls, "wake-up p99, ms", named("wake p99"), 2.0, 2),
        Goal::at_most(
            polls,
            "the sender's own answer meanwhile, p50, ms",
            named("wake send p50"),
            f64::NAN,
            2,
        ),
        Goal::at_most(
            polls,
            "the sender's own answer meanwhile, p99, ms",
            named("wake send p99"),
            f64::NAN,
            2,
        ),
        Goal::at_most(
            polls,
            "the disk alone: a sync after as long a pause, p50, ms",
            named("wake disk p50"),
            f64::NAN,
            2,
        ),
        Goal::at_most(
            polls,
            "the disk alone: a sync after as long a pause, p99, ms",
            named("wake disk p99"),
            f64::NAN,
            2,
        ),
        Goal::at_most(
            polls,
            "the poller's answer after the sender's, p99, ms",
            named("wake after p99"),
            f64::NAN,
            2,
        ),
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

pub(super) const SEND: &str = "SendMessage";
pub(super) const BATCH: &str = "SendMessageBatch of 10";
pub(super) const CYCLE: &str = "send 10, receive 10, delete 10";
pub(super) const ONE: &str = "SendMessage, 1 connection";
pub(super) const FIFO_SEND: &str = "FIFO, 1,000 groups: SendMessage";
pub(super) const FIFO_BATCH: &str = "FIFO, 1,000 groups: SendMessageBatch of 10";
pub(super) const FIFO_CYCLE: &str = "FIFO, 1,000 groups: send 10, receive 10, delete 10";
pub(super) const GROUP_SEND: &str = "FIFO, one group: SendMessage";
pub(super) const GROUP_CYCLE: &str = "FIFO, one group, 1 connection: send 10, receive 10, delete 10";
