//! `tsugite queues`: look at queues and what lies in them, and act on them, through the admin API.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::admin::{list, plain, print, show};
use super::client::{Scope, Target, given_or_read, segment};
use super::redrive::Redrive;
use super::table::table;
use super::{Failed, out};

const EXAMPLES: &str = "Examples:
  tsugite queues                                   all queues, their depth and rates
  tsugite queues peek orders                       what lies in it, without receiving it
  tsugite queues peek orders 17                    one message, and why it is in a dead-letter queue
  tsugite queues send orders '{\"id\": 7}' --attribute kind=test
  echo hello | tsugite queues send orders -
  tsugite queues receive orders --max 10 --delete
  tsugite queues redrive orders-dead --rate 50 --wait
  tsugite queues purge orders --yes";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Queues {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    scope: Scope,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List all queues
    Ls,
    /// Show one queue, its rates and its groups
    Show {
        /// Its name
        queue: String,
    },
    /// Look at stored messages without receiving them
    Peek(Peek),
    /// Send a message
    Send(Send),
    /// Receive messages: they are in flight then, until deleted or visible again
    Receive(Receive),
    /// Move the messages of a dead-letter queue back to where they came from, or elsewhere
    Redrive(Redrive),
    /// Remove all messages of a queue
    Purge(Sure),
    /// Remove a queue with its messages
    Rm(Sure),
}

#[derive(Debug, Args)]
struct Peek {
    /// The queue's name
    queue: String,
    /// The number of one message, to see all of it
    number: Option<u64>,
    /// At most so many, 1 to 100
    #[arg(long, default_value_t = 10)]
    limit: u32,
    /// Only messages after this number
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// Only the message with this id
    #[arg(long, conflicts_with = "number")]
    id: Option<String>,
}

#[derive(Debug, Args)]
struct Send {
    /// The queue's name
    queue: String,
    /// The text, or - to read it from standard input
    body: String,
    /// An attribute of type String; may be repeated
    #[arg(long, value_name = "NAME=TEXT")]
    attribute: Vec<String>,
    /// Seconds until it can be received
    #[arg(long, value_name = "SECONDS")]
    delay: Option<i64>,
    /// Its group (FIFO) or tenant
    #[arg(long)]
    group: Option<String>,
    /// Its deduplication id (FIFO)
    #[arg(long, value_name = "ID")]
    deduplication: Option<String>,
}

#[derive(Debug, Args)]
struct Receive {
    /// The queue's name
    queue: String,
    /// At most so many, 1 to 10
    #[arg(long, default_value_t = 1)]
    max: i64,
    /// Seconds to wait for a first message, 0 to 20
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: i64,
    /// Seconds until they are visible again [default: the queue's]
    #[arg(long, value_name = "SECONDS")]
    visibility: Option<i64>,
    /// Delete what was received, once it is printed
    #[arg(long)]
    delete: bool,
}

#[derive(Debug, Args)]
struct Sure {
    /// The queue's name
    queue: String,
    /// Do it: without this nothing happens
    #[arg(long)]
    yes: bool,
}

impl Queues {
    pub(super) fn run(self) -> Result<(), Failed> {
        match self.action.as_ref().unwrap_or(&Action::Ls) {
            Action::Ls => list(
                &self.target,
                &format!("/v1/queues{}", self.scope.parameters(&[])),
                "queues",
                &[
                    ("QUEUE", "name"),
                    ("DEPTH", "depth"),
                    ("IN FLIGHT", "in_flight"),
                    ("DELAYED", "delayed"),
                    ("OLDEST MS", "oldest_age_ms"),
                    ("SENT/S", "per_second.sent"),
                    ("RECEIVED/S", "per_second.received"),
                    ("DELETED/S", "per_second.deleted"),
                ],
            ),
            Action::Show { queue } => self.show(queue),
            Action::Peek(peek) => self.peek(peek),
            Action::Send(send) => self.send(send),
            Action::Receive(receive) => self.receive(receive),
            Action::Redrive(redrive) => {
                let path = self.path(&redrive.queue, "/redrive", &[]);
                redrive.run(&self.target, &path)
            }
            Action::Purge(sure) => {
                self.sure(sure, "purge", "removes")?;
                self.target
                    .call("POST", &self.path(&sure.queue, "/purge", &[]), None)?;
                out(&format!("{} is empty\n", sure.queue))
            }
            Action::Rm(sure) => {
                self.sure(sure, "rm", "removes the queue and")?;
                self.target
                    .call("DELETE", &self.path(&sure.queue, "", &[]), None)?;
                out(&format!("{} is gone\n", sure.queue))
            }
        }
    }

    fn path(&self, queue: &str, below: &str, parameters: &[(&str, String)]) -> String {
        format!(
            "/v1/queues/{}{below}{}",
            segment(queue),
            self.scope.parameters(parameters)
        )
    }

    fn show(&self, queue: &str) -> Result<(), Failed> {
        let mut answer = self.target.call("GET", &self.path(queue, "", &[]), None)?;
        let groups = self.target.call("GET", &self.path(queue, "/groups", &[]), None)?;
        answer["groups"] = groups["groups"].clone();
        show(&self.target, &answer)
    }

