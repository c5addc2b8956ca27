//! What the policies of queues and topics are asked: parsed once a thread, with all that conditions can ask about.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use tsugite_aws::Context;
use tsugite_aws::context::{Caller, Facts};
use tsugite_aws::policy::{Asker, Policy, Question, Verdict};
use tsugite_base::World;
use tsugite_broker::{QueueKey, TopicKey};

/// Policies that a thread keeps parsed.
const KEPT: usize = 1024;

/// Parsed policies of one thread by the ARN of their resource, each with its text.
#[derive(Default)]
pub(crate) struct Policies(RefCell<HashMap<String, (String, Rc<Policy>)>>);

impl Policies {
    /// The policy of a queue, or `None` if the text is none.
    pub(super) fn of_queue(&self, arn: &str, text: &str) -> Option<Rc<Policy>> {
        self.parsed(arn, text, |text| Policy::parse(text).ok())
    }

    /// The policy of a topic, or `None` if the text is none.
    pub(super) fn of_topic(&self, arn: &str, text: &str) -> Option<Rc<Policy>> {
        self.parsed(arn, text, |text| Policy::parse_of_topic(text).ok())
    }

    /// Parses `text`, unless it is still the one that was parsed last.
    fn parsed(&self, arn: &str, text: &str, parse: impl Fn(&str) -> Option<Policy>) -> Option<Rc<Policy>> {
        let mut kept = self.0.borrow_mut();
        if let Some((_, policy)) = kept.get(arn).filter(|(of, _)| of == text) {
            return Some(policy.clone());
        }
        if kept.len() >= KEPT {
            kept.clear();
        }
        let policy = Rc::new(parse(text)?);
        kept.insert(arn.to_owned(), (text.to_owned(), policy.clone()));
        Some(policy)
    }

    /// Those of the queues whose policies do not let `topic` send to them.
    pub(crate) fn denied(&self, topic: &TopicKey, queues: Vec<(QueueKey, Option<String>)>) -> Vec<QueueKey> {
        let denied = queues
            .into_iter()
            .filter(|(queue, text)| !self.admit(topic, queue, text.as_deref()));
        denied.map(|(queue, _)| queue).collect()
    }

    /// Whether what is published to `topic` may go into `queue`, whose policy is `text`. To SQS it is the service SNS
    /// that asks, so the policy has to allow it, of whichever account the topic is.
    pub(super) fn admit(&self, topic: &TopicKey, queue: &QueueKey, text: Option<&str>) -> bool {
        let Some(text) = text.filter(|text| !text.is_empty()) else {
            return false;
        };
        let arn = queue.arn().to_string();
        let question = Question {
            asker: Asker::Service("sns.amazonaws.com"),
            action: "SendMessage",
            resource: &arn,
            keys: &[
                ("aws:SourceArn", topic.arn().to_string()),
                ("aws:SourceAccount", topic.scope.account.clone()),
                ("aws:SecureTransport", "false".to_owned()),
                ("aws:PrincipalIsAWSService", "true".to_owned()),
            ],
        };
        let policy = self.of_queue(&arn, text);
        policy.is_some_and(|policy| policy.evaluate(&question) == Verdict::Allowed)
    }
}

/// What is wrong with a text that is to be the policy of a topic; it may be empty.
pub(crate) fn check_topic_policy(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    match Policy::parse_of_topic(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

/// Who asks, as policies name them.
pub(super) fn asker(context: &Context) -> Asker<'_> {
    match &context.caller {
        Caller::Known(principal) => Asker::Principal(&principal.account, &principal.arn),
        Caller::Anyone | Caller::Anonymous => Asker::Anonymous,
    }
}

/// What conditions can ask about a request for a resource of `account`.
pub(super) fn keys(
    context: &Context,
    facts: &Facts,
    account: &str,
    world: &World,
) -> Vec<(&'static str, String)> {
    let now = world.now().wall;
    let mut keys = vec![
        ("aws:SecureTransport", "false".to_owned()),
        ("aws:CurrentTime", now.iso_millis()),
        ("aws:EpochTime", now.seconds().to_string()),
        ("aws:RequestedRegion", context.scope.region.clone()),
        ("aws:ResourceAccount", account.to_owned()),
        ("aws:PrincipalIsAWSService", "false".to_owned()),
        ("aws:ViaAWSService", "false".to_owned()),
    ];
    let kind = match &context.caller {
        Caller::Known(principal) => {
            let resource = principal.arn.splitn(6, ':').last().unwrap_or_default();
            keys.push(("aws:PrincipalArn", principal.arn.clone()));
            keys.push(("aws:PrincipalAccount", principal.account.clone()));
            keys.push(("aws:userid", principal.user_id.clone()));
            if let Some(user) = resource.strip_prefix("user/") {
                keys.push(("aws:username", user.rsplit('/').next().unwrap_or(user).to_owned()));
            }
            match resource.split('/').next() {
                Some("root") => "Account",
                Some("user") => "User",
                _ => "AssumedRole",
            }
        }
        Caller::Anyone | Caller::Anonymous => "Anonymous",
    };
    keys.push(("aws:PrincipalType", kind.to_owned()));
    let of_request = [
        ("aws:SourceIp", facts.source_ip.map(|ip| ip.to_string())),
        ("aws:UserAgent", facts.user_agent.clone()),
        ("aws:Referer", facts.referer.clone()),
    ];
    keys.extend(
        of_request
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?))),
    );
    keys
}

#[cfg(test)]
mod tests {
    use tsugite_base::names::Scope;

    use super::*;

    #[test]
    fn a_queue_takes_what_its_policy_admits() {
        let policies = Policies::default();
        let scope = |account: &str| Scope {
            account: account.into(),
            ..Scope::default()
        };
        let queue = QueueKey::new(scope("111111111111"), "q");
        let only = r#"{"Statement":{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage",
            "Resource":"*","Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:sns:us-east-1:111111111111:t"}}}}"#;
        for (account, topic, text, admitted) in [
            ("111111111111", "t", None, false),
            ("222222222222", "t", None, false),
            ("111111111111", "t", Some(""), false),
            ("111111111111", "t", Some(only), true),
            ("111111111111", "other", Some(only), false),
            ("222222222222", "t", Some(only), false),
            ("111111111111", "t", Some("nonsense"), false),
        ] {
            let topic = TopicKey::new(scope(account), topic);
            assert_eq!(
                policies.admit(&topic, &queue, text),
                admitted,
                "{topic:?} {text:?}"
            );
        }
    }
}
