//! What every scenario sets up: a topic with many queues, and how it is seen that all of them got everything.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::CONNECTIONS;
use crate::Result;
use crate::load::http1::Http1;
use crate::load::sns::Topic;
use crate::load::sqs;
use crate::load::{Client, Pace, drive};
use crate::process::Process;

/// Between two looks at queues that lack messages.
const LOOK: Duration = Duration::from_millis(200);
/// Longest that deliveries may come after the last answer.
const LATE: Duration = Duration::from_secs(300);
/// Before what is measured.
const WARM_UP: Duration = Duration::from_millis(500);

/// A topic with the URLs of the queues that are subscribed to it.
pub(super) struct Stage {
    address: SocketAddr,
    pub(super) topic: Topic,
    queues: Vec<String>,
}

impl Stage {
    /// A topic and so many queues, each subscribed with the attributes that `attributes` gives for its number.
    pub(super) async fn set(
        address: SocketAddr,
        name: &str,
        queues: usize,
        attributes: impl Fn(usize) -> Vec<(&'static str, String)>,
    ) -> Result<Stage> {
        let topic = Topic::create(address, name).await?;
        let mut urls = Vec::with_capacity(queues);
        let mut connection = Http1::new(address);
        for number in 0..queues {
            let queue = format!("{name}-{number}");
            let create = sqs::post(address, "CreateQueue", &json!({ "QueueName": queue }));
            let answer: Value = serde_json::from_slice(connection.exchange(&create).await?)?;
            let url = answer["QueueUrl"].as_str().ok_or("CreateQueue answers no URL")?;
            urls.push(url.to_owned());
            let arn = format!("arn:aws:sqs:us-east-1:000000000000:{queue}");
            let attributes = attributes(number);
            let attributes: Vec<(&str, &str)> = attributes
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            topic.subscribe(&mut connection, "sqs", &arn, &attributes).await?;
        }
        Ok(Stage {
            address,
            topic,
            queues: urls,
        })
    }

    /// Messages that lie in the queues now.
    pub(super) async fn stored(&self) -> Result<u64> {
        let mut connection = Http1::new(self.address);
        let mut stored = 0;
        for url in &self.queues {
            let body = json!({ "QueueUrl": url, "AttributeNames": ["ApproximateNumberOfMessages"] });
            let request = sqs::post(self.address, "GetQueueAttributes", &body);
            let answer: Value = serde_json::from_slice(connection.exchange(&request).await?)?;
            let count = answer["Attributes"]["ApproximateNumberOfMessages"].as_str();
            stored += count
                .and_then(|count| count.parse::<u64>().ok())
                .ok_or("no number of messages")?;
        }
        Ok(stored)
    }

    /// Waits until so many messages lie in the queues; when that was. More, or fewer in the end, is an error.
    async fn wait_for(&self, expected: u64) -> Result<Instant> {
        let begin = Instant::now();
        loop {
            let seen = Instant::now();
            let stored = self.stored().await?;
            if stored == expected {
                return Ok(seen);
            }
            if stored > expected || begin.elapsed() > LATE {
                return Err(format!("{stored} messages lie in the queues instead of {expected}").into());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The figures of clients in a closed loop, as [`crate::board::Board::work`] takes them, each message of theirs
    /// counting as `weight` deliveries: per second until the last one lies in its queue, processor µs per delivery, p50
    /// and p99 of a call in µs.
    pub(super) async fn measure<C: Client + 'static>(
        &self,
        process: &Process,
        length: Duration,
        weight: u64,
        make: impl FnMut(usize) -> C,
    ) -> Result<[f64; 4]> {
        let clients = (0..CONNECTIONS).map(make).collect();
        let (clients, warm) = drive(clients, Pace::Closed, WARM_UP).await;
        let before = warm.flawless()?.messages * weight;
        self.wait_for(before).await?;
        let (cpu, begin) = (process.cpu_seconds(), Instant::now());
        let (_, outcome) = drive(clients, Pace::Closed, length).await;
        let outcome = outcome.flawless()?;
        let answered = Instant::now();
        let deliveries = outcome.messages * weight;
        let cpu_then = process.cpu_seconds();
        let seen = self.wait_for(before + deliveries).await?;
        // Queues that have everything at the first look had it with the last answer.
        let late = seen.duration_since(answered) > LOOK;
        let (end, cpu_then) = match late {
            true => (seen, process.cpu_seconds()),
            false => (answered, cpu_then),
        };
        Ok([
            deliveries as f64 / end.duration_since(begin).as_secs_f64(),
            (cpu_then - cpu) * 1e6 / deliveries as f64,
            outcome.latencies.quantile_us(0.50),
            outcome.latencies.quantile_us(0.99),
        ])
    }
}
