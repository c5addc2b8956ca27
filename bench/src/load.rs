//! The load: clients that each do one thing at a time, driven in a closed loop or at a fixed rate.
//!
//! At a fixed rate each client has its own timetable, and a call's latency counts from the instant at which
//! it was due, not from the instant at which a late client came round to sending it. A proxy that stalls
//! therefore pays for every call that should have been made meanwhile (no coordinated omission).

pub(crate) mod amqp;
pub(crate) mod grpc;
pub(crate) mod http1;
pub(crate) mod nats;
pub(crate) mod redis;
pub(crate) mod sns;
pub(crate) mod sqs;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::Result;
use crate::histogram::Histogram;

/// Something that can be asked to do its one thing again and again.
pub(crate) trait Client {
    /// One call; how many messages it dealt with. After an error the client connects anew by itself.
    async fn call(&mut self) -> io::Result<u64>;
}

/// When the next call is made.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As soon as the last one has been answered.
    Closed,
    /// So many a second over all clients, whatever the answers do.
    PerSecond(u64),
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) latencies: Histogram,
    /// Messages (or requests) dealt with.
    pub(crate) messages: u64,
    pub(crate) errors: u64,
    first_error: Option<io::Error>,
    pub(crate) took: Duration,
}

impl Outcome {
    fn new() -> Outcome {
        Outcome {
            latencies: Histogram::new(),
            messages: 0,
            errors: 0,
            first_error: None,
            took: Duration::ZERO,
        }
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }

    fn note(&mut self, answer: io::Result<u64>, took: Duration) {
        match answer {
            Ok(messages) => {
                self.latencies.record(took);
                self.messages += messages;
            }
            Err(error) => {
                self.errors += 1;
                self.first_error.get_or_insert(error);
            }
        }
    }

    fn merge(&mut self, other: Outcome) {
        self.latencies.merge(&other.latencies);
        self.messages += other.messages;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    /// Refuses figures with a single failed call in them.
    pub(crate) fn flawless(self) -> Result<Outcome> {
        match &self.first_error {
            Some(error) => Err(format!(
                "{} calls failed beside {} answered, the first with: {error}",
                self.errors,
                self.latencies.count()
            )
            .into()),
            None if self.messages == 0 => Err("nothing was done".into()),
            None => Ok(self),
        }
    }

    /// Refuses figures that rest on failed calls.
    pub(crate) fn checked(self) -> Result<Outcome> {
        if self.latencies.count() == 0 || self.errors * 1000 > self.latencies.count() {
            return Err(format!(
                "{} calls failed, {} answered",
                self.errors,
                self.latencies.count()
            )
            .into());
        }
        Ok(self)
    }
}

/// Drives `clients` for `length` and returns them with what they saw.
pub(crate) async fn drive<C: Client + 'static>(
    clients: Vec<C>,
    pace: Pace,
    length: Duration,
) -> (Vec<C>, Outcome) {
    let begin = Instant::now();
    let end = begin + length;
    let count = clients.len() as u32;
    let tasks = (0u32..).zip(clients).map(|(index, client)| {
        tokio::task::spawn_local(one_client(client, Timetable::new(pace, begin, index, count), end))
    });
    gather(tasks.collect(), begin).await
}

/// Drives `clients` in a closed loop until they have dealt with so many messages together; an error when one of
/// their calls fails or `limit` passes before.
pub(crate) async fn drive_through<C: Client + 'static>(
    clients: Vec<C>,
    messages: u64,
    limit: Duration,
) -> Result<Outcome> {
    let begin = Instant::now();
    let left = Rc::new(Cell::new(messages));
    let tasks = clients.into_iter().map(|mut client| {
        let left = Rc::clone(&left);
        tokio::task::spawn_local(async move {
            let mut seen = Outcome::new();
            while left.get() > 0 && seen.errors == 0 && begin.elapsed() < limit {
                let from = Instant::now();
                let answer = client.call().await;
                left.set(left.get().saturating_sub(*answer.as_ref().unwrap_or(&0)));
                seen.note(answer, from.elapsed());
            }
            (client, seen)
        })
    });
    let (_, outcome) = gather(tasks.collect(), begin).await;
    if left.get() > 0 && outcome.errors == 0 {
        return Err(format!(
            "{} of {messages} messages were still to do after {limit:?}",
            left.get()
        )
        .into());
    }
    outcome.flawless()
}

async fn gather<C>(tasks: Vec<JoinHandle<(C, Outcome)>>, begin: Instant) -> (Vec<C>, Outcome) {
    let (mut all, mut back) = (Outcome::new(), Vec::new());
    for task in tasks {
        let Ok((client, seen)) = task.await else { continue };
        all.merge(seen);
        back.push(client);
    }
    all.took = begin.elapsed();
    (back, all)
}

async fn one_client<C: Client>(mut client: C, mut timetable: Timetable, end: Instant) -> (C, Outcome) {
    let mut seen = Outcome::new();
    loop {
        let due = timetable.next();
        if due >= end {
            return (client, seen);
        }
        if let Some(wait) = due.checked_duration_since(Instant::now()) {
            tokio::time::sleep(wait).await;
        }
        // A timer of the runtime fires up to a millisecond late; that is ours, not the proxy's.
        let from = if timetable.is_late(due) {
            due
        } else {
            Instant::now()
        };
        let answer = client.call().await;
        seen.note(answer, from.elapsed());
        timetable.answered();
    }
}

/// The instants at which one client's calls are due.
struct Timetable {
    interval: Option<Duration>,
    next: Instant,
    answered: Instant,
}

impl Timetable {
    fn new(pace: Pace, begin: Instant, index: u32, count: u32) -> Timetable {
        match pace {
            Pace::Closed => Timetable {
                interval: None,
                next: begin,
                answered: begin,
            },
            Pace::PerSecond(rate) => {
                let interval = Duration::from_secs_f64(f64::from(count) / rate as f64);
                let next = begin + interval.mul_f64(f64::from(index) / f64::from(count));
                Timetable {
                    interval: Some(interval),
                    next,
                    answered: begin,
                }
            }
        }
    }

    fn next(&mut self) -> Instant {
        let Some(interval) = self.interval else {
            return Instant::now();
        };
        let due = self.next;
        self.next += interval;
        due
    }

    /// Whether the last answer came after `due`, so that the call was held up by the one before.
    fn is_late(&self, due: Instant) -> bool {
        self.answered > due
    }

    fn answered(&mut self) {
        self.answered = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers at once, save one call that stalls.
    struct StallsOnce {
        calls: u32,
    }

    impl Client for StallsOnce {
        async fn call(&mut self) -> io::Result<u64> {
            self.calls += 1;
            if self.calls == 5 {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Ok(1)
        }
    }

    #[test]
    fn a_stall_counts_for_every_call_that_was_due_meanwhile() -> Result<()> {
        crate::on_one_thread(async {
            let clients = vec![StallsOnce { calls: 0 }];
            let (_, outcome) = drive(clients, Pace::PerSecond(100), Duration::from_millis(500)).await;
            assert_eq!(outcome.latencies.count(), 50, "late calls are made all the same");
            // 200 ms of stall at 100 a second: some 20 calls were late, so the 75 % quantile shows it.
            assert!(outcome.latencies.quantile_us(0.75) > 20_000.0);
            assert!(outcome.latencies.quantile_us(0.40) < 20_000.0);
            Ok(())
        })
    }
}
