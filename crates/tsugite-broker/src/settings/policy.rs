//! The `Policy` of a queue as text: its caps, and the statements that AddPermission writes and RemovePermission
//! takes out. What a policy means for a request is decided at the door.

use serde_json::{Map, Value, json};
use tsugite_base::{Arn, Invalid, limits};

use super::object;

/// Whose permissions a policy is about.
pub(crate) struct Service {
    /// Before the names of actions, in the spelling of the statements that AddPermission writes.
    pub(crate) prefix: &'static str,
    /// What AddPermission may grant besides `*`.
    pub(crate) actions: &'static [&'static str],
    /// Whether the caps of queues hold.
    pub(crate) capped: bool,
}

/// The permissions of queues.
pub(crate) const SQS: Service = Service {
    prefix: "SQS",
    capped: true,
    actions: &[
        "AddPermission",
        "CancelMessageMoveTask",
        "ChangeMessageVisibility",
        "ChangeMessageVisibilityBatch",
        "CreateQueue",
        "DeleteMessage",
        "DeleteMessageBatch",
        "DeleteQueue",
        "GetQueueAttributes",
        "GetQueueUrl",
        "ListDeadLetterSourceQueues",
        "ListMessageMoveTasks",
        "ListQueueTags",
        "ListQueues",
        "PurgeQueue",
        "ReceiveMessage",
        "RemovePermission",
        "SendMessage",
        "SendMessageBatch",
        "SetQueueAttributes",
        "StartMessageMoveTask",
        "TagQueue",
        "UntagQueue",
    ],
};

/// The policy as it was given, or `None` for an empty text.
pub(super) fn parse(text: &str) -> Result<Option<String>, Invalid> {
    if text.is_empty() {
        return Ok(None);
    }
    let policy = object("Policy", text)?;
    match over_cap(text, &policy) {
        Some(cap) => Err(Invalid::new("Policy", text, cap)),
        None => Ok(Some(text.to_owned())),
    }
}

/// Whether two policies are the same JSON.
pub(super) fn same(one: Option<&str>, other: Option<&str>) -> bool {
    let parsed = |text: &str| serde_json::from_str::<Value>(text).ok();
    one == other || matches!((one.map(parsed), other.map(parsed)), (Some(a), Some(b)) if a == b)
}

/// A member that is one thing or a list of them.
fn many(value: Option<&Value>) -> &[Value] {
    match value {
        None => &[],
        Some(Value::Array(list)) => list,
        Some(one) => std::slice::from_ref(one),
    }
}

/// The cap that the policy is over, as a rule.
fn over_cap(text: &str, policy: &Map<String, Value>) -> Option<String> {
    let statements = many(policy.get("Statement"));
    let principals = |statement: &Value| match statement.get("Principal") {
        Some(Value::Object(kinds)) => kinds.values().map(|kind| many(Some(kind)).len()).sum(),
        other => many(other).len(),
    };
    let conditions = |statement: &Value| {
        let operators = statement.get("Condition").and_then(Value::as_object);
        let keys = |operator: &Value| operator.as_object().map_or(1, Map::len);
        operators.map_or(0, |operators| operators.values().map(keys).sum::<usize>())
    };
    let most = |count: &dyn Fn(&Value) -> usize| statements.iter().map(count).max().unwrap_or(0);
    let all_principals: usize = statements.iter().map(principals).sum();
    let caps = [
        ("bytes", text.len(), limits::POLICY_BYTES),
        ("statements", statements.len(), limits::POLICY_STATEMENTS),
        ("principals", all_principals, limits::POLICY_PRINCIPALS),
        (
            "conditions in a statement",
            most(&conditions),
            limits::POLICY_CONDITIONS,
        ),
        (
            "actions in a statement",
            most(&|s: &Value| many(s.get("Action")).len()),
            limits::POLICY_ACTIONS,
        ),
    ];
    let over = caps.into_iter().find(|(_, count, cap)| count > cap);
    over.map(|(what, count, cap)| format!("a policy can have {cap} {what}, and this has {count}"))
}

/// Why a statement cannot be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AddError {
    /// A parameter that breaks a rule.
    Invalid(Invalid),
    /// The cap that the policy would be over.
    OverCap(String),
}

/// The policy with one more statement, which lets `accounts` do `actions` to the queue.
pub(crate) fn add(
    service: &Service,
    policy: Option<&str>,
    queue: &Arn,
    label: &str,
    accounts: &[String],
    actions: &[String],
) -> Result<String, AddError> {
    let invalid = |what: &str, value: &str, rule: &str| AddError::Invalid(Invalid::new(what, value, rule));
    let prefix = service.prefix;
    check_label(label).map_err(AddError::Invalid)?;
    for account in accounts {
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return Err(invalid(
                "PrincipalId",
                account,
                "unable to verify: must be 12 digits",
            ));
        }
    }
    for action in actions {
        if action != "*" && !service.actions.contains(&action.as_str()) {
            return Err(invalid(
                "ActionName",
                action,
                &format!("must be * or the name of an action of {prefix}"),
            ));
        }
    }
    let mut policy = match policy {
        Some(text) => object("Policy", text).map_err(AddError::Invalid)?,
        None => {
            let mut policy = Map::new();
            policy.insert("Version".into(), "2008-10-17".into());
            policy.insert("Id".into(), format!("{queue}/SQSDefaultPolicy").into());
            policy
        }
    };
    let mut statements = many(policy.get("Statement")).to_vec();
    if statements.iter().any(|s| is_labelled(s, label)) {
        return Err(invalid("Label", label, "already exists"));
    }
    let principals = accounts
        .iter()
        .map(|a| format!("arn:{}:iam::{a}:root", queue.partition));
    statements.push(json!({
        "Sid": label,
        "Effect": "Allow",
        "Principal": {"AWS": one_or_many(principals)},
        "Action": one_or_many(actions.iter().map(|a| format!("{prefix}:{a}"))),
        "Resource": queue.to_string(),
    }));
    policy.insert("Statement".into(), Value::Array(statements));
    let text = Value::Object(policy.clone()).to_string();
    match over_cap(&text, &policy).filter(|_| service.capped) {
        Some(cap) => Err(AddError::OverCap(cap)),
        None => Ok(text),
    }
}

