//! SQS over awsJson1_0 as the SDKs speak it: sends alone and in batches of ten, receives, deletes, long polls.
//!
//! Requests are prepared once and answers are searched rather than parsed: the load shares the machine's cores.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use serde_json::{Value, json};

use super::Client;
use super::http1::Http1;

/// Messages of a batch, and of a receive.
const BATCH: usize = 10;
/// What a message of a FIFO queue carries before it is numbered; each place has the width of its number.
const GROUP: &str = "group-00000000";
const ONCE: &str = "once-000000000000";

/// A queue and how to reach it.
#[derive(Clone)]
pub(crate) struct Queue {
    address: SocketAddr,
    pub(crate) url: String,
    fifo: Option<Fifo>,
}

/// Numbers for the messages of a FIFO queue, which all of its senders share.
#[derive(Clone)]
struct Fifo {
    groups: u64,
    sent: Rc<Cell<u64>>,
}

impl Queue {
    /// Creates a standard queue.
    pub(crate) async fn standard(address: SocketAddr, name: &str) -> io::Result<Queue> {
        Queue::create(address, name, &json!({}), None).await
    }

    /// Creates a FIFO queue whose messages go round so many groups.
    pub(crate) async fn fifo(address: SocketAddr, name: &str, groups: u64) -> io::Result<Queue> {
        let sent = Rc::new(Cell::new(0));
        let name = format!("{name}.fifo");
        let attributes = json!({ "FifoQueue": "true" });
        Queue::create(address, &name, &attributes, Some(Fifo { groups, sent })).await
    }

    /// A queue that is there already.
    pub(crate) fn known(address: SocketAddr, url: &str) -> Queue {
        Queue {
            address,
            url: url.to_owned(),
            fifo: None,
        }
    }

    async fn create(
        address: SocketAddr,
        name: &str,
        attributes: &Value,
        fifo: Option<Fifo>,
    ) -> io::Result<Queue> {
        let request = post(
            address,
            "CreateQueue",
            &json!({ "QueueName": name, "Attributes": attributes }),
        );
        let mut connection = Http1::new(address);
        let answer: Value = serde_json::from_slice(connection.exchange(&request).await?)?;
        let url = answer["QueueUrl"].as_str().ok_or(io::ErrorKind::InvalidData)?;
        Ok(Queue {
            address,
            url: url.to_owned(),
            fifo,
        })
    }

    /// A client that sends messages one by one.
    pub(crate) fn sender(&self, body: &str) -> Send {
        let mut message = self.message(body);
        message["QueueUrl"] = json!(self.url);
        self.sends("SendMessage", &message, 1)
    }

    /// A client that sends ten at once.
    pub(crate) fn batch_sender(&self, body: &str) -> Send {
        let entries = (0..BATCH).map(|id| {
            let mut entry = self.message(body);
            entry["Id"] = json!(id.to_string());
            entry
        });
        let entries: Vec<Value> = entries.collect();
        let batch = json!({ "QueueUrl": self.url, "Entries": entries });
        self.sends("SendMessageBatch", &batch, BATCH)
    }

    /// A client that receives ten and deletes them.
    pub(crate) fn consumer(&self) -> Consume {
        let receive = json!({ "QueueUrl": self.url, "MaxNumberOfMessages": BATCH });
        Consume {
            connection: Http1::new(self.address),
            queue: self.clone(),
            receive: post(self.address, "ReceiveMessage", &receive),
        }
    }

    /// A client that sends ten, receives ten and deletes them.
    pub(crate) fn cycle(&self, body: &str) -> Cycle {
        Cycle {
            send: self.batch_sender(body),
            consume: self.consumer(),
        }
    }

    /// A client that waits up to twenty seconds for a message.
    pub(crate) fn poller(&self) -> Poll {
        let receive = json!({ "QueueUrl": self.url, "MaxNumberOfMessages": 1, "WaitTimeSeconds": 20 });
        Poll {
            connection: Http1::new(self.address),
            receive: post(self.address, "ReceiveMessage", &receive),
        }
    }

    fn message(&self, body: &str) -> Value {
        let mut message = json!({ "MessageBody": body });
        if self.fifo.is_some() {
            message["MessageGroupId"] = json!(GROUP);
            message["MessageDeduplicationId"] = json!(ONCE);
        }
        message
    }

    fn sends(&self, action: &str, body: &Value, messages: usize) -> Send {
        let request = post(self.address, action, body);
        Send {
            connection: Http1::new(self.address),
            groups: places(&request, GROUP),
            ids: places(&request, ONCE),
            request,
            messages,
            fifo: self.fifo.clone(),
        }
    }
}

