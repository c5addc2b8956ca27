//! The topics' goals, and what the lines of their tables are called.

use crate::board::{Board, Goal, over};

pub(super) const FANOUT: &str = "Publish to 100 queues, deliveries";
pub(super) const FANOUT_BATCH: &str = "PublishBatch of 10 to 100 queues, deliveries";
pub(super) const FEW_POLICIES: &str = "10 filter policies, publishes that match one";
pub(super) const PEER_POLICIES: &str = "200 filter policies, publishes that match one";
pub(super) const MANY_POLICIES: &str = "10,000 filter policies, publishes that match one";
pub(super) const RAW_POSTS: &str = "deliveries over HTTP to a fast endpoint, raw";
pub(super) const POSTS: &str = "deliveries over HTTP to a fast endpoint, each signed";
pub(super) const SHARED_POSTS: &str = "deliveries over HTTP to a fast endpoint, ten for each signature";

/// Every goal with what was measured.
pub(super) fn goals(board: &Board) -> Vec<Goal> {
    let rate = |what| board.rate(what, "tsugite");
    let against = |what, who| over(&rate(what), &board.rate(what, who));
    let hanging = "half of the endpoints hang: p99 from publish to the others";
    vec![
        Goal::at_least(FANOUT, "deliveries/s", rate(FANOUT), 300_000.0, 0),
        Goal::at_least(FANOUT_BATCH, "deliveries/s", rate(FANOUT_BATCH), 300_000.0, 0),
        Goal::at_least(FANOUT, "÷ LocalStack", against(FANOUT, "localstack"), f64::NAN, 0),
        Goal::at_least(FANOUT, "÷ moto", against(FANOUT, "moto"), f64::NAN, 0),
        Goal::at_most(
            "bytes written, 64 KiB to 100 queues",
            "÷ bytes accepted, by the log's frames",
            board.named("logged"),
            1.3,
            2,
        ),
        Goal::at_least(MANY_POLICIES, "publishes/s", rate(MANY_POLICIES), 20_000.0, 0),
        Goal::at_least(
            MANY_POLICIES,
            "÷ 10 policies",
            over(&rate(MANY_POLICIES), &rate(FEW_POLICIES)),
            f64::NAN,
            2,
        ),
        Goal::at_least(
            PEER_POLICIES,
            "÷ LocalStack",
            against(PEER_POLICIES, "localstack"),
            f64::NAN,
            0,
        ),
        Goal::at_least(
            PEER_POLICIES,
            "÷ moto",
            against(PEER_POLICIES, "moto"),
            f64::NAN,
            0,
        ),
        Goal::at_least(RAW_POSTS, "deliveries/s", rate(RAW_POSTS), 10_000.0, 0),
        Goal::at_least(POSTS, "deliveries/s", rate(POSTS), 10_000.0, 0),
        Goal::at_least(SHARED_POSTS, "deliveries/s", rate(SHARED_POSTS), 10_000.0, 0),
        Goal::at_least(POSTS, "÷ LocalStack", against(POSTS, "localstack"), f64::NAN, 0),
        Goal::at_most(hanging, "ms, none hangs", board.named("p99 none"), f64::NAN, 2),
        Goal::at_most(hanging, "ms, half hang", board.named("p99 half"), f64::NAN, 2),
        Goal::at_most(hanging, "÷ none hangs", board.named("p99 ratio"), 1.1, 2),
    ]
}