/// The policy without the statement of that label; `None` if none is left.
pub(crate) fn remove(policy: Option<&str>, label: &str) -> Result<Option<String>, Invalid> {
    check_label(label)?;
    let mut policy = policy.map_or_else(|| Ok(Map::new()), |text| object("Policy", text))?;
    let mut statements = many(policy.get("Statement")).to_vec();
    let before = statements.len();
    statements.retain(|s| !is_labelled(s, label));
    if statements.len() == before {
        return Err(Invalid::new("Label", label, "can't find label"));
    }
    if statements.is_empty() {
        return Ok(None);
    }
    policy.insert("Statement".into(), Value::Array(statements));
    Ok(Some(Value::Object(policy).to_string()))
}

fn is_labelled(statement: &Value, label: &str) -> bool {
    statement.get("Sid").and_then(Value::as_str) == Some(label)
}

fn check_label(label: &str) -> Result<(), Invalid> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if (1..=80).contains(&label.len()) && label.bytes().all(word) {
        return Ok(());
    }
    let rule = "must be 1 to 80 alphanumeric characters, hyphens or underscores";
    Err(Invalid::new("Label", label, rule))
}

/// One text bare, several as a list: so AWS writes them.
fn one_or_many(texts: impl Iterator<Item = String>) -> Value {
    let mut list: Vec<Value> = texts.map(Value::String).collect();
    match list.len() {
        1 => list.swap_remove(0),
        _ => Value::Array(list),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::QueueKey;
    use tsugite_base::names::Scope;

    const ACCOUNT: &str = "111122223333";

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|t| (*t).to_owned()).collect()
    }

    fn added(policy: Option<&str>, label: &str) -> Result<String, AddError> {
        let queue = QueueKey::new(Scope::default(), "q").arn();
        add(
            &SQS,
            policy,
            &queue,
            label,
            &texts(&[ACCOUNT]),
            &texts(&["SendMessage"]),
        )
    }

    #[test]
    fn permissions_come_and_go() {
        let one = added(None, "one").unwrap();
        assert_eq!(
            one,
            concat!(
                r#"{"Version":"2008-10-17","Id":"arn:aws:sqs:us-east-1:000000000000:q/SQSDefaultPolicy","#,
                r#""Statement":[{"Sid":"one","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:root"},"#,
                r#""Action":"SQS:SendMessage","Resource":"arn:aws:sqs:us-east-1:000000000000:q"}]}"#
            )
        );
        let two = added(Some(&one), "two").unwrap();
        assert!(matches!(added(Some(&two), "one"), Err(AddError::Invalid(e)) if e.rule == "already exists"));
        assert_eq!(remove(Some(&two), "two"), Ok(Some(one.clone())));
        assert_eq!(remove(Some(&one), "one"), Ok(None));
        assert_eq!(remove(Some(&one), "two").unwrap_err().rule, "can't find label");
        assert!(remove(None, "one").is_err());
    }

    #[test]
    fn caps() {
        let mut policy = None;
        for n in 0..20 {
            policy = Some(added(policy.as_deref(), &n.to_string()).unwrap());
        }
        assert!(matches!(
            added(policy.as_deref(), "20"),
            Err(AddError::OverCap(_))
        ));
        let long = format!(r#"{{"Id":"{}"}}"#, "x".repeat(8_192));
        assert!(parse(&long).is_err());
        assert!(parse("x").is_err() && parse("[]").is_err());
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse(r#"{ "Id": "x" }"#), Ok(Some(r#"{ "Id": "x" }"#.into())));
        let conditions = |n: usize| {
            let keys: Vec<String> = (0..n).map(|i| format!(r#""k{i}":"v""#)).collect();
            format!(
                r#"{{"Statement":{{"Condition":{{"StringEquals":{{{}}}}}}}}}"#,
                keys.join(",")
            )
        };
        assert!(parse(&conditions(10)).is_ok() && parse(&conditions(11)).is_err());
    }

    #[test]
    fn bad_parameters() {
        let queue = QueueKey::new(Scope::default(), "q").arn();
        for (label, account, action) in [
            ("", ACCOUNT, "*"),
            ("a b", ACCOUNT, "*"),
            ("a", "12345", "*"),
            ("a", ACCOUNT, "Frobnicate"),
        ] {
            let result = add(&SQS, None, &queue, label, &texts(&[account]), &texts(&[action]));
            assert!(
                matches!(result, Err(AddError::Invalid(_))),
                "{label} {account} {action}"
            );
        }
    }
}
