//! SNS over the Query protocol as SDKs speak it: topics, subscriptions, publishes alone and in batches of ten.
//!
//! Requests are prepared once and answers are searched rather than parsed, as those of the queues are.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use super::Client;
use super::http1::Http1;

/// Messages of a batch.
const BATCH: usize = 10;
/// What stands where a message carries a number of its own; its place has the width of that number.
const NUMBER: &str = "NNNNNNNN";

/// Before the microseconds in a stamped message, which an exclamation mark ends.
pub(crate) const STAMP: &str = "sent-at-";
const STAMP_DIGITS: usize = 20;

/// Names the service for the emulators that route by it.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=bench/20260101/us-east-1/sns/aws4_request, \
                             SignedHeaders=host, Signature=0";

/// A topic and how to reach it.
#[derive(Clone)]
pub(crate) struct Topic {
    address: SocketAddr,
    arn: String,
}

impl Topic {
    pub(crate) async fn create(address: SocketAddr, name: &str) -> io::Result<Topic> {
        let parameters = [("Action", "CreateTopic"), ("Name", name)];
        let answer = ask(&mut Http1::new(address), address, &parameters).await?;
        let arn = between(&answer, "<TopicArn>", "</TopicArn>")?.to_owned();
        Ok(Topic { address, arn })
    }

    /// Subscribes an endpoint over a connection of the caller's.
    pub(crate) async fn subscribe(
        &self,
        connection: &mut Http1,
        protocol: &str,
        endpoint: &str,
        attributes: &[(&str, &str)],
    ) -> io::Result<()> {
        let mut parameters = vec![
            ("Action".to_owned(), "Subscribe".to_owned()),
            ("TopicArn".to_owned(), self.arn.clone()),
            ("Protocol".to_owned(), protocol.to_owned()),
            ("Endpoint".to_owned(), endpoint.to_owned()),
        ];
        for (n, (name, value)) in (1..).zip(attributes) {
            parameters.push((format!("Attributes.entry.{n}.key"), (*name).to_owned()));
            parameters.push((format!("Attributes.entry.{n}.value"), (*value).to_owned()));
        }
        let parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        ask(connection, self.address, &parameters).await.map(drop)
    }

    /// A client that publishes one message after the other.
    pub(crate) fn publisher(&self, message: &str) -> Publish {
        let parameters = vec![
            ("Action", "Publish".to_owned()),
            ("TopicArn", self.arn.clone()),
            ("Message", message.to_owned()),
        ];
        self.publishes(&parameters, 1, None)
    }

    /// A client that publishes ten at once.
    pub(crate) fn batch_publisher(&self, message: &str) -> Publish {
        let mut parameters = vec![
            ("Action".to_owned(), "PublishBatch".to_owned()),
            ("TopicArn".to_owned(), self.arn.clone()),
        ];
        for n in 1..=BATCH {
            let entry = |name: &str| format!("PublishBatchRequestEntries.member.{n}.{name}");
            parameters.push((entry("Id"), n.to_string()));
            parameters.push((entry("Message"), message.to_owned()));
        }
        let parameters: Vec<_> = parameters.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        self.publishes(&parameters, BATCH, None)
    }

    /// A client whose messages carry the attributes that a filter policy looks at: a `kind` of its own out of `kinds`,
    /// in turn, and a `price`.
    pub(crate) fn attribute_publisher(&self, message: &str, kinds: u64, turn: &Rc<Cell<u64>>) -> Publish {
        let attribute = "MessageAttributes.entry";
        let names: Vec<String> = [
            "1.Name",
            "1.Value.DataType",
            "1.Value.StringValue",
            "2.Name",
            "2.Value.DataType",
            "2.Value.StringValue",
        ]
        .map(|end| format!("{attribute}.{end}"))
        .to_vec();
        let values = ["kind", "String", NUMBER, "price", "Number", "50"];
        let mut parameters = vec![
            ("Action", "Publish".to_owned()),
            ("TopicArn", self.arn.clone()),
            ("Message", message.to_owned()),
        ];
        let attributes = names.iter().zip(values);
        parameters.extend(attributes.map(|(name, value)| (name.as_str(), value.to_owned())));
        self.publishes(&parameters, 1, Some((kinds, Rc::clone(turn))))
    }

