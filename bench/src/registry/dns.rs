//! DNS queries beside other servers.

use crate::board::{Board, Goal};
use crate::{Options, Result};

#[expect(
    clippy::unused_async,
    reason = "the measurements to come wait for their load generators"
)]
pub(super) async fn run(_: &Options, board: &mut Board) -> Result<()> {
    board.skipped("DNS", "its measurements are not built yet");
    Ok(())
}

pub(super) fn goals(_: &Board) -> Vec<Goal> {
    Vec::new()
}
