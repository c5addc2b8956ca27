//! The few AWS calls that the demo makes, as the bytes that an SDK would send.

use std::net::SocketAddr;

use hyper::Method;
use serde_json::{Value, json};

use super::client::{Answer, Call};

async fn call_json(aws: SocketAddr, target: &str, version: &str, input: &Value) -> Result<Value, String> {
    let answer = Call::new(Method::POST, aws, &aws.to_string(), "/")
        .header("content-type", &format!("application/x-amz-json-{version}"))
        .header("x-amz-target", target)
        .body(input.to_string())
        .send()
        .await?;
    if answer.status.is_success() {
        Ok(answer.json())
    } else {
        Err(format!("{target}: {} {}", answer.status, answer.text()))
    }
}

async fn query(aws: SocketAddr, fields: &[(&str, &str)]) -> Result<Answer, String> {
    let mut form = form_encode(&[("Version", "2010-03-31")]);
    form.push('&');
    form.push_str(&form_encode(fields));
    let answer = Call::new(Method::POST, aws, &aws.to_string(), "/")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await?;
    if answer.status.is_success() {
        Ok(answer)
    } else {
        Err(format!("{}: {} {}", fields[0].1, answer.status, answer.text()))
    }
}

fn form_encode(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| -> String {
        text.bytes()
            .map(|b| match b {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(b).to_string(),
                _ => format!("%{b:02X}"),
            })
            .collect()
    };
    fields
        .iter()
        .map(|(k, v)| format!("{}={}", encode(k), encode(v)))
        .collect::<Vec<_>>()
        .join("&")
}

/// The text of the first `<name>` element.
fn element(xml: &str, name: &str) -> Option<String> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0.to_owned())
}

/// Cloud Map: the healthy instances of a service.
pub(super) async fn discover(aws: SocketAddr, namespace: &str, service: &str) -> Result<Value, String> {
    let input = json!({"NamespaceName": namespace, "ServiceName": service});
    call_json(
        aws,
        "Route53AutoNaming_v20170314.DiscoverInstances",
        "1.1",
        &input,
    )
    .await
}

/// SNS CreateTopic; returns the ARN.
pub(super) async fn create_topic(aws: SocketAddr, name: &str) -> Result<String, String> {
    let answer = query(aws, &[("Action", "CreateTopic"), ("Name", name)]).await?;
    element(&answer.text(), "TopicArn").ok_or_else(|| "CreateTopic: no TopicArn in the answer".to_owned())
}

/// SNS Subscribe of a queue, raw delivery.
pub(super) async fn subscribe(aws: SocketAddr, topic: &str, queue_arn: &str) -> Result<(), String> {
    let fields = [
        ("Action", "Subscribe"),
        ("TopicArn", topic),
        ("Protocol", "sqs"),
        ("Endpoint", queue_arn),
        ("Attributes.entry.1.key", "RawMessageDelivery"),
        ("Attributes.entry.1.value", "true"),
    ];
    query(aws, &fields).await.map(|_| ())
}

/// SNS Publish.
pub(super) async fn publish(aws: SocketAddr, topic: &str, message: &str) -> Result<(), String> {
    query(
        aws,
        &[("Action", "Publish"), ("TopicArn", topic), ("Message", message)],
    )
    .await
    .map(|_| ())
}

/// SQS CreateQueue; returns URL and ARN.
pub(super) async fn create_queue(aws: SocketAddr, name: &str) -> Result<(String, String), String> {
    let made = call_json(aws, "AmazonSQS.CreateQueue", "1.0", &json!({"QueueName": name})).await?;
    let url = made["QueueUrl"].as_str().unwrap_or_default().to_owned();
    let input = json!({"QueueUrl": url, "AttributeNames": ["QueueArn"]});
    let attributes = call_json(aws, "AmazonSQS.GetQueueAttributes", "1.0", &input).await?;
    Ok((
        url,
        attributes["Attributes"]["QueueArn"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    ))
}

/// SQS ReceiveMessage with a long poll, then DeleteMessage of each; returns the bodies.
pub(super) async fn take_all(aws: SocketAddr, url: &str) -> Result<Vec<String>, String> {
    let input = json!({"QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 2});
    let got = call_json(aws, "AmazonSQS.ReceiveMessage", "1.0", &input).await?;
    let mut bodies = Vec::new();
    for message in got["Messages"].as_array().into_iter().flatten() {
        let input = json!({"QueueUrl": url, "ReceiptHandle": message["ReceiptHandle"]});
        call_json(aws, "AmazonSQS.DeleteMessage", "1.0", &input).await?;
        bodies.push(message["Body"].as_str().unwrap_or_default().to_owned());
    }
    Ok(bodies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_elements() {
        assert_eq!(form_encode(&[("A.b", "x y&ü")]), "A.b=x%20y%26%C3%BC");
        assert_eq!(
            element("<a><TopicArn>t</TopicArn></a>", "TopicArn"),
            Some("t".into())
        );
        assert_eq!(element("<a/>", "TopicArn"), None);
    }
}
