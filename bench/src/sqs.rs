//! The queues' performance goals, line by line, beside the peers, in one run and with ratios within a round.

mod goals;
mod still;
mod stored;
mod throughput;
mod written;

use std::time::Duration;

use crate::board::Board;
use crate::report::{machine, publish};
use crate::{Options, Result};

/// Bytes of a message's body, unless a scenario says otherwise.
const BODY_BYTES: usize = 200;
/// Connections of the load, unless a scenario says otherwise.
const CONNECTIONS: usize = 64;

/// The scenarios of a round in their order, and in how many rounds at most each is played.
const SCENARIOS: &[(&str, usize)] = &[
    ("generator", usize::MAX),
    ("send", usize::MAX),
    ("batch", usize::MAX),
    ("cycle", usize::MAX),
    ("one", usize::MAX),
    ("fifo", usize::MAX),
    ("written", usize::MAX),
    ("idle", usize::MAX),
    ("polls", 3),
    ("stored", 1),
];

/// Plays the rounds and publishes the tables; an error when a scenario failed, after all have been played.
pub(crate) async fn run(options: Options) -> Result<()> {
    for name in options.only.iter().flatten() {
        if !SCENARIOS.iter().any(|(known, _)| known == name) {
            let known: Vec<&str> = SCENARIOS.iter().map(|(known, _)| *known).collect();
            return Err(format!("--only {name}: not one of {}", known.join(", ")).into());
        }
    }
    let described = describe(&options);
    let mut board = Board::default();
    for round in 1..=options.rounds {
        board.round = round;
        for (name, _) in SCENARIOS
            .iter()
            .filter(|(name, rounds)| options.plays(name) && round <= *rounds)
        {
            eprintln!("round {round}: {name}");
            if let Err(error) = play(name, &options, &mut board).await {
                board.failed(name, &*error);
            }
        }
    }
    let text = format!(
        "{described}\n{}",
        board.show(&goals::goals(&board, options.stored))
    );
    publish("sqs", &text, options.write)?;
    match board.failures() {
        0 => Ok(()),
        failures => Err(format!("{failures} measurements failed, see above").into()),
    }
}

async fn play(name: &str, options: &Options, board: &mut Board) -> Result<()> {
    match name {
        "generator" => throughput::generator(options, board).await,
        "send" => throughput::send(options, board).await,
        "batch" => throughput::batch(options, board).await,
        "cycle" => throughput::cycle(options, board).await,
        "one" => throughput::one_connection(options, board).await,
        "fifo" => throughput::fifo(options, board).await,
        "written" => written::run(options, board).await,
        "idle" => still::idle(board).await,
        "polls" => still::polls(board).await,
        _ => stored::run(options, board).await,
    }
}

fn describe(options: &Options) -> String {
    let programs: &[(&str, &[&str])] = &[
        ("nginx", &["-v"]),
        ("redis-server", &["--version"]),
        ("nats-server", &["--version"]),
        ("dpkg-query", &["-W", "rabbitmq-server"]),
    ];
    format!(
        "{}{} rounds in turn, {} s of each measurement, bodies of {BODY_BYTES} bytes, {CONNECTIONS} connections. Tsugite \
         runs as it comes: all roles on, a worker for each core, a sync before every answer. LocalStack and moto keep \
         messages in memory only. Values: median [least..most] over the rounds; ratios are taken within a round. A call \
         that fails, or whose answer lacks a message, fails its measurement.\n",
        machine(programs),
        options.rounds,
        options.seconds.as_secs(),
    )
}

/// Lets what is under way come to rest before memory is read.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}
