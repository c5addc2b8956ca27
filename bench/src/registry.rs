//! The registry's performance goals, line by line, beside the peers, in one run and with ratios within a round.

mod discover;
mod dns;
mod idle;
mod large;
mod register;
mod stage;
mod visible;

use crate::board::{Board, Goal};
use crate::report::{machine, publish};
use crate::{Options, Result};

/// Connections of the load, unless a scenario says otherwise.
const CONNECTIONS: usize = 64;

/// The scenarios of a round in their order, and in how many rounds at most each is played.
const SCENARIOS: &[(&str, usize)] = &[
    ("discover", usize::MAX),
    ("register", usize::MAX),
    ("heartbeats", usize::MAX),
    ("visible", usize::MAX),
    ("dns", usize::MAX),
    ("one", 3),
    ("watchers", 3),
    ("million", 1),
];

/// Plays the rounds and publishes the tables; an error when a scenario failed, after all have been played.
pub(crate) async fn run(options: Options) -> Result<()> {
    for name in options.only.iter().flatten() {
        if !SCENARIOS.iter().any(|(known, _)| known == name) {
            let known: Vec<&str> = SCENARIOS.iter().map(|(known, _)| *known).collect();
            return Err(format!("--only {name}: not one of {}", known.join(", ")).into());
        }
    }
    let described = format!(
        "{}{} rounds in turn, {} s of each measurement, {CONNECTIONS} connections. Tsugite runs as it comes: all roles on, \
         a worker for each core, a sync before every answer to a registration. Values: median [least..most] over the \
         rounds; ratios are taken within a round. A call that fails fails its measurement.\n",
        machine(&[("nginx", &["-v"])]),
        options.rounds,
        options.seconds.as_secs(),
    );
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
    let text = format!("{described}\n{}", board.show(&goals(&board)));
    publish("registry", &text, options.write)?;
    match board.failures() {
        0 => Ok(()),
        failures => Err(format!("{failures} measurements failed, see above").into()),
    }
}

async fn play(name: &str, options: &Options, board: &mut Board) -> Result<()> {
    match name {
        "discover" => discover::run(options, board).await,
        "register" => register::registrations(options, board).await,
        "heartbeats" => register::heartbeats(options, board).await,
        "visible" => visible::run(board).await,
        "dns" => dns::run(options, board).await,
        "one" => large::one_service(options, board).await,
        "watchers" => idle::run(board).await,
        _ => large::million(board).await,
    }
}

/// Every goal with what was measured.
fn goals(board: &Board) -> Vec<Goal> {
    let mut all = dns::goals(board);
    all.extend(visible::goals(board));
    all.extend(discover::goals(board));
    all.extend(register::goals(board));
    all.extend(large::goals(board));
    all.extend(idle::goals(board));
    all
}
