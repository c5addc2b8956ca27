//! Policies of resources, as queues and topics have them: who may do what to them, and on what condition.
//!
//! The language is that of "IAM JSON policy elements" in AWS's user guide, as far as a queue or a topic can use it. Evaluation is
//! AWS's: an explicit `Deny` wins, then an `Allow`; a policy that says neither is [`Verdict::Silent`], and what silence
//! means is for the caller to say. Policy variables and binary conditions are refused when a policy is set.

mod condition;
mod parse;
mod pattern;
#[cfg(test)]
mod tests;

use std::fmt;

use condition::Condition;
use pattern::matches;

/// A policy, parsed and checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    statements: Vec<Statement>,
}

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

/// Who wants to do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker<'a> {
    /// The holder of a key: account and ARN.
    Principal(&'a str, &'a str),
    /// A service on somebody's behalf, for example `sns.amazonaws.com`.
    Service(&'a str),
    /// Nobody knows.
    Anonymous,
}

/// What is asked of a policy.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who.
    pub asker: Asker<'a>,
    /// What, without prefix: for example `SendMessage`.
    pub action: &'a str,
    /// The ARN of the resource.
    pub resource: &'a str,
    /// Condition keys with their values, for example `aws:SourceIp`; compared without regard to case.
    pub keys: &'a [(&'a str, String)],
}

/// What a policy says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A statement allows it, and none denies it.
    Allowed,
    /// A statement denies it.
    Denied,
    /// No statement is about it.
    Silent,
}

#[derive(Clone, Debug, PartialEq)]
struct Statement {
    allow: bool,
    principals: Listed<Named>,
    actions: Listed<String>,
    resources: Listed<String>,
    conditions: Vec<Condition>,
}

/// `Action` or `NotAction` and their kin.
#[derive(Clone, Debug, PartialEq)]
struct Listed<T> {
    not: bool,
    of: Vec<T>,
}

impl<T> Listed<T> {
    fn is(&self, matches: impl FnMut(&T) -> bool) -> bool {
        self.of.iter().any(matches) != self.not
    }
}

/// One principal of a statement.
#[derive(Clone, Debug, PartialEq)]
enum Named {
    Everybody,
    Account(String),
    Arn(String),
    Service(String),
    /// Kinds of principals that nobody here is.
    Nobody,
}

impl Named {
    fn is(&self, asker: Asker<'_>) -> bool {
        match (self, asker) {
            (Named::Everybody, _) => true,
            (Named::Account(account), Asker::Principal(of, _)) => account == of,
            (Named::Arn(arn), Asker::Principal(_, of)) => {
                arn == of || role_of(of).is_some_and(|role| *arn == role)
            }
            (Named::Service(service), Asker::Service(of)) => service == of,
            _ => false,
        }
    }
}

/// The role behind `arn:aws:sts::<account>:assumed-role/<role>/<session>`, which its sessions are.
fn role_of(arn: &str) -> Option<String> {
    let (head, resource) = arn.split_once(":assumed-role/")?;
    let role = resource.split('/').next()?;
    Some(format!("{}:role/{role}", head.replacen(":sts:", ":iam:", 1)))
}

impl Policy {
    /// What this policy says about `question`.
    pub fn evaluate(&self, question: &Question<'_>) -> Verdict {
        let mut verdict = Verdict::Silent;
        for statement in self
            .statements
            .iter()
            .filter(|statement| statement.is_about(question))
        {
            if !statement.allow {
                return Verdict::Denied;
            }
            verdict = Verdict::Allowed;
        }
        verdict
    }
}

impl Statement {
    fn is_about(&self, question: &Question<'_>) -> bool {
        self.principals.is(|named| named.is(question.asker))
            && self
                .actions
                .is(|pattern| matches(pattern, &question.action.to_ascii_lowercase()))
            && self.resources.is(|pattern| matches(pattern, question.resource))
            && self
                .conditions
                .iter()
                .all(|condition| condition.holds(question.keys))
    }
}