/// A request as an SDK sends it, but for a signature that is not real.
pub(crate) fn post(address: SocketAddr, action: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-amz-json-1.0\r\n\
         X-Amz-Target: AmazonSQS.{action}\r\nAuthorization: {AUTHORIZATION}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Names the service for the emulators that route by it.
pub(crate) const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=bench/20260101/us-east-1/sqs/aws4_request, \
                                        SignedHeaders=host, Signature=0";

/// Where the numbers of each `mark` end.
fn places(request: &[u8], mark: &str) -> Vec<usize> {
    let text = String::from_utf8_lossy(request);
    text.match_indices(mark).map(|(at, _)| at + mark.len()).collect()
}

/// Writes a number into the zeros that end at `end`.
fn write_number(into: &mut [u8], end: usize, width: usize, mut number: u64) {
    for place in into[end - width..end].iter_mut().rev() {
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Sends one message or a batch and waits for the answer, which comes after the sync.
pub(crate) struct Send {
    connection: Http1,
    request: Vec<u8>,
    groups: Vec<usize>,
    ids: Vec<usize>,
    messages: usize,
    fifo: Option<Fifo>,
}

impl Send {
    fn number(&mut self) {
        let Some(fifo) = &self.fifo else { return };
        for (group, id) in self.groups.iter().zip(&self.ids) {
            let number = fifo.sent.get();
            fifo.sent.set(number + 1);
            write_number(&mut self.request, *group, 8, number % fifo.groups);
            write_number(&mut self.request, *id, 12, number);
        }
    }
}

impl Send {
    pub(crate) async fn connect(&mut self) -> io::Result<()> {
        self.connection.connect().await
    }
}

impl Client for Send {
    async fn call(&mut self) -> io::Result<u64> {
        self.number();
        let answer = text(self.connection.exchange(&self.request).await?)?;
        has(answer, "\"MessageId\"", self.messages)
    }
}

/// Receives up to ten messages and deletes them.
pub(crate) struct Consume {
    connection: Http1,
    queue: Queue,
    receive: Vec<u8>,
}

impl Consume {
    /// Receives once, without deleting.
    pub(crate) async fn receive(&mut self) -> io::Result<usize> {
        let answer = text(self.connection.exchange(&self.receive).await?)?;
        Ok(receipts(answer).count())
    }
}

impl Client for Consume {
    async fn call(&mut self) -> io::Result<u64> {
        let answer = text(self.connection.exchange(&self.receive).await?)?;
        let entries: Vec<Value> = (0..)
            .zip(receipts(answer))
            .map(|(id, receipt): (u32, _)| json!({ "Id": id.to_string(), "ReceiptHandle": receipt }))
            .collect();
        if entries.is_empty() {
            return Ok(0); // Another consumer took ours; it deletes them.
        }
        let count = entries.len();
        let delete = json!({ "QueueUrl": self.queue.url, "Entries": entries });
        let delete = post(self.queue.address, "DeleteMessageBatch", &delete);
        let answer = text(self.connection.exchange(&delete).await?)?;
        has(answer, "\"Id\"", count)
    }
}

/// Sends ten messages, receives ten, deletes them; what counts is what was deleted.
pub(crate) struct Cycle {
    send: Send,
    consume: Consume,
}

impl Client for Cycle {
    async fn call(&mut self) -> io::Result<u64> {
        self.send.call().await?;
        self.consume.call().await
    }
}

/// Waits for a message.
pub(crate) struct Poll {
    connection: Http1,
    receive: Vec<u8>,
}

impl Poll {
    pub(crate) async fn connect(&mut self) -> io::Result<()> {
        self.connection.connect().await
    }
}

impl Client for Poll {
    async fn call(&mut self) -> io::Result<u64> {
        let answer = text(self.connection.exchange(&self.receive).await?)?;
        Ok(receipts(answer).count() as u64)
    }
}

fn text(answer: &[u8]) -> io::Result<&str> {
    std::str::from_utf8(answer).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// The receipt handles in an answer to ReceiveMessage.
fn receipts(answer: &str) -> impl Iterator<Item = &str> {
    let parts = answer.split("\"ReceiptHandle\":\"").skip(1);
    parts.filter_map(|part| part.split_once('"').map(|(receipt, _)| receipt))
}

/// An answer that names each of `count` messages and no failure.
fn has(answer: &str, word: &str, count: usize) -> io::Result<u64> {
    if answer.matches(word).count() == count && !answer.contains("\"SenderFault\"") {
        Ok(count as u64)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, answer.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_fifo_queues_are_numbered_in_place() {
        let queue = Queue {
            address: ([127, 0, 0, 1], 1).into(),
            url: String::new(),
            fifo: Some(Fifo {
                groups: 3,
                sent: Rc::default(),
            }),
        };
        let mut send = queue.batch_sender("x");
        let length = send.request.len();
        send.number();
        send.number();
        let request = String::from_utf8(send.request).unwrap();
        assert_eq!(request.len(), length);
        for (group, id) in [(1, 10), (2, 11), (0, 12), (1, 19)] {
            let (group, id) = (format!("group-{group:08}"), format!("once-{id:012}"));
            let entry = request.split('{').find(|entry| entry.contains(&id)).unwrap();
            assert!(entry.contains(&group), "{entry}");
        }
    }

    #[test]
    fn answers_are_searched() {
        let answer = r#"{"Messages":[{"ReceiptHandle":"a","Body":"x"},{"Body":"x","ReceiptHandle":"b"}]}"#;
        assert_eq!(receipts(answer).collect::<Vec<_>>(), ["a", "b"]);
        assert!(has(r#"{"Successful":[{"Id":"0"}],"Failed":[]}"#, "\"Id\"", 1).is_ok());
        let failed = r#"{"Successful":[],"Failed":[{"Id":"0","SenderFault":true}]}"#;
        assert!(has(failed, "\"Id\"", 1).is_err());
    }
}
