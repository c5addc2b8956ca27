//! `tsugite demo`: a whole Tsugite with an order system of example services, walked through joint by joint.
//!
//! The program under the demo is the one that `tsugite up` runs, over a data directory of its own that goes when the
//! demo does. Every step is a real call; a step that did not happen ends the demo with exit code 1.

mod aws;
mod client;
mod kitchen;
mod narrator;
mod services;
mod story;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use crate::cli::Failed;
use crate::cli::up::{control_runtime, open_store};
use crate::config::{Config, Overrides};
use crate::run::{self, Addresses, Listeners, Stop, signals};
use crate::{process, telemetry, world};

use self::narrator::Narrator;
use self::story::Stage;

/// The demo's configuration beside the addresses: what a team would write for an impatient caller.
fn configuration() -> String {
    format!(
        "services:\n  - name: customers\n    circuit:\n      min_calls: 5\n      slow_call_duration: {}ms\n      open:\n        base: 2s\n",
        story::SLOW_CALL.as_millis()
    )
}

/// Plays the demo; with `keep` everything stays up afterwards until a signal comes.
pub(crate) fn demo(keep: bool) -> Result<(), Failed> {
    let (world, _clock) = world::host();
    let data = DataDir::new(&world)?;
    let (config, listeners) = bind(&data.0)?;
    telemetry::init(&config.log);
    process::raise_open_files();
    let store = open_store(&config, world.clone())?;
    let runtime = control_runtime().map_err(failure)?;
    let outcome = runtime.block_on(async {
        let (stop, stopping) = watch::channel(Stop::Not);
        let (_config, configs) = watch::channel(Arc::new(config));
        let (announce, ready) = oneshot::channel();
        let on_ready = Box::new(move |addresses: &Addresses| {
            // Nobody listens any more only if the demo has ended already.
            let _ = announce.send(*addresses);
        });
        let program = tokio::spawn(run::run(
            configs,
            listeners,
            store.clone(),
            world,
            None,
            stopping,
            on_ready,
        ));
        let told = perform(ready, keep).await;
        let _ = stop.send(Stop::Now);
        let ended = program.await.map_err(failure)?;
        told?;
        ended.map_err(failure)
    });
    store.close_blocking();
    outcome
}

async fn perform(ready: oneshot::Receiver<Addresses>, keep: bool) -> Result<(), Failed> {
    let addresses = ready
        .await
        .map_err(|_| Failed::Failure("Tsugite did not start".to_owned()))?;
    let stage = stage(&addresses).ok_or_else(|| Failed::Failure("a role did not start".to_owned()))?;
    let n = Narrator;
    n.say("Tsugite is up: gateway, AWS API, admin API and DNS in one process. Each $ line can be repeated as it is.");
    n.say(&format!(
        "gateway http://{}   aws http://{}",
        stage.gateway, stage.aws
    ));
    n.say(&format!("admin   http://{}   dns {}", stage.admin, stage.dns));
    let mut stop = signals::stop().map_err(failure)?;
    tokio::select! {
        told = story::play(stage) => told.map_err(|what| Failed::Failure(format!("the demo failed: {what}")))?,
        _ = stop.wait_for(|stop| *stop != Stop::Not) => return Err(Failed::Failure("interrupted".to_owned())),
    }
    n.chapter("Every step happened.");
    n.say("Next: `tsugite up` starts the same without the example services; the README goes on from there.");
    n.say("examples/ has this order system in Python and JavaScript, with stock libraries only.");
    if keep {
        n.say(&format!(
            "Everything stays up until you press Ctrl-C. Console: http://{}/",
            stage.admin
        ));
        let _ = stop.wait_for(|stop| *stop != Stop::Not).await;
    } else {
        n.say("`tsugite demo --keep` leaves everything running, so that you can repeat each $ line.");
    }
    Ok(())
}

fn stage(addresses: &Addresses) -> Option<Stage> {
    let Addresses {
        gateway,
        aws,
        admin,
        dns,
    } = *addresses;
    Some(Stage {
        gateway: gateway?,
        aws: aws?,
        admin: admin?,
        dns: dns?,
    })
}

/// The usual ports if they are free, any free ones otherwise: a demo should not fail because something runs already.
fn bind(data: &Path) -> Result<(Config, Listeners), Failed> {
    let text = configuration();
    let parse = |any: Option<String>| {
        let overrides = Overrides {
            data: Some(data.display().to_string()),
            gateway: any.clone(),
            aws: any.clone(),
            admin: any.clone(),
            dns: any,
            log_level: Some("error".to_owned()),
            ..Overrides::default()
        };
        Config::parse(Path::new("the demo's configuration"), &text, &overrides).map_err(failure)
    };
    let usual = parse(None)?;
    if let Ok(listeners) = Listeners::bind(&usual) {
        return Ok((usual, listeners));
    }
    let any = parse(Some(SocketAddr::from(([127, 0, 0, 1], 0)).to_string()))?;
    let listeners = Listeners::bind(&any).map_err(failure)?;
    Ok((any, listeners))
}

/// A data directory that is removed at the end, however the demo ends.
struct DataDir(PathBuf);

impl DataDir {
    fn new(world: &tsugite_base::World) -> Result<DataDir, Failed> {
        let path = std::env::temp_dir().join(format!("tsugite-demo-{}", world.uuid()));
        std::fs::create_dir(&path)
            .map_err(|error| Failed::Failure(format!("{}: {error}", path.display())))?;
        Ok(DataDir(path))
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        // What cannot be removed is in the temporary directory, where the host cleans up.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn failure(error: impl std::fmt::Display) -> Failed {
    Failed::Failure(error.to_string())
}
