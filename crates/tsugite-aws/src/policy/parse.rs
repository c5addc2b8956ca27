//! From the text of a policy to the policy, naming what is wrong with it.

use serde_json::{Map, Value};

use super::condition::Condition;
use super::{Listed, Malformed, Named, Policy, Statement};
use crate::context::is_account;
use crate::error::shorten;

/// What the policies of one kind of resource may hold.
struct Rules {
    /// Before the names of actions, in lower case.
    prefix: &'static str,
    bytes: usize,
    /// Whether there may be no statement at all.
    empty: bool,
    statements: usize,
    principals: usize,
    conditions: usize,
    actions: usize,
}

/// SQS's limits.
const QUEUES: Rules = Rules {
    prefix: "sqs",
    bytes: 8192,
    empty: false,
    statements: 20,
    principals: 50,
    conditions: 10,
    actions: 7,
};
/// Of SNS only the size is documented; it bounds the rest.
const TOPICS: Rules = Rules {
    prefix: "sns",
    bytes: 30_720,
    empty: true,
    statements: usize::MAX,
    principals: usize::MAX,
    conditions: usize::MAX,
    actions: usize::MAX,
};

impl Policy {
    /// Reads and checks the policy of a queue.
    pub fn parse(text: &str) -> Result<Policy, Malformed> {
        read(text, &QUEUES).map_err(Malformed)
    }

    /// Reads and checks the policy of a topic.
    pub fn parse_of_topic(text: &str) -> Result<Policy, Malformed> {
        read(text, &TOPICS).map_err(Malformed)
    }
}

fn read(text: &str, rules: &Rules) -> Result<Policy, String> {
    let bytes = rules.bytes;
    if text.len() > bytes {
        return Err(format!(
            "the policy has {} bytes; {bytes} are allowed",
            text.len()
        ));
    }
    let value: Value =
        serde_json::from_str(text).map_err(|error| format!("the policy is not JSON: {error}"))?;
    let Value::Object(members) = value else {
        return Err("the policy must be a JSON object".into());
    };
    only(&members, &["Version", "Id", "Statement"], "the policy")?;
    let variables = match members.get("Version") {
        None => false,
        Some(Value::String(version)) if version == "2008-10-17" => false,
        Some(Value::String(version)) if version == "2012-10-17" => true,
        Some(other) => {
            return Err(format!(
                "the Version must be 2012-10-17 or 2008-10-17, not {other}"
            ));
        }
    };
    if variables && text.contains("${") {
        return Err("policy variables (${…}) are not supported".into());
    }
    let statements = match members.get("Statement") {
        Some(Value::Array(statements)) if rules.empty || !statements.is_empty() => {
            statements.iter().collect()
        }
        Some(one @ Value::Object(_)) => vec![one],
        _ => return Err("the policy must have a Statement".into()),
    };
    if statements.len() > rules.statements {
        return Err(format!(
            "the policy has {} statements; {} are allowed",
            statements.len(),
            rules.statements
        ));
    }
    let statements: Vec<Statement> = statements
        .into_iter()
        .enumerate()
        .map(|(n, value)| statement(value, rules).map_err(|why| format!("in statement {}, {why}", n + 1)))
        .collect::<Result<_, _>>()?;
    let principals: usize = statements.iter().map(|s| s.principals.of.len()).sum();
    let conditions: usize = statements.iter().map(|s| s.conditions.len()).sum();
    for (what, count, most) in [
        ("principals", principals, rules.principals),
        ("conditions", conditions, rules.conditions),
    ] {
        if count > most {
            return Err(format!("the policy has {count} {what}; {most} are allowed"));
        }
    }
    Ok(Policy { statements })
}

