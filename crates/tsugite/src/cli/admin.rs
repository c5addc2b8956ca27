//! `tsugite circuits`, and how all commands of the admin API show what it says.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Target, segment};
use super::table::table;
use super::{Failed, out};

#[derive(Debug, Args)]
pub(super) struct Circuits {
    #[command(flatten)]
    target: Target,
    #[command(subcommand)]
    action: Option<CircuitAction>,
}

#[derive(Debug, Subcommand)]
enum CircuitAction {
    /// List all circuits, those of instances below those of their services
    Ls,
    /// Show one circuit
    Show {
        /// For example orders.internal, or orders.internal/i-1 for one instance
        circuit: String,
    },
    /// Hold a circuit open: calls are refused until it is reset
    Open {
        /// For example orders.internal, or orders.internal/i-1 for one instance
        circuit: String,
        /// Why, for those who find it open
        #[arg(long)]
        note: Option<String>,
    },
    /// Close a circuit and forget its counts, the same as reset
    Close {
        /// For example orders.internal, or orders.internal/i-1 for one instance
        circuit: String,
    },
    /// Let every call through, and count none, until it is reset
    Disable {
        /// For example orders.internal, or orders.internal/i-1 for one instance
        circuit: String,
        /// Why, for those who find it so
        #[arg(long)]
        note: Option<String>,
    },
    /// Remove an override, close the circuit and forget its counts
    Reset {
        /// For example orders.internal, or orders.internal/i-1 for one instance
        circuit: String,
    },
}

impl Circuits {
    fn wish(&self, circuit: &str, state: &str, note: Option<String>) -> Result<Value, Failed> {
        let path = format!("/v1/circuits/{}/override", segment(circuit));
        let body = json!({ "state": state, "note": note });
        self.target.call("PUT", &path, Some(&body))
    }

    pub(super) fn run(mut self) -> Result<(), Failed> {
        let path = |circuit: &str| format!("/v1/circuits/{}", segment(circuit));
        match self.action.take().unwrap_or(CircuitAction::Ls) {
            CircuitAction::Ls => list_circuits(&self.target),
            CircuitAction::Show { circuit } => {
                show(&self.target, &self.target.call("GET", &path(&circuit), None)?)
            }
            CircuitAction::Open { circuit, note } => {
                let answer = self.wish(&circuit, "forced_open", note)?;
                print(&self.target, &answer, || format!("{circuit} is held open\n"))
            }
            CircuitAction::Disable { circuit, note } => {
                let answer = self.wish(&circuit, "disabled", note)?;
                print(&self.target, &answer, || {
                    format!("{circuit} lets every call through\n")
                })
            }
            CircuitAction::Close { circuit } | CircuitAction::Reset { circuit } => {
                let answer = self
                    .target
                    .call("POST", &format!("{}/reset", path(&circuit)), None)?;
                print(&self.target, &answer, || format!("{circuit} is closed\n"))
            }
        }
    }
}

fn list_circuits(target: &Target) -> Result<(), Failed> {
    let answer = target.call("GET", "/v1/circuits", None)?;
    print(target, &answer, || {
        let members = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
        let row = |circuit: &Value| {
            ["circuit", "state", "reason", "until"]
                .map(|key| plain(&circuit[key]))
                .to_vec()
        };
        let rows: Vec<Vec<String>> = members(&answer, "circuits")
            .iter()
            .flat_map(|service| {
                let endpoints = members(service, "endpoints");
                [service.clone()].into_iter().chain(endpoints).collect::<Vec<_>>()
            })
            .map(|circuit| row(&circuit))
            .collect();
        match rows.is_empty() {
            true => "no circuits\n".to_owned(),
            false => table(&["CIRCUIT", "STATE", "REASON", "UNTIL"], &rows),
        }
    })
}

/// One row for each member of the list `key`, with the named members as columns; a dot leads into an object.
pub(super) fn list(target: &Target, path: &str, key: &str, columns: &[(&str, &str)]) -> Result<(), Failed> {
    let answer = target.call("GET", path, None)?;
    print(target, &answer, || {
        let head: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
        let members = answer[key].as_array().map(Vec::as_slice).unwrap_or_default();
        // Names of several accounts or regions may be the same: then the ARN tells them apart.
        let names: std::collections::BTreeSet<_> = members.iter().map(|m| m["name"].as_str()).collect();
        let unique = names.len() == members.len();
        let rows: Vec<Vec<String>> = members
            .iter()
            .map(|member| {
                columns
                    .iter()
                    .map(|(_, column)| match member.get("arn") {
                        Some(arn) if *column == "name" && !unique => plain(arn),
                        _ => plain(column.split('.').fold(member, |value, key| &value[key])),
                    })
                    .collect()
            })
            .collect();
        if rows.is_empty() {
            format!("no {key}\n")
        } else {
            table(&head, &rows)
        }
    })
}

/// Shows a whole document.
pub(super) fn show(target: &Target, answer: &Value) -> Result<(), Failed> {
    print(target, answer, || {
        let mut out = String::new();
        indent(answer, 0, &mut out);
        out
    })
}

/// The answer as JSON if that was asked for, else as people read it.
pub(super) fn print(target: &Target, answer: &Value, human: impl FnOnce() -> String) -> Result<(), Failed> {
    if target.json {
        let text = serde_json::to_string_pretty(answer).unwrap_or_default();
        return out(&format!("{text}\n"));
    }
    out(&human())
}

/// A document as indented lines, without the links that only programs follow.
fn indent(value: &Value, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth);
    match value {
        Value::Object(members) => {
            for (key, member) in members.iter().filter(|(key, _)| *key != "_links") {
                if member.is_object() || member.is_array() {
                    out.push_str(&format!("{pad}{key}:\n"));
                    indent(member, depth + 1, out);
                } else {
                    out.push_str(&format!("{pad}{key}: {}\n", plain(member)));
                }
            }
        }
        Value::Array(members) => {
            for member in members {
                if member.is_object() || member.is_array() {
                    out.push_str(&format!("{pad}-\n"));
                    indent(member, depth + 1, out);
                } else {
                    out.push_str(&format!("{pad}- {}\n", plain(member)));
                }
            }
        }
        scalar => out.push_str(&format!("{pad}{}\n", plain(scalar))),
    }
}

/// A cell: texts without quotes, nothing as a dash, lists by their length.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(members) => members.len().to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_shown_without_links() {
        let value = json!({"name": "q", "depth": 3, "_links": {"self": 1}, "tags": ["a"], "at": {"x": null}});
        let mut out = String::new();
        indent(&value, 0, &mut out);
        assert_eq!(out, "name: q\ndepth: 3\ntags:\n  - a\nat:\n  x: -\n");
    }
}
