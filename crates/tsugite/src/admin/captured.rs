//! `/v1/captured`: what would have been sent to mail addresses and phones, as a mail catcher shows it.

use http::StatusCode;
use serde_json::{Map, Value, json};
use tsugite_base::limits;
use tsugite_broker::Captured;

use super::answer::{Answer, Links, Problem, document, with_links};
use super::located::Located;
use super::messages::{attribute_body, number};
use super::resource::encode;
use super::{Admin, Query, Store};

/// Messages shown, unless asked for otherwise.
const SHOWN: usize = 100;

/// The latest messages, newest first; of one recipient, if asked for.
pub(super) async fn list<S: Store>(admin: &Admin<S>, query: &Query) -> Result<Answer, Problem> {
    const MOST: usize = limits::CAPTURED_MESSAGES;
    let limit = number(query, "limit")?.map_or(SHOWN, |limit| limit as usize);
    if !(1..=MOST).contains(&limit) {
        let detail = format!("`limit`: {limit}; it must be 1 to {MOST}, which is how many are kept");
        return Err(Problem::invalid(detail));
    }
    let recipient = query.get("recipient");
    let wanted = |captured: &&Captured| recipient.is_none_or(|recipient| recipient == captured.endpoint);
    let captured = admin.store.captured(MOST).await?;
    let messages: Vec<Value> = captured
        .iter()
        .filter(wanted)
        .take(limit)
        .map(|captured| with_links(body_of(admin, captured), links(admin, captured)))
        .collect();
    let links = vec![
        ("self", "/v1/captured".into()),
        ("topics", "/v1/topics".into()),
        ("index", "/v1".into()),
    ];
    Ok(document(StatusCode::OK, json!({ "captured": messages }), links))
}

fn body_of<S: Store>(admin: &Admin<S>, captured: &Captured) -> Value {
    let attributes: Map<String, Value> = captured
        .attributes
        .iter()
        .map(|attribute| (attribute.name.clone(), attribute_body(attribute)))
        .collect();
    json!({
        "id": captured.id.to_string(),
        "sent": captured.sent.iso_millis(),
        "protocol": captured.protocol.name(),
        "recipient": captured.endpoint,
        "topic_arn": captured.topic.as_ref().map(|topic| topic.arn().to_string()),
        "subject": captured.subject,
        "text": (!captured.is_token).then_some(&captured.text),
        "attributes": attributes,
        "confirmation_url": confirmation(admin, captured),
    })
}

/// The link with which the recipient of a token confirms the subscription.
fn confirmation<S: Store>(admin: &Admin<S>, captured: &Captured) -> Option<String> {
    let topic = captured.topic.as_ref().filter(|_| captured.is_token)?;
    let config = admin.config.borrow();
    let host = match &config.aws.host {
        Some(host) => host.clone(),
        None => {
            let mut address = admin.addresses.aws?;
            if address.ip().is_unspecified() {
                // Whoever reads this is on the same host, or knows its name better than we do.
                address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
            }
            address.to_string()
        }
    };
    Some(format!(
        "http://{host}/?Action=ConfirmSubscription&TopicArn={}&Token={}",
        encode(&topic.arn().to_string()),
        encode(&captured.text)
    ))
}

fn links<S: Store>(admin: &Admin<S>, captured: &Captured) -> Links {
    let topic = captured.topic.as_ref();
    let default = admin.default_scope();
    let path = topic.map(|key| Located::new((), "topics", &key.name, &key.scope, &default).path("", &[]));
    path.map(|path| ("topic", path)).into_iter().collect()
}