const KEYS: &[&str] = &[
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

fn statement(value: &Value, rules: &Rules) -> Result<Statement, String> {
    let Value::Object(members) = value else {
        return Err("an object is missing".into());
    };
    only(members, KEYS, "the statement")?;
    let allow = match members.get("Effect").and_then(Value::as_str) {
        Some("Allow") => true,
        Some("Deny") => false,
        _ => return Err("the Effect must be Allow or Deny".into()),
    };
    let (not, value) = either(members, "Principal", "NotPrincipal")?;
    let principals = Listed {
        not,
        of: principals(value)?,
    };
    let (not, value) = either(members, "Action", "NotAction")?;
    let actions = Listed {
        not,
        of: texts(value, "Action")?
            .into_iter()
            .map(|name| action(name, rules.prefix))
            .collect::<Result<Vec<_>, _>>()?,
    };
    if actions.of.len() > rules.actions {
        return Err(format!(
            "there are {} actions; {} are allowed",
            actions.of.len(),
            rules.actions
        ));
    }
    let (not, value) = either(members, "Resource", "NotResource")?;
    let resources = Listed {
        not,
        of: texts(value, "Resource")?.into_iter().map(str::to_owned).collect(),
    };
    Ok(Statement {
        allow,
        principals,
        actions,
        resources,
        conditions: conditions(members.get("Condition"))?,
    })
}

/// The one of two members that there is, and whether it is the second.
fn either<'v>(members: &'v Map<String, Value>, is: &str, not: &str) -> Result<(bool, &'v Value), String> {
    match (members.get(is), members.get(not)) {
        (Some(value), None) => Ok((false, value)),
        (None, Some(value)) => Ok((true, value)),
        _ => Err(format!("there must be one of {is} and {not}")),
    }
}

fn principals(value: &Value) -> Result<Vec<Named>, String> {
    if value.as_str() == Some("*") {
        return Ok(vec![Named::Everybody]);
    }
    let Value::Object(kinds) = value else {
        return Err("the Principal must be \"*\" or an object".into());
    };
    let mut all = Vec::new();
    for (kind, value) in kinds {
        for name in texts(value, "Principal")? {
            all.push(match kind.as_str() {
                "AWS" => aws_principal(name)?,
                "Service" => Named::Service(name.to_owned()),
                "Federated" | "CanonicalUser" => Named::Nobody,
                other => return Err(format!("the Principal has the unknown kind {}", shorten(other))),
            });
        }
    }
    if all.is_empty() {
        return Err("the Principal names nobody".into());
    }
    Ok(all)
}

fn aws_principal(name: &str) -> Result<Named, String> {
    if name == "*" {
        return Ok(Named::Everybody);
    }
    if is_account(name) {
        return Ok(Named::Account(name.to_owned()));
    }
    let parts: Vec<&str> = name.splitn(6, ':').collect();
    match parts[..] {
        ["arn", _, "iam", "", account, "root"] if is_account(account) => {
            Ok(Named::Account(account.to_owned()))
        }
        ["arn", _, "iam" | "sts", "", account, resource]
            if is_account(account) && !resource.is_empty() && !resource.contains(['*', '?']) =>
        {
            Ok(Named::Arn(name.to_owned()))
        }
        _ => Err(format!(
            "the principal {} is neither an account nor the ARN of a user or role",
            shorten(name)
        )),
    }
}

/// An action as it is matched: in lower case and without its prefix.
fn action(name: &str, prefix: &str) -> Result<String, String> {
    let name = name.to_ascii_lowercase();
    match name.split_once(':') {
        None if name == "*" => Ok(name),
        Some((of, action)) if of == prefix && !action.is_empty() => Ok(action.to_owned()),
        _ => Err(format!(
            "the action {} is none of {}",
            shorten(&name),
            prefix.to_ascii_uppercase()
        )),
    }
}

fn conditions(value: Option<&Value>) -> Result<Vec<Condition>, String> {
    let Some(value) = value else {
        return Ok(Vec::new());
    };
    let object = |value: &Value| {
        value
            .as_object()
            .cloned()
            .ok_or("the Condition must be an object of objects")
    };
    let mut all = Vec::new();
    for (operator, keys) in object(value)? {
        for (key, values) in object(&keys)? {
            let values = match values {
                Value::Array(values) => values.iter().map(scalar).collect::<Option<Vec<_>>>(),
                one => scalar(&one).map(|one| vec![one]),
            };
            let values = values
                .ok_or_else(|| format!("the condition {operator} of {key} has a value that is no text"))?;
            all.push(Condition::new(&operator, &key, values)?);
        }
    }
    Ok(all)
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        _ => None,
    }
}

fn texts<'v>(value: &'v Value, what: &str) -> Result<Vec<&'v str>, String> {
    let texts = match value {
        Value::String(text) => Some(vec![text.as_str()]),
        Value::Array(values) => values.iter().map(Value::as_str).collect(),
        _ => None,
    };
    texts
        .filter(|texts| !texts.is_empty())
        .ok_or_else(|| format!("the {what} must be a text or a list of texts"))
}

fn only(members: &Map<String, Value>, known: &[&str], of: &str) -> Result<(), String> {
    match members.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(format!("{of} has the unknown member {}", shorten(key))),
        None => Ok(()),
    }
}
