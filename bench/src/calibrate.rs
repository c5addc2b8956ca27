//! Is the load generator itself in order? wrk and h2load against the bare upstream, in turn with ours.

use std::process::Command;

use crate::gateway::start_upstream;
use crate::load::grpc::Unary;
use crate::load::http1::Get;
use crate::load::{Pace, drive};
use crate::peers::home;
use crate::report::{Spread, publish, ratio};
use crate::{Options, Result, upstream};

/// Ours must reach this share of theirs.
const SHARE_MIN: f64 = 0.9;

/// Compares throughput and publishes the ratios; an error when ours is too slow to measure with.
pub(crate) async fn run(options: Options) -> Result<()> {
    let (upstream, _process) = start_upstream()?;
    let message = home("calibrate")?.join("message");
    std::fs::write(&message, upstream::grpc_message(16))?;
    let seconds = options.seconds.as_secs().to_string();
    let [mut ours_http1, mut wrk, mut ours_grpc, mut h2load] = [const { Vec::new() }; 4];
    for _ in 0..options.rounds {
        let address = ([127, 0, 0, 1], upstream.http1).into();
        let clients = (0..64).map(|_| Get::new(address, "bench")).collect();
        ours_http1.push(
            drive(clients, Pace::Closed, options.seconds)
                .await
                .1
                .checked()?
                .per_second(),
        );
        let url = format!("http://{address}/");
        wrk.push(rate_of(
            "wrk",
            &["-t1", "-c64", &format!("-d{seconds}s"), &url],
            "Requests/sec:",
        )?);

        let address = ([127, 0, 0, 1], upstream.grpc).into();
        let clients = Unary::slots(address, "bench", 8, 8).await?;
        ours_grpc.push(
            drive(clients, Pace::Closed, options.seconds)
                .await
                .1
                .checked()?
                .per_second(),
        );
        let url = format!("http://{address}/bench.Bench/Call");
        let message = message.display().to_string();
        let grpc = [
            "-H",
            "content-type: application/grpc",
            "-H",
            "te: trailers",
            "-d",
            &message,
        ];
        let arguments = [&["-c8", "-m8", "-D", &seconds], grpc.as_slice(), &[&url]].concat();
        h2load.push(rate_of("h2load", &arguments, "finished in")?);
    }
    let (http1, grpc) = (ratio(&ours_http1, &wrk), ratio(&ours_grpc, &h2load));
    let text = format!(
        "Our load generator on the bare upstream, requests/s: {} against wrk's {} (ratio {}); gRPC {} against h2load's {} \
         (ratio {}).\n",
        Spread::of(ours_http1).show(0),
        Spread::of(wrk).show(0),
        http1.show(2),
        Spread::of(ours_grpc).show(0),
        Spread::of(h2load).show(0),
        grpc.show(2),
    );
    publish("calibration", &text, options.write)?;
    if http1.median < SHARE_MIN || grpc.median < SHARE_MIN {
        return Err(format!("our generator reaches less than {SHARE_MIN} of theirs").into());
    }
    Ok(())
}

/// Requests per second in a tool's output, on the line with `mark`: `Requests/sec: 123.4`, or
/// `finished in 5.00s, 123.40 req/s, …`.
pub(crate) fn rate_of(program: &str, arguments: &[&str], mark: &str) -> Result<f64> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if let Some(failures) = text.lines().find(|line| line.contains("Non-2xx")) {
        return Err(format!("{program}: {}", failures.trim()).into());
    }
    let line = text
        .lines()
        .find_map(|line| line.split_once(mark))
        .ok_or_else(|| format!("{program} said:\n{text}"))?
        .1;
    let rate = line
        .split(',')
        .find_map(|part| part.trim().trim_end_matches(" req/s").parse::<f64>().ok());
    rate.ok_or_else(|| format!("{program}: no rate in `{line}`").into())
}
