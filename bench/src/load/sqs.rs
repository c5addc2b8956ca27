//! SQS over awsJson1_0 as the SDKs speak it: SendMessage, and the send-receive-delete cycle in batches of ten.

use std::io;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::Client;
use super::http1::Http1;

/// One connection.
struct Sqs {
    connection: Http1,
    host: String,
}

impl Sqs {
    fn new(address: SocketAddr) -> Sqs {
        Sqs {
            connection: Http1::new(address),
            host: address.to_string(),
        }
    }

    fn request(&self, action: &str, body: &Value) -> Vec<u8> {
        let body = body.to_string();
        format!(
            "POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-amz-json-1.0\r\n\
             X-Amz-Target: AmazonSQS.{action}\r\nContent-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        )
        .into_bytes()
    }

    async fn ask(&mut self, action: &str, body: &Value) -> io::Result<Value> {
        let request = self.request(action, body);
        let answer = self.connection.exchange(&request).await?;
        serde_json::from_slice(answer).map_err(io::Error::from)
    }
}

/// Creates a queue and returns its URL.
pub(crate) async fn create_queue(address: SocketAddr, name: &str) -> io::Result<String> {
    let answer = Sqs::new(address)
        .ask("CreateQueue", &json!({ "QueueName": name }))
        .await?;
    let url = answer["QueueUrl"].as_str();
    url.map(str::to_owned)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no QueueUrl"))
}

/// Sends one message and waits for the answer, which comes after the sync.
pub(crate) struct Send {
    sqs: Sqs,
    request: Vec<u8>,
}

impl Send {
    pub(crate) fn new(address: SocketAddr, queue_url: &str, body: &str) -> Send {
        let sqs = Sqs::new(address);
        let request = sqs.request(
            "SendMessage",
            &json!({ "QueueUrl": queue_url, "MessageBody": body }),
        );
        Send { sqs, request }
    }
}

impl Client for Send {
    async fn call(&mut self) -> io::Result<()> {
        self.sqs.connection.exchange(&self.request).await.map(drop)
    }
}

/// Sends ten messages, receives ten, deletes them.
pub(crate) struct Cycle {
    sqs: Sqs,
    queue_url: String,
    send: Vec<u8>,
    receive: Vec<u8>,
}

impl Cycle {
    pub(crate) fn new(address: SocketAddr, queue_url: &str, body: &str) -> Cycle {
        let sqs = Sqs::new(address);
        let entries: Vec<Value> = (0..10)
            .map(|id| json!({ "Id": id.to_string(), "MessageBody": body }))
            .collect();
        let send = sqs.request(
            "SendMessageBatch",
            &json!({ "QueueUrl": queue_url, "Entries": entries }),
        );
        let receive = sqs.request(
            "ReceiveMessage",
            &json!({ "QueueUrl": queue_url, "MaxNumberOfMessages": 10 }),
        );
        Cycle {
            sqs,
            queue_url: queue_url.to_owned(),
            send,
            receive,
        }
    }
}

impl Client for Cycle {
    async fn call(&mut self) -> io::Result<()> {
        let sent = self.sqs.connection.exchange(&self.send).await?;
        count_is(sent, "Successful", 10)?;
        let received: Value = serde_json::from_slice(self.sqs.connection.exchange(&self.receive).await?)?;
        let messages = received["Messages"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        if messages.is_empty() {
            return Ok(()); // Another consumer took ours; it deletes them.
        }
        let entries: Vec<Value> = (0..)
            .zip(messages)
            .map(|(id, message): (u32, _)| json!({ "Id": id.to_string(), "ReceiptHandle": message["ReceiptHandle"] }))
            .collect();
        let delete = self.sqs.request(
            "DeleteMessageBatch",
            &json!({ "QueueUrl": self.queue_url, "Entries": entries }),
        );
        count_is(
            self.sqs.connection.exchange(&delete).await?,
            "Successful",
            entries.len(),
        )
    }
}

fn count_is(answer: &[u8], list: &str, expected: usize) -> io::Result<()> {
    let answer: Value = serde_json::from_slice(answer)?;
    if answer[list]
        .as_array()
        .is_some_and(|entries| entries.len() == expected)
    {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidData, answer.to_string()))
}