    fn peek(&self, peek: &Peek) -> Result<(), Failed> {
        if let Some(number) = peek.number {
            let path = self.path(&peek.queue, &format!("/messages/{number}"), &[]);
            return show(&self.target, &self.target.call("GET", &path, None)?);
        }
        let mut parameters = vec![("limit", peek.limit.to_string())];
        parameters.extend(peek.after.map(|after| ("after", after.to_string())));
        parameters.extend(peek.id.clone().map(|id| ("id", id)));
        let path = self.path(&peek.queue, "/messages", &parameters);
        let answer = self.target.call("GET", &path, None)?;
        print(&self.target, &answer, || messages(&answer))
    }

    fn send(&self, send: &Send) -> Result<(), Failed> {
        let body = given_or_read(&send.body)?;
        let mut attributes = Map::new();
        for attribute in &send.attribute {
            let (name, text) = attribute.split_once('=').ok_or_else(|| {
                Failed::Usage(format!("--attribute: `{attribute}` is not of the form NAME=TEXT"))
            })?;
            attributes.insert(name.to_owned(), text.into());
        }
        let body = json!({
            "body": body,
            "attributes": attributes,
            "delay_seconds": send.delay,
            "group": send.group,
            "deduplication_id": send.deduplication,
        });
        let path = self.path(&send.queue, "/messages", &[]);
        let answer = self.target.call("POST", &path, Some(&body))?;
        print(&self.target, &answer, || format!("{}\n", plain(&answer["id"])))
    }

    fn receive(&self, receive: &Receive) -> Result<(), Failed> {
        let body = json!({
            "max": receive.max,
            "wait_seconds": receive.wait,
            "visibility_seconds": receive.visibility,
        });
        let path = self.path(&receive.queue, "/receive", &[]);
        let answer = self.target.call("POST", &path, Some(&body))?;
        let received = answer["messages"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        print(&self.target, &answer, || {
            let lines = received.iter().map(|message| {
                let (id, count) = (plain(&message["id"]), plain(&message["receive_count"]));
                format!("{id}  receive {count}\n{}\n", plain(&message["body"]))
            });
            match received.is_empty() {
                true => format!("nothing to receive in {}\n", receive.queue),
                false => lines.collect(),
            }
        })?;
        if receive.delete && !received.is_empty() {
            let handles: Vec<&Value> = received
                .iter()
                .map(|message| &message["receipt_handle"])
                .collect();
            let body = json!({ "receipt_handles": handles });
            let path = self.path(&receive.queue, "/delete", &[]);
            self.target.call("POST", &path, Some(&body))?;
        }
        Ok(())
    }

    /// Says what would be lost, unless the caller is sure.
    fn sure(&self, sure: &Sure, command: &str, does: &str) -> Result<(), Failed> {
        if sure.yes {
            return Ok(());
        }
        let queue = self.target.call("GET", &self.path(&sure.queue, "", &[]), None)?;
        let count = |key: &str| queue[key].as_u64().unwrap_or_default();
        let all = count("depth") + count("in_flight") + count("delayed");
        Err(Failed::Usage(format!(
            "this {does} {all} messages of {0} for good; if that is what you want: tsugite queues {command} {0} --yes",
            sure.queue
        )))
    }
}

/// A row for each message, and how to go on.
fn messages(answer: &Value) -> String {
    let members = answer["messages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let rows: Vec<Vec<String>> = members
        .iter()
        .map(|message| {
            let state = match message["until"].as_str() {
                Some(until) => format!("{} until {until}", plain(&message["state"])),
                None => plain(&message["state"]),
            };
            let said = message["unreadable"]
                .as_str()
                .map(|why| format!("unreadable: {why}"));
            let body = said.unwrap_or_else(|| excerpt(&plain(&message["body"])));
            let columns = ["number", "id", "sent"].map(|key| plain(&message[key]));
            let count = plain(&message["receive_count"]);
            columns.into_iter().chain([state, count, body]).collect()
        })
        .collect();
    let mut text = match rows.is_empty() {
        true => "no messages\n".to_owned(),
        false => table(&["NUMBER", "ID", "SENT", "STATE", "RECEIVES", "BODY"], &rows),
    };
    if let Some(next) = answer["next"].as_u64() {
        text.push_str(&format!("more: --after {next}\n"));
    }
    text
}

/// The first line of a body, as far as it fits.
pub(super) fn excerpt(body: &str) -> String {
    const WIDTH: usize = 60;
    let line: String = body
        .chars()
        .take(WIDTH)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if body.chars().count() > WIDTH {
        format!("{line}…")
    } else {
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_fit_on_lines() {
        let answer = json!({"next": 7, "messages": [
            {"number": 6, "id": "i", "sent": "s", "state": "in_flight", "until": "u", "receive_count": 2, "body": "a\nb"},
            {"number": 7, "state": "visible", "until": null, "receive_count": 0, "unreadable": "damaged"},
        ]});
        let text = messages(&answer);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|c| !c.is_empty())
                    .collect()
            })
            .collect();
        let first = ["6", "i", "s", "in_flight until u", "2", "a b"];
        assert_eq!(lines[1], first, "{text}");
        assert!(
            text.contains("unreadable: damaged") && text.ends_with("more: --after 7\n"),
            "{text}"
        );
        assert_eq!(messages(&json!({"messages": []})), "no messages\n");
        assert_eq!(excerpt(&"x".repeat(61)).chars().count(), 61);
    }
}
