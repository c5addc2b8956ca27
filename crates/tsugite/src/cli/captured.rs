//! `tsugite captured`: what would have been sent to mail addresses and phones.

use clap::Args;
use serde_json::Value;

use super::Failed;
use super::admin::{plain, print};
use super::client::{Target, segment};

const NOTE: &str = "Messages for email, email-json and sms subscriptions, and those published to a phone number, are sent \
nowhere: the latest 1000 are kept here. A request to confirm a subscription comes with the link that confirms it.";

#[derive(Debug, Args)]
#[command(after_help = NOTE)]
pub(super) struct CapturedMessages {
    #[command(flatten)]
    target: Target,
    /// Only those to this address or number
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// At most so many, newest first, 1 to 1000
    #[arg(long, default_value_t = 20)]
    limit: u32,
}

impl CapturedMessages {
    pub(super) fn run(self) -> Result<(), Failed> {
        let mut path = format!("/v1/captured?limit={}", self.limit);
        if let Some(recipient) = &self.recipient {
            path.push_str(&format!("&recipient={}", segment(recipient)));
        }
        let answer = self.target.call("GET", &path, None)?;
        print(&self.target, &answer, || text(&answer))
    }
}

fn text(answer: &Value) -> String {
    let messages = answer["captured"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    match messages {
        [] => "nothing was captured\n".to_owned(),
        messages => messages.iter().map(message).collect::<Vec<_>>().join("\n"),
    }
}

/// One message: a line of who and when, then what it says.
fn message(message: &Value) -> String {
    let shown = |key: &str| plain(&message[key]);
    let mut text = format!(
        "{}  {} to {}",
        shown("sent"),
        shown("protocol"),
        shown("recipient")
    );
    if let Some(topic) = message["topic_arn"].as_str() {
        text.push_str(&format!("  from {}", topic.rsplit(':').next().unwrap_or(topic)));
    }
    text.push('\n');
    if let Some(subject) = message["subject"].as_str() {
        text.push_str(&format!("subject: {subject}\n"));
    }
    match message["confirmation_url"].as_str() {
        Some(url) => text.push_str(&format!("asks to confirm the subscription: curl '{url}'\n")),
        None => text.push_str(&format!("{}\n", shown("text"))),
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_shown_with_what_to_do() {
        let answer = json!({"captured": [
            {"sent": "s", "protocol": "email", "recipient": "a@b", "topic_arn": "arn:aws:sns:r:a:t", "subject": null,
             "text": null, "confirmation_url": "http://h/?Action=ConfirmSubscription"},
            {"sent": "s", "protocol": "sms", "recipient": "+1", "topic_arn": null, "subject": "x", "text": "hello",
             "confirmation_url": null},
        ]});
        assert_eq!(
            text(&answer),
            "s  email to a@b  from t\nasks to confirm the subscription: curl \
             'http://h/?Action=ConfirmSubscription'\n\ns  sms to +1\nsubject: x\nhello\n"
        );
        assert_eq!(text(&json!({"captured": []})), "nothing was captured\n");
    }
}
