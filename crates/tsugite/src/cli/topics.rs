//! `tsugite topics`: look at topics and who gets what is published, and act on them, through the admin API.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::Failed;
use super::admin::{list, plain, print};
use super::client::{Scope, Target, given_or_read, segment};
use super::queues::excerpt;
use super::table::table;

const EXAMPLES: &str = "Examples:
  tsugite topics                                   all topics, their subscriptions and rates
  tsugite topics show orders                       who gets what is published, and how far each is behind
  tsugite topics create orders
  tsugite topics subscribe orders kitchen --raw    the queue kitchen
  tsugite topics subscribe orders https://shop.example/hook --filter '{\"kind\": [\"order\"]}'
  tsugite topics match orders '{\"id\": 7}' --attribute kind=order      who would get it, and why the others would not
  tsugite topics publish orders '{\"id\": 7}' --attribute kind=order --attribute price:Number=12
  tsugite topics unsubscribe orders kitchen
  tsugite topics rm orders --yes";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Topics {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    scope: Scope,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List all topics
    Ls,
    /// Show one topic and its subscriptions
    Show {
        /// Its name
        topic: String,
        /// Only subscriptions after the one with this id
        #[arg(long, value_name = "ID")]
        after: Option<String>,
    },
    /// Create a topic; one whose name ends with .fifo is a FIFO topic
    Create(Create),
    /// Publish a message
    Publish(Publish),
    /// Say which subscriptions would get a message, and why the others would not; publishes nothing
    Match(Publish),
    /// Subscribe a queue, a URL, a mail address or a phone
    Subscribe(Subscribe),
    /// End a subscription
    Unsubscribe {
        /// The topic's name
        topic: String,
        /// Its id, its ARN, its endpoint, or the name of its queue
        subscription: String,
    },
    /// Remove a topic with its subscriptions
    Rm {
        /// The topic's name
        topic: String,
        /// Do it: without this nothing happens
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
struct Create {
    /// Its name
    topic: String,
    /// An attribute as AWS spells it; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    attribute: Vec<String>,
    /// A tag; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    tag: Vec<String>,
}

#[derive(Debug, Args)]
struct Publish {
    /// The topic's name
    topic: String,
    /// The text, or - to read it from standard input
    message: String,
    /// Shown in the envelope, and in mails
    #[arg(long)]
    subject: Option<String>,
    /// An attribute: of type String, or of the type that is named, like Number or String.Array; may be repeated
    #[arg(long, value_name = "NAME[:TYPE]=VALUE")]
    attribute: Vec<String>,
    /// The message is JSON with one text for each protocol, and `default` for the others
    #[arg(long)]
    structured: bool,
    /// Its group (FIFO)
    #[arg(long)]
    group: Option<String>,
    /// Its deduplication id (FIFO)
    #[arg(long, value_name = "ID")]
    deduplication: Option<String>,
}

impl Publish {
    fn body(&self) -> Result<Value, Failed> {
        let mut attributes = Map::new();
        for attribute in &self.attribute {
            let (name, value) = pair("attribute", attribute, "NAME[:TYPE]=VALUE")?;
            let (name, kind) = name.split_once(':').unwrap_or((name, "String"));
            attributes.insert(name.to_owned(), json!({ "type": kind, "value": value }));
        }
        Ok(json!({
            "message": given_or_read(&self.message)?,
            "structured": self.structured,
            "subject": self.subject,
            "attributes": attributes,
            "group": self.group,
            "deduplication_id": self.deduplication,
        }))
    }
}

#[derive(Debug, Args)]
struct Subscribe {
    /// The topic's name
    topic: String,
    /// The name or ARN of a queue, a URL, a mail address, or a phone number like +4712345678
    endpoint: String,
    /// How it delivers, as AWS spells it [default: what the endpoint looks like]
    #[arg(long)]
    protocol: Option<String>,
    /// The bare message, without the SNS envelope
    #[arg(long)]
    raw: bool,
    /// Only messages that this filter policy admits
    #[arg(long, value_name = "JSON")]
    filter: Option<String>,
    /// What the policy looks at: MessageAttributes or MessageBody [default: MessageAttributes]
    #[arg(long, value_name = "SCOPE", requires = "filter")]
    filter_scope: Option<String>,
    /// A further attribute as AWS spells it; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    attribute: Vec<String>,
}

/// Splits `NAME=VALUE` of an option.
fn pair<'a>(option: &str, text: &'a str, form: &str) -> Result<(&'a str, &'a str), Failed> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    parts.ok_or_else(|| Failed::Usage(format!("--{option}: `{text}` is not of the form {form}")))
}

