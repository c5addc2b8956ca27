//! The door behind real sockets, over the real store on a simulated disk.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tsugite_log::disk::sim::{Image, SimDisk};
use tsugite_log::{LogStore, Options};

use super::{AwsDoor, Settings, serve};
use crate::signing::tests::Scratch;

struct Served {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    door: Arc<AwsDoor<LogStore>>,
    /// Where the signing keys are.
    _keys: Scratch,
}

impl Served {
    fn start() -> Served {
        let (world, _) = crate::world::host();
        let options = Options::new(world.clone(), tsugite_log::Settings::default());
        let store = LogStore::open(options, Arc::new(SimDisk::new(1, Image::new()))).unwrap();
        let keys = Scratch::new();
        let signer = Arc::new(keys.signer());
        let door = Arc::new(AwsDoor::new(store, world, signer, Settings::default()));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let of_thread = door.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let local = tokio::task::LocalSet::new();
            runtime.block_on(local.run_until(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                serve(listener, of_thread, stopped).await;
            }));
        });
        Served {
            address,
            stop,
            thread: Some(thread),
            door,
            _keys: keys,
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    /// Sends bytes, and returns all that comes back until the server closes.
    fn exchange(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // The server may refuse and close before it has read everything.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// One SQS call; returns the body of the answer.
    fn sqs(&self, action: &str, body: &str) -> String {
        let answer = self.exchange(&request(action, body, "Connection: close\r\n"));
        answer
            .split_once("\r\n\r\n")
            .map(|(_, body)| body.to_owned())
            .unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

fn request(action: &str, body: &str, headers: &str) -> Vec<u8> {
    format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: AmazonSQS.{action}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[test]
fn a_message_lives() {
    let served = Served::start();
    let created = served.sqs("CreateQueue", r#"{"QueueName":"q"}"#);
    assert_eq!(created, r#"{"QueueUrl":"http://localhost/000000000000/q"}"#);
    let sent = served.sqs("SendMessage", r#"{"QueueUrl":"q","MessageBody":"hello"}"#);
    assert!(
        sent.contains(r#""MD5OfMessageBody":"5d41402abc4b2a76b9719d911017c592""#),
        "{sent}"
    );
    let received = served.sqs("ReceiveMessage", r#"{"QueueUrl":"q"}"#);
    assert!(received.contains(r#""Body":"hello""#), "{received}");
    let handle = received
        .split("\"ReceiptHandle\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap();
    let delete = format!(r#"{{"QueueUrl":"q","ReceiptHandle":"{handle}"}}"#);
    assert_eq!(served.sqs("DeleteMessage", &delete), "{}");
    assert_eq!(served.sqs("ReceiveMessage", r#"{"QueueUrl":"q"}"#), "{}");
    let metrics = served.door.metrics();
    let of = |action| {
        metrics
            .iter()
            .find(|m| m.service == "sqs" && m.action == action)
            .map(|m| m.succeeded)
    };
    assert_eq!(
        (of("SendMessage"), of("ReceiveMessage"), of("Other")),
        (Some(1), Some(2), Some(1))
    );
}

#[test]
fn answers_name_the_request_and_the_error() {
    let served = Served::start();
    let answer = served.exchange(&request(
        "GetQueueUrl",
        r#"{"QueueName":"nope"}"#,
        "Connection: close\r\n",
    ));
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    for expected in [
        "x-amzn-requestid: ",
        "content-type: application/x-amz-json-1.0\r\n",
        "x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender\r\n",
        "com.amazonaws.sqs#QueueDoesNotExist",
        "nope",
    ] {
        assert!(answer.contains(expected), "{expected} in {answer}");
    }
}

#[test]
fn foreign_pages_are_refused() {
    let served = Served::start();
    for header in [
        "Origin: https://evil.example\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
    ] {
        let headers = format!("Connection: close\r\n{header}");
        let answer = served.exchange(&request("ListQueues", "{}", &headers));
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    let rebound = b"GET /?Action=ListTopics HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n";
    assert!(served.exchange(rebound).starts_with("HTTP/1.1 403 "));
}

#[test]
fn a_vanished_waiter_takes_no_lease() {
    let served = Served::start();
    served.sqs("CreateQueue", r#"{"QueueName":"q"}"#);
    let mut waiter = served.connect();
    waiter
        .write_all(&request(
            "ReceiveMessage",
            r#"{"QueueUrl":"q","WaitTimeSeconds":20}"#,
            "",
        ))
        .unwrap();
    // A request that is answered after the poll was read shows that the poll is waiting.
    served.sqs("ListQueues", "{}");
    drop(waiter);
    // The server sees the end of the connection in one turn of its loop; the next request comes after it.
    served.sqs("ListQueues", "{}");
    served.sqs("SendMessage", r#"{"QueueUrl":"q","MessageBody":"mine"}"#);
    let received = served.sqs(
        "ReceiveMessage",
        r#"{"QueueUrl":"q","MessageSystemAttributeNames":["ApproximateReceiveCount"]}"#,
    );
    assert!(
        received.contains(r#""ApproximateReceiveCount":"1""#),
        "{received}"
    );
}

#[test]
fn who_stops_sending_is_still_answered() {
    let served = Served::start();
    served.sqs("CreateQueue", r#"{"QueueName":"q"}"#);
    for (action, body) in [
        ("SendMessage", r#"{"QueueUrl":"q","MessageBody":"x"}"#),
        ("PurgeQueue", r#"{"QueueUrl":"q"}"#),
        // A long poll ends at once: most who look like this are gone.
        ("ReceiveMessage", r#"{"QueueUrl":"q","WaitTimeSeconds":20}"#),
    ] {
        let mut stream = served.connect();
        stream.write_all(&request(action, body, "")).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{action}: {answer}");
    }
    let mut stream = served.connect();
    stream
        .write_all(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nhalf")
        .unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("IncompleteBody"),
        "{answer}"
    );
}

#[test]
fn stopping_ends_long_polls_with_an_empty_answer() {
    let mut served = Served::start();
    served.sqs("CreateQueue", r#"{"QueueName":"q"}"#);
    let mut waiter = served.connect();
    waiter
        .write_all(&request(
            "ReceiveMessage",
            r#"{"QueueUrl":"q","WaitTimeSeconds":20}"#,
            "",
        ))
        .unwrap();
    let idle = served.connect();
    served.sqs("ListQueues", "{}");
    let begin = Instant::now();
    served.stop.send_replace(true);
    let mut answer = String::new();
    waiter.read_to_string(&mut answer).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n{}"),
        "{answer}"
    );
    served.thread.take().unwrap().join().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5));
    drop(idle);
    served.thread = Some(std::thread::spawn(|| ()));
}

#[test]
fn broken_clients_do_no_harm() {
    let served = Served::start();
    let whole = request("ListQueues", "{}", "");
    for cut in 0..whole.len() {
        let mut stream = served.connect();
        stream.write_all(&whole[..cut]).unwrap();
    }
    let garbage: [&[u8]; 6] = [
        b"\0\0\0\0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ];
    for bytes in garbage {
        let answer = served.exchange(bytes);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(served.sqs("ListQueues", "{}"), "{}");
}

#[test]
fn what_a_topic_sends_to_a_queue_is_signed_by_a_certificate_that_is_served() {
    let served = Served::start();
    served.sqs("CreateQueue", r#"{"QueueName":"q"}"#);
    let get = |target: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        served.exchange(request.as_bytes())
    };
    let topic = "arn:aws:sns:us-east-1:000000000000:t";
    for action in [
        "CreateTopic&Name=t".to_owned(),
        format!("Subscribe&TopicArn={topic}&Protocol=sqs&Endpoint=arn:aws:sqs:us-east-1:000000000000:q"),
        format!("Publish&TopicArn={topic}&Message=hello"),
    ] {
        let answer = get(&format!("/?Version=2010-03-31&Action={action}"));
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let answer: serde_json::Value =
        serde_json::from_str(&served.sqs("ReceiveMessage", r#"{"QueueUrl":"q"}"#)).unwrap();
    let body = answer["Messages"][0]["Body"].as_str().unwrap();
    let envelope: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&envelope["Message"], &envelope["SignatureVersion"]),
        (&"hello".into(), &"1".into())
    );
    assert_eq!(
        envelope["Signature"].as_str().unwrap().len(),
        344,
        "256 bytes in base64"
    );
    let url = envelope["SigningCertURL"].as_str().unwrap();
    let path = url.strip_prefix("http://localhost/").unwrap();
    let answer = get(&format!("/{path}"));
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.contains("-----BEGIN CERTIFICATE-----"),
        "{answer}"
    );
    assert!(!answer.contains("PRIVATE"), "{answer}");
    let answer = get("/SimpleNotificationService-other.pem");
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}