    /// A client whose messages say when they were sent off, in microseconds since `begin`.
    pub(crate) fn stamped_publisher(&self, message: &str, begin: Instant) -> Publish {
        let zeros = "0".repeat(STAMP_DIGITS);
        let mut publish = self.publisher(&format!("{STAMP}{zeros}!{message}"));
        let place = String::from_utf8_lossy(&publish.request).find(STAMP);
        publish.stamp = place.map(|place| (place + STAMP.len(), begin));
        publish
    }

    /// Confirms with the token that an endpoint got.
    pub(crate) async fn confirm(&self, token: &str) -> io::Result<()> {
        let parameters = [
            ("Action", "ConfirmSubscription"),
            ("TopicArn", &self.arn),
            ("Token", token),
        ];
        ask(&mut Http1::new(self.address), self.address, &parameters)
            .await
            .map(drop)
    }

    fn publishes(
        &self,
        parameters: &[(&str, String)],
        messages: usize,
        kinds: Option<(u64, Rc<Cell<u64>>)>,
    ) -> Publish {
        let parameters: Vec<_> = parameters.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let request = post(self.address, &parameters);
        let text = String::from_utf8_lossy(&request);
        let place = kinds.as_ref().and_then(|_| text.find(NUMBER));
        Publish {
            connection: Http1::new(self.address),
            place,
            request,
            messages,
            kinds,
            stamp: None,
        }
    }
}

/// Publishes one message or a batch and waits for the answer.
pub(crate) struct Publish {
    connection: Http1,
    request: Vec<u8>,
    place: Option<usize>,
    messages: usize,
    kinds: Option<(u64, Rc<Cell<u64>>)>,
    /// Where the time of the call stands, and since when it counts.
    stamp: Option<(usize, Instant)>,
}

impl Publish {
    fn number(&mut self) {
        if let (Some(place), Some((kinds, turn))) = (self.place, &self.kinds) {
            let number = turn.get();
            turn.set(number + 1);
            let text = format!("{:08}", number % kinds);
            self.request[place..place + NUMBER.len()].copy_from_slice(text.as_bytes());
        }
    }
}

impl Client for Publish {
    async fn call(&mut self) -> io::Result<u64> {
        self.number();
        if let Some((place, begin)) = self.stamp {
            let text = format!("{:0STAMP_DIGITS$}", begin.elapsed().as_micros());
            self.request[place..place + STAMP_DIGITS].copy_from_slice(text.as_bytes());
        }
        let answer = self.connection.exchange(&self.request).await?;
        let text = std::str::from_utf8(answer).map_err(|_| io::ErrorKind::InvalidData)?;
        let found = text.matches("<MessageId>").count();
        if found == self.messages {
            return Ok(found as u64);
        }
        let message = format!("{found} of {} messages in {text}", self.messages);
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    }
}

/// What an answer holds between two marks.
pub(crate) fn between<'a>(text: &'a str, open: &str, close: &str) -> io::Result<&'a str> {
    let found = text.split_once(open).and_then(|(_, rest)| rest.split_once(close));
    let missing = || io::Error::new(io::ErrorKind::InvalidData, format!("no {open} in {text}"));
    found.map(|(inside, _)| inside).ok_or_else(missing)
}

async fn ask(connection: &mut Http1, address: SocketAddr, parameters: &[(&str, &str)]) -> io::Result<String> {
    let answer = connection.exchange(&post(address, parameters)).await?;
    Ok(String::from_utf8_lossy(answer).into_owned())
}

/// A request as an SDK sends it, but for a signature that is not real.
fn post(address: SocketAddr, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = String::from("Version=2010-03-31");
    for (name, value) in parameters {
        body.push_str(&format!("&{name}={}", encode(value)));
    }
    format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded; charset=utf-8\r\n\
         Authorization: {AUTHORIZATION}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_take_kinds_in_turn() {
        let topic = Topic {
            address: ([127, 0, 0, 1], 1).into(),
            arn: "arn:aws:sns:us-east-1:000000000000:t".into(),
        };
        let turn = Rc::new(Cell::new(0));
        let mut clients = [(); 2].map(|()| topic.attribute_publisher("x", 3, &turn));
        for expected in [0, 1, 2, 0] {
            let client = &mut clients[expected % 2];
            client.number();
            let request = String::from_utf8(client.request.clone()).unwrap();
            assert!(
                request.contains(&format!("StringValue={expected:08}&")),
                "{request}"
            );
        }
    }
}
