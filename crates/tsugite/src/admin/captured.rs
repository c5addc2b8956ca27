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
    let base_url = base_url(admin);
    let mut messages = Vec::new();
    for captured in captured.iter().filter(wanted).take(limit) {
        // Without a key, of which the log tells, it is shown as it was published.
        let mail = admin.signer.mail(captured, &base_url).await.unwrap_or_default();
        messages.push(with_links(
            body_of(captured, mail, &base_url),
            links(admin, captured),
        ));
        // A signature takes a while, and this thread answers others too.
        tokio::task::yield_now().await;
    }
    let links = vec![
        ("self", "/v1/captured".into()),
        ("topics", "/v1/topics".into()),
        ("index", "/v1".into()),
    ];
    Ok(document(StatusCode::OK, json!({ "captured": messages }), links))
}

/// `mail` is what a mail says that is JSON.
fn body_of(captured: &Captured, mail: Option<String>, base_url: &str) -> Value {
    let text = mail.or_else(|| (!captured.is_token).then(|| captured.text.clone()));
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
        "text": text,
        "attributes": attributes,
        "confirmation_url": confirmation(captured, base_url),
    })
}

/// The link with which the recipient of a token confirms the subscription.
fn confirmation(captured: &Captured, base_url: &str) -> Option<String> {
    let topic = captured.topic.as_ref().filter(|_| captured.is_token)?;
    Some(format!(
        "{base_url}/?Action=ConfirmSubscription&TopicArn={}&Token={}",
        encode(&topic.arn().to_string()),
        encode(&captured.text)
    ))
}

/// Where links lead: whoever reads this is on the same host, or knows its name better than we do.
fn base_url<S: Store>(admin: &Admin<S>) -> String {
    crate::run::base_url(&admin.config.borrow(), &admin.addresses)
}

fn links<S: Store>(admin: &Admin<S>, captured: &Captured) -> Links {
    let topic = captured.topic.as_ref();
    let default = admin.default_scope();
    let path = topic.map(|key| Located::new((), "topics", &key.name, &key.scope, &default).path("", &[]));
    path.map(|path| ("topic", path)).into_iter().collect()
}