fn pairs(option: &str, given: &[String], form: &str) -> Result<Map<String, Value>, Failed> {
    let pairs = given.iter().map(|text| {
        let (name, value) = pair(option, text, form)?;
        Ok((name.to_owned(), Value::from(value)))
    });
    pairs.collect()
}

/// Whether an endpoint can only be meant as the name of a queue.
fn is_queue_name(endpoint: &str) -> bool {
    let stem = endpoint.strip_suffix(".fifo").unwrap_or(endpoint);
    stem.bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

impl Topics {
    pub(super) fn run(self) -> Result<(), Failed> {
        match self.action.as_ref().unwrap_or(&Action::Ls) {
            Action::Ls => list(
                &self.target,
                &format!("/v1/topics{}", self.scope.parameters(&[])),
                "topics",
                &[
                    ("TOPIC", "name"),
                    ("SUBSCRIPTIONS", "subscription_count"),
                    ("PENDING", "pending_count"),
                    ("TO POST", "outbox.waiting"),
                    ("PUBLISHED/S", "per_second.published"),
                    ("DELIVERED/S", "per_second.delivered"),
                    ("FAILED/S", "per_second.failed"),
                ],
            ),
            Action::Show { topic, after } => self.show(topic, after.as_deref()),
            Action::Create(create) => self.create(create),
            Action::Publish(publish) => self.publish(publish),
            Action::Match(publish) => {
                let path = self.path(&publish.topic, "/matches", &[]);
                let answer = self.target.call("POST", &path, Some(&publish.body()?))?;
                print(&self.target, &answer, || matches(&answer))
            }
            Action::Subscribe(subscribe) => self.subscribe(subscribe),
            Action::Unsubscribe { topic, subscription } => self.unsubscribe(topic, subscription),
            Action::Rm { topic, yes } => self.remove(topic, *yes),
        }
    }

    fn path(&self, topic: &str, below: &str, parameters: &[(&str, String)]) -> String {
        let parameters = self.scope.parameters(parameters);
        format!("/v1/topics/{}{below}{parameters}", segment(topic))
    }

    fn show(&self, topic: &str, after: Option<&str>) -> Result<(), Failed> {
        let mut answer = self.target.call("GET", &self.path(topic, "", &[]), None)?;
        let mut more = answer["_links"]["more_subscriptions"].is_object();
        if let Some(after) = after {
            let path = self.path(topic, "/subscriptions", &[("after", after.to_owned())]);
            let page = self.target.call("GET", &path, None)?;
            answer["subscriptions"] = page["subscriptions"].clone();
            more = page["_links"]["next"].is_object();
        }
        print(&self.target, &answer, || shown(&answer, more))
    }

    fn create(&self, create: &Create) -> Result<(), Failed> {
        let body = json!({
            "attributes": pairs("attribute", &create.attribute, "NAME=VALUE")?,
            "tags": pairs("tag", &create.tag, "KEY=VALUE")?,
        });
        let path = self.path(&create.topic, "", &[]);
        let answer = self.target.call("PUT", &path, Some(&body))?;
        print(&self.target, &answer, || format!("{}\n", plain(&answer["arn"])))
    }

    fn publish(&self, publish: &Publish) -> Result<(), Failed> {
        let path = self.path(&publish.topic, "/messages", &[]);
        let answer = self.target.call("POST", &path, Some(&publish.body()?))?;
        print(&self.target, &answer, || {
            let id = plain(&answer["id"]);
            let mut text = format!("{id}  to {}\n", subscriptions(&answer["deliveries"]));
            if answer["undeliverable"] != 0 {
                text.push_str(&format!(
                    "{} could not take it: to their dead-letter queues, or dropped where there is none; \
                     `tsugite topics match` says why\n",
                    subscriptions(&answer["undeliverable"])
                ));
            }
            text
        })
    }

    fn subscribe(&self, subscribe: &Subscribe) -> Result<(), Failed> {
        let filter: Option<Value> = match &subscribe.filter {
            None => None,
            Some(text) => Some(
                serde_json::from_str(text)
                    .map_err(|error| Failed::Usage(format!("--filter: this is not JSON: {error}")))?,
            ),
        };
        let endpoint = &subscribe.endpoint;
        let is_queue = subscribe.protocol.is_none() && is_queue_name(endpoint);
        let body = json!({
            "queue": is_queue.then_some(endpoint),
            "endpoint": (!is_queue).then_some(endpoint),
            "protocol": subscribe.protocol,
            "raw": subscribe.raw.then_some(true),
            "filter_policy": filter,
            "filter_policy_scope": subscribe.filter_scope,
            "attributes": pairs("attribute", &subscribe.attribute, "NAME=VALUE")?,
        });
        let path = self.path(&subscribe.topic, "/subscriptions", &[]);
        let answer = self.target.call("POST", &path, Some(&body))?;
        print(&self.target, &answer, || {
            let mut text = format!("{}\n", plain(&answer["arn"]));
            if answer["pending"] == true {
                text.push_str(match answer["protocol"].as_str() {
                    Some("http" | "https") => "pending: it was sent a request to confirm\n",
                    _ => "pending: `tsugite captured` shows the link that confirms it\n",
                });
            }
            text
        })
    }

    fn unsubscribe(&self, topic: &str, named: &str) -> Result<(), Failed> {
        let found = self.find(topic, named)?;
        let (id, endpoint) = (plain(&found["id"]), plain(&found["endpoint"]));
        let path = self.path(topic, &format!("/subscriptions/{}", segment(&id)), &[]);
        let answer = self.target.call("DELETE", &path, None)?;
        print(&self.target, &answer, || {
            format!("{endpoint} gets nothing more from {topic}\n")
        })
    }

    /// The subscription that a person means.
    fn find(&self, topic: &str, named: &str) -> Result<Value, Failed> {
        let mut after: Option<String> = None;
        loop {
            let mut parameters = vec![("limit", "1000".to_owned())];
            parameters.extend(after.map(|after| ("after", after)));
            let path = self.path(topic, "/subscriptions", &parameters);
            let page = self.target.call("GET", &path, None)?;
            let all = page["subscriptions"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            if let Some(found) = all.iter().find(|subscription| is_meant(subscription, named)) {
                return Ok(found.clone());
            }
            after = match page["_links"]["next"].is_object() {
                true => all.last().map(|last| plain(&last["id"])),
                false => None,
            };
            if after.is_none() {
                return Err(Failed::Failure(format!(
                    "no subscription of {topic} is `{named}`; `tsugite topics show {topic}` lists them"
                )));
            }
        }
    }

    fn remove(&self, topic: &str, yes: bool) -> Result<(), Failed> {
        let path = self.path(topic, "", &[]);
        if !yes {
            let answer = self.target.call("GET", &path, None)?;
            let count = |key: &str| answer[key].as_u64().unwrap_or_default();
            let all = count("subscription_count") + count("pending_count");
            let outbox = &answer["outbox"];
            return Err(Failed::Usage(format!(
                "this removes the topic, its {all} subscriptions and the {} messages that are still to be posted; if \
                 that is what you want: tsugite topics rm {topic} --yes",
                outbox["waiting"].as_u64().unwrap_or_default()
                    + outbox["in_flight"].as_u64().unwrap_or_default()
            )));
        }
        let answer = self.target.call("DELETE", &path, None)?;
        print(&self.target, &answer, || format!("{topic} is gone\n"))
    }
}

/// Whether a subscription is the one that a person names.
fn is_meant(subscription: &Value, named: &str) -> bool {
    let is = |key: &str| subscription[key] == named;
    let endpoint = subscription["endpoint"].as_str().unwrap_or_default();
    let queue = subscription["protocol"] == "sqs" && endpoint.rsplit(':').next() == Some(named);
    is("id") || is("arn") || is("endpoint") || queue
}

fn subscriptions(count: &Value) -> String {
    match count.as_u64().unwrap_or_default() {
        1 => "1 subscription".to_owned(),
        n => format!("{n} subscriptions"),
    }
}

/// A topic for eyes: what is set, then a row for each subscription.
fn shown(topic: &Value, more: bool) -> String {
    let mut text = String::new();
    for key in ["name", "arn"] {
        text.push_str(&format!("{key}: {}\n", plain(&topic[key])));
    }
    let numbers = |object: &Value| {
        let members = object.as_object().into_iter().flatten();
        let members: Vec<String> = members
            .map(|(key, value)| format!("{key} {}", plain(value)))
            .collect();
        members.join(", ")
    };
    for key in ["per_second", "since_start", "outbox"] {
        text.push_str(&format!("{key}: {}\n", numbers(&topic[key])));
    }
    for (title, key) in [("attributes", "attributes"), ("tags", "tags")] {
        let members = topic[key].as_object().into_iter().flatten();
        let news = members.filter(|(name, value)| key == "tags" || says_something(name, value));
        for (i, (name, value)) in news.enumerate() {
            if i == 0 {
                text.push_str(&format!("{title}:\n"));
            }
            text.push_str(&format!("  {name}: {}\n", plain(value)));
        }
    }
    let all = topic["subscriptions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    if rows.is_empty() {
        text.push_str("no subscriptions\n");
        return text;
    }
    text.push('\n');
    text.push_str(&table(
        &["SUBSCRIPTION", "PROTOCOL", "ENDPOINT", "STATE", "LAG", "FILTER"],
        &rows,
    ));
    for subscription in all {
        if let Some(line) = trouble(subscription) {
            text.push_str(&line);
        }
    }
    if let Some(last) = all.last().filter(|_| more) {
        text.push_str(&format!("more: --after {}\n", plain(&last["id"])));
    }
    text
}

/// Whether an attribute tells a person what the rest does not: it was set, that is. `--json` has them all.
fn says_something(name: &str, value: &Value) -> bool {
    const DERIVED: [&str; 3] = ["TopicArn", "Owner", "EffectiveDeliveryPolicy"];
    let text = value.as_str().unwrap_or_default();
    let is_default = name == "Policy" && text.contains("__default_policy_ID");
    !(text.is_empty() || is_default || DERIVED.contains(&name) || name.starts_with("Subscriptions"))
}

/// What is wrong with an endpoint that is posted to, if its last try failed.
fn trouble(subscription: &Value) -> Option<String> {
    let delivery = &subscription["deliveries"];
    let (at, reason) = (
        delivery["last_failure"].as_str()?,
        delivery["last_error"].as_str()?,
    );
    // Moments of one form are in the order of their texts.
    if delivery["last_success"]
        .as_str()
        .is_some_and(|success| success > at)
    {
        return None;
    }
    let shown = |key: &str| plain(&delivery[key]);
    let next = match delivery["next_try"].as_str() {
        Some(next) => format!("next try {next}"),
        None => "no next try".to_owned(),
    };
    Some(format!(
        "{}: {reason} (at {at}); {} of {} tries failed, {} messages given up, {next}\n",
        plain(&subscription["endpoint"]),
        shown("failures"),
        shown("attempts"),
        shown("given_up"),
    ))
}

fn row(subscription: &Value) -> Vec<String> {
    let state = match (subscription["pending"] == true, subscription["raw"] == true) {
        (true, _) => "pending",
        (false, true) => "raw",
        (false, false) => "envelope",
    };
    let filter = match &subscription["filter_policy"] {
        Value::Null => "-".to_owned(),
        policy => excerpt(&policy.to_string()),
    };
    let shown = |key: &str| plain(&subscription[key]);
    vec![
        shown("id"),
        shown("protocol"),
        shown("endpoint"),
        state.to_owned(),
        shown("lag"),
        filter,
    ]
}

/// A row for each subscription that was looked at, those first that would get the message.
fn matches(answer: &Value) -> String {
    let all = answer["subscriptions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut ordered: Vec<&Value> = all.iter().collect();
    ordered.sort_by_key(|found| found["matches"] != true);
    let rows: Vec<Vec<String>> = ordered
        .into_iter()
        .map(|found| {
            let reasons = found["reasons"].as_array().into_iter().flatten();
            let reasons: Vec<String> = reasons.map(plain).collect();
            let verdict = if found["matches"] == true { "yes" } else { "no" };
            let why = if reasons.is_empty() {
                "-".to_owned()
            } else {
                reasons.join("; ")
            };
            vec![
                verdict.to_owned(),
                plain(&found["protocol"]),
                plain(&found["endpoint"]),
                why,
            ]
        })
        .collect();
    let mut text = String::new();
    if !rows.is_empty() {
        text.push_str(&table(&["GETS IT", "PROTOCOL", "ENDPOINT", "WHY NOT"], &rows));
    }
    let count = |key: &str| answer[key].as_u64().unwrap_or_default();
    let (looked, all) = (count("looked_at"), count("all"));
    text.push_str(&format!(
        "{} of {} would get it\n",
        count("matching"),
        subscriptions(&answer["looked_at"])
    ));
    if looked < all {
        text.push_str(&format!("{} more were not looked at\n", all - looked));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_shown_with_a_row_for_each_subscription() {
        let topic = json!({
            "name": "t", "arn": "a", "per_second": {"published": 0.5}, "since_start": {"published": 3},
            "outbox": {"waiting": 1, "oldest_age_ms": null}, "attributes": {"DisplayName": "T", "TracingConfig": "", "Owner": "o", "SubscriptionsPending": "1"}, "tags": {},
            "subscriptions": [
                {"id": "i", "protocol": "sqs", "endpoint": "e", "pending": false, "raw": true, "lag": 7,
                 "filter_policy": {"k": ["v"]}},
                {"id": "j", "protocol": "email", "endpoint": "f", "pending": true, "raw": false, "lag": null,
                 "filter_policy": null},
            ],
        });
        assert_eq!(
            shown(&topic, true),
            "name: t\narn: a\nper_second: published 0.5\nsince_start: published 3\n\
             outbox: waiting 1, oldest_age_ms -\nattributes:\n  DisplayName: T\n\n\
             SUBSCRIPTION  PROTOCOL  ENDPOINT  STATE    LAG  FILTER\n\
             i             sqs       e         raw      7    {\"k\":[\"v\"]}\n\
             j             email     f         pending  -    -\n\
             more: --after j\n"
        );
    }

    #[test]
    fn endpoints_in_trouble_say_so() {
        let mut subscription = json!({"endpoint": "http://h/", "deliveries": {
            "attempts": 5, "failures": 3, "given_up": 1, "last_success": "2026-01-01T00:00:00.000Z",
            "last_failure": "2026-01-01T00:00:01.000Z", "last_error": "status 503", "next_try": null,
        }});
        assert_eq!(
            trouble(&subscription).unwrap(),
            "http://h/: status 503 (at 2026-01-01T00:00:01.000Z); 3 of 5 tries failed, 1 messages given up, no next try\n"
        );
        subscription["deliveries"]["next_try"] = json!("soon");
        assert!(trouble(&subscription).unwrap().ends_with("next try soon\n"));
        subscription["deliveries"]["last_success"] = json!("2026-01-01T00:00:02.000Z");
        assert_eq!(trouble(&subscription), None);
        assert_eq!(trouble(&json!({"deliveries": null})), None);
    }

    #[test]
    fn matches_come_first_and_the_others_say_why_not() {
        let answer = json!({"matching": 1, "looked_at": 2, "all": 3, "subscriptions": [
            {"protocol": "sqs", "endpoint": "a", "matches": false, "reasons": ["one", "two"]},
            {"protocol": "sqs", "endpoint": "b", "matches": true, "reasons": []},
        ]});
        assert_eq!(
            matches(&answer),
            "GETS IT  PROTOCOL  ENDPOINT  WHY NOT\n\
             yes      sqs       b         -\n\
             no       sqs       a         one; two\n\
             1 of 2 subscriptions would get it\n1 more were not looked at\n"
        );
    }

    #[test]
    fn subscriptions_are_found_by_what_people_know_of_them() {
        let queue = json!({"id": "i", "arn": "x", "protocol": "sqs", "endpoint": "arn:aws:sqs:r:a:kitchen"});
        for named in ["i", "x", "arn:aws:sqs:r:a:kitchen", "kitchen"] {
            assert!(is_meant(&queue, named), "{named}");
        }
        let url = json!({"id": "j", "arn": "y", "protocol": "http", "endpoint": "http://h:80"});
        assert!(is_meant(&url, "http://h:80") && !is_meant(&url, "80") && !is_meant(&queue, ""));
        for (text, is_name) in [
            ("kitchen", true),
            ("a_b-c.fifo", true),
            ("a.b", false),
            ("a@b", false),
            ("+47", false),
        ] {
            assert_eq!(is_queue_name(text), is_name, "{text}");
        }
    }
}
