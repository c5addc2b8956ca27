//! The policies of topics: the one that a topic has at first, and the statements that come and go.

use serde_json::json;
use tsugite_base::{Decision, Now};

use super::TopicChange;
use super::command::AddTopicPermission;
use super::error::{AttributeInvalid, ParameterInvalid, TopicError};
use crate::broker::Broker;
use crate::keys::TopicKey;
use crate::record::Record;
use crate::settings::policy::{self, AddError, Service};

/// What AddPermission may grant besides `*`.
const SNS: Service = Service {
    prefix: "SNS",
    capped: false,
    actions: &[
        "AddPermission",
        "DeleteTopic",
        "GetDataProtectionPolicy",
        "GetTopicAttributes",
        "ListSubscriptionsByTopic",
        "ListTagsForResource",
        "Publish",
        "PutDataProtectionPolicy",
        "Receive",
        "RemovePermission",
        "SetTopicAttributes",
        "Subscribe",
    ],
};

impl Broker {
    /// Adds a statement to a topic's policy.
    pub fn add_topic_permission(
        &self,
        command: &AddTopicPermission,
        now: Now,
    ) -> Result<Decision<Record, ()>, TopicError> {
        let known = self.find_topic(&command.topic)?;
        let default = default_policy(&command.topic);
        let old = known.settings.policy().unwrap_or(&default);
        let arn = command.topic.arn();
        let (label, accounts, actions) = (&command.label, &command.accounts, &command.actions);
        let text = policy::add(&SNS, Some(old), &arn, label, accounts, actions);
        let text = text.map_err(|e| match e {
            AddError::Invalid(e) if e.what == "ActionName" => {
                ParameterInvalid::new("Policy statement action out of service scope!", "")
            }
            AddError::Invalid(e) if e.what == "Label" && e.rule == "already exists" => {
                ParameterInvalid::new("Statement already exists", "")
            }
            AddError::Invalid(e) => ParameterInvalid::new(e.what, format!("{} {}", e.value, e.rule)),
            AddError::OverCap(cap) => ParameterInvalid::new("Policy", cap),
        })?;
        self.set_topic_policy(&command.topic, text, now)
    }

    /// Takes a statement out of a topic's policy.
    pub fn remove_topic_permission(
        &self,
        topic: &TopicKey,
        label: &str,
        now: Now,
    ) -> Result<Decision<Record, ()>, TopicError> {
        let known = self.find_topic(topic)?;
        let default = default_policy(topic);
        let old = known.settings.policy().unwrap_or(&default);
        match policy::remove(Some(old), label) {
            Ok(Some(text)) => self.set_topic_policy(topic, text, now),
            Ok(None) => self.set_topic_policy(topic, String::new(), now),
            // AWS does nothing for a label that is not there.
            Err(e) if e.rule == "can't find label" => Ok(Decision::unchanged(())),
            Err(e) => Err(ParameterInvalid::new(e.what, format!("{} {}", e.value, e.rule)).into()),
        }
    }

    fn set_topic_policy(
        &self,
        topic: &TopicKey,
        text: String,
        now: Now,
    ) -> Result<Decision<Record, ()>, TopicError> {
        let mut settings = Box::new(self.find_topic(topic)?.settings.clone());
        let set = settings.set_later(topic, "Policy", &text);
        set.map_err(AttributeInvalid::alone)?;
        let topic = topic.clone();
        Ok(self.decided(TopicChange::PutTopic { topic, settings }.into(), (), now))
    }
}

/// The policy of a topic that was given none: its account may do everything (AWS: GetTopicAttributes).
pub(super) fn default_policy(topic: &TopicKey) -> String {
    let actions = [
        "SNS:GetTopicAttributes",
        "SNS:SetTopicAttributes",
        "SNS:AddPermission",
        "SNS:RemovePermission",
        "SNS:DeleteTopic",
        "SNS:Subscribe",
        "SNS:ListSubscriptionsByTopic",
        "SNS:Publish",
    ];
    json!({
        "Version": "2008-10-17",
        "Id": "__default_policy_ID",
        "Statement": [{
            "Sid": "__default_statement_ID",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": actions,
            "Resource": topic.arn().to_string(),
            "Condition": {"StringEquals": {"AWS:SourceOwner": topic.scope.account}},
        }],
    })
    .to_string()
}
