//! The topics' performance goals, line by line, beside LocalStack and moto, in one run and with ratios within a round.

mod fanout;
mod filters;
mod goals;
mod posts;
mod receiver;
mod stage;

use crate::board::Board;
use crate::report::{machine, publish};
use crate::servers::Peer;
use crate::{Options, Result};

/// Bytes of a message's body, unless a scenario says otherwise.
const BODY_BYTES: usize = 200;
/// Connections of the load.
const CONNECTIONS: usize = 64;
/// Who else has topics.
const PEERS: [Peer; 2] = [Peer::Localstack, Peer::Moto];
/// The scenarios of a round in their order.
const SCENARIOS: [&str; 5] = ["fanout", "written", "filters", "posts", "hanging"];

/// Plays the rounds and publishes the tables; an error when a scenario failed, after all have been played.
pub(crate) async fn run(options: Options) -> Result<()> {
    for name in options.only.iter().flatten() {
        if !SCENARIOS.contains(&name.as_str()) {
            return Err(format!("--only {name}: not one of {}", SCENARIOS.join(", ")).into());
        }
    }
    let described = format!(
        "{}{} rounds in turn, {} s of each measurement, bodies of {BODY_BYTES} bytes, {CONNECTIONS} connections. Tsugite \
         runs as it comes: all roles on, a worker for each core, a sync before every answer, and whatever it answers is \
         stored for every subscription. LocalStack and moto keep everything in memory only, and LocalStack answers before \
         it delivers: a delivery counts once the message lies in its queue, so that its time ends when the last one does. \
         Values: median [least..most] over the rounds; ratios are taken within a round. A call that fails, or a message \
         that some queue or endpoint lacks in the end, fails its measurement.\n",
        machine(&[]),
        options.rounds,
        options.seconds.as_secs(),
    );
    let mut board = Board::default();
    for round in 1..=options.rounds {
        board.round = round;
        for name in SCENARIOS.into_iter().filter(|name| options.plays(name)) {
            eprintln!("round {round}: {name}");
            if let Err(error) = play(name, &options, &mut board).await {
                board.failed(name, &*error);
            }
        }
    }
    let text = format!("{described}\n{}", board.show(&goals::goals(&board)));
    publish("sns", &text, options.write)?;
    match board.failures() {
        0 => Ok(()),
        failures => Err(format!("{failures} measurements failed, see above").into()),
    }
}

async fn play(name: &str, options: &Options, board: &mut Board) -> Result<()> {
    match name {
        "fanout" => fanout::run(options, board).await,
        "written" => fanout::written(options, board).await,
        "filters" => filters::run(options, board).await,
        "posts" => posts::fast(options, board).await,
        _ => posts::hanging(options, board).await,
    }
}

fn body(bytes: usize) -> String {
    "x".repeat(bytes)
}
