//! `tsugite queues redrive`: move the messages of a dead-letter queue back, or elsewhere.

use std::time::Duration;

use clap::Args;
use serde_json::{Value, json};

use super::Failed;
use super::admin::{plain, print};
use super::client::Target;

/// Between two looks at a task that is waited for.
const LOOK: Duration = Duration::from_millis(250);

#[derive(Debug, Args)]
pub(super) struct Redrive {
    /// The dead-letter queue's name
    pub(super) queue: String,
    /// Where its messages go [default: each to the queue that it came from]
    #[arg(long, value_name = "QUEUE")]
    to: Option<String>,
    /// Messages per second, 1 to 500 [default: as fast as possible]
    #[arg(long, value_name = "NUMBER")]
    rate: Option<i64>,
    /// Wait until it has ended; fails if it did not complete
    #[arg(long)]
    wait: bool,
    /// Show the latest ones instead of starting one
    #[arg(long, conflicts_with_all = ["to", "rate", "wait", "cancel"])]
    list: bool,
    /// Stop the one that runs; what it has moved stays moved
    #[arg(long, conflicts_with_all = ["to", "rate", "wait"])]
    cancel: bool,
}

impl Redrive {
    /// `path` is that of the queue's redrives.
    pub(super) fn run(&self, target: &Target, path: &str) -> Result<(), Failed> {
        if self.list {
            let answer = target.call("GET", path, None)?;
            return print(target, &answer, || lines(&self.queue, &answer));
        }
        if self.cancel {
            let answer = target.call("DELETE", path, None)?;
            return print(target, &answer, || {
                format!("cancelled; moved {}\n", plain(&answer["moved"]))
            });
        }
        let body = json!({ "to": self.to, "rate": self.rate });
        let mut task = target.call("POST", path, Some(&body))?;
        let id = task["id"].clone();
        while self.wait && task["state"] == "running" {
            std::thread::sleep(LOOK);
            let answer = target.call("GET", path, None)?;
            let tasks = answer["tasks"].as_array().into_iter().flatten();
            let same = tasks.into_iter().find(|task| task["id"] == id);
            let gone = || Failed::Failure(format!("the redrive of {} is no longer listed", self.queue));
            task = same.ok_or_else(gone)?.clone();
        }
        print(target, &task, || line(&task))?;
        match self.wait && task["state"] != "completed" {
            true => Err(Failed::Failure(format!(
                "the redrive did not complete: {}",
                line(&task).trim_end()
            ))),
            false => Ok(()),
        }
    }
}

fn lines(queue: &str, answer: &Value) -> String {
    let tasks = answer["tasks"].as_array().map(Vec::as_slice).unwrap_or_default();
    match tasks {
        [] => format!("{queue} was never redriven\n"),
        tasks => tasks.iter().map(line).collect(),
    }
}

fn line(task: &Value) -> String {
    let shown = |key: &str| plain(&task[key]);
    let mut line = format!(
        "{}  {}  moved {} of {}",
        shown("started"),
        shown("state"),
        shown("moved"),
        shown("total")
    );
    if let Some(to) = task["to"].as_str() {
        line.push_str(&format!("  to {to}"));
    }
    if let Some(rate) = task["rate"].as_u64() {
        line.push_str(&format!("  at {rate}/s"));
    }
    if let Some(reason) = task["reason"].as_str() {
        line.push_str(&format!("  {reason}"));
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_one_line() {
        let task = json!({
            "started": "2026-01-01T00:00:00.000Z", "state": "failed", "moved": 3, "total": 5,
            "to": "orders", "rate": 10, "reason": "gone",
        });
        assert_eq!(
            line(&task),
            "2026-01-01T00:00:00.000Z  failed  moved 3 of 5  to orders  at 10/s  gone\n"
        );
        assert_eq!(lines("q", &json!({"tasks": []})), "q was never redriven\n");
        assert_eq!(lines("q", &json!({"tasks": [task, task]})).lines().count(), 2);
    }
}
