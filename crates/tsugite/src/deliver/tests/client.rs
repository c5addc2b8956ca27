//! One POST: what is sent, what answers mean, whom the client connects to and trusts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use super::server::{Answer, OK, Server};
use crate::deliver::client::{Client, ClientSettings, EndpointClient, Post, PostError};
use crate::deliver::tls::Trust;
use crate::deliver::url::EndpointUrl;

fn post() -> Post {
    Post {
        kind: "Notification",
        message_id: "11111111-1111-1111-1111-111111111111".into(),
        topic_arn: "arn:aws:sns:us-east-1:000000000000:orders".into(),
        subscription_arn: Some("arn:aws:sns:us-east-1:000000000000:orders:2".into()),
        raw: false,
        content_type: "text/plain; charset=UTF-8".into(),
        body: Bytes::from_static("{\"Message\":\"hällo\"}".as_bytes()),
    }
}

fn quick() -> ClientSettings {
    ClientSettings {
        timeout: Duration::from_millis(500),
        ..ClientSettings::default()
    }
}

fn client(url: &str, settings: ClientSettings) -> EndpointClient {
    let url = EndpointUrl::parse(url).unwrap();
    EndpointClient::new(Arc::new(Client::new(settings)), url, 4)
}

async fn once(url: &str, settings: ClientSettings) -> Result<u16, PostError> {
    client(url, settings).post(&post()).await
}

#[tokio::test]
async fn requests_are_those_of_sns() {
    let server = Server::start(|_, _| Answer::Bytes(OK)).await;
    let url = server.url().replace("http://", "http://user:pass@");
    let client = client(&url, quick());
    assert_eq!(client.post(&post()).await, Ok(200));
    let confirm = Post {
        kind: "SubscriptionConfirmation",
        subscription_arn: None,
        raw: true,
        content_type: "application/json".into(),
        ..post()
    };
    assert_eq!(client.post(&confirm).await, Ok(200));
    assert_eq!(server.connections(), 1, "connections are kept");
    let asked = server.asked();
    assert_eq!(asked[0].body, "{\"Message\":\"hällo\"}");
    let lines: Vec<&str> = asked[0].head.lines().collect();
    let host = format!("host: {}", server.address);
    for expected in [
        "POST /hook?x=1 HTTP/1.1",
        &host,
        "user-agent: Amazon Simple Notification Service Agent",
        "accept-encoding: gzip,deflate",
        "content-type: text/plain; charset=UTF-8",
        "content-length: 20",
        "authorization: Basic dXNlcjpwYXNz",
        "x-amz-sns-message-type: Notification",
        "x-amz-sns-message-id: 11111111-1111-1111-1111-111111111111",
        "x-amz-sns-topic-arn: arn:aws:sns:us-east-1:000000000000:orders",
        "x-amz-sns-subscription-arn: arn:aws:sns:us-east-1:000000000000:orders:2",
    ] {
        assert!(lines.contains(&expected), "{expected}: {lines:#?}");
    }
    assert_eq!(lines.len(), 11, "{lines:#?}");
    let second = &asked[1].head;
    assert!(second.contains("\r\nx-amz-sns-rawdelivery: true"), "{second}");
    assert!(second.contains("\r\ncontent-type: application/json"), "{second}");
    assert!(!second.contains("subscription-arn"), "{second}");
}

#[tokio::test]
async fn statuses_decide() {
    const DONE: Option<bool> = None;
    const AGAIN: Option<bool> = Some(false);
    const NEVER: Option<bool> = Some(true);
    for (head, expected) in [
        ("200 OK", DONE),
        ("201 Created", DONE),
        ("202 Accepted", DONE),
        ("299 Odd", DONE),
        ("300 Choices", NEVER),
        ("301 Moved", NEVER),
        ("307 Moved", NEVER),
        ("400 Bad", NEVER),
        ("401 Who", NEVER),
        ("404 Missing", NEVER),
        ("408 Slow", NEVER),
        ("410 Gone", NEVER),
        ("429 Slower", AGAIN),
        ("500 Broken", AGAIN),
        ("503 Busy", AGAIN),
        ("599 Odd", AGAIN),
    ] {
        let answer = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\nlocation: /elsewhere\r\n\r\n");
        let answer: &'static str = answer.leak();
        let server = Server::start(move |_, _| Answer::Bytes(answer)).await;
        let outcome = once(&server.url(), quick()).await;
        let permanent = outcome.as_ref().err().map(|error| error.permanent);
        assert_eq!(permanent, expected, "{head}: {outcome:?}");
        let status: u16 = head[..3].parse().unwrap();
        assert_eq!(outcome.unwrap_or_else(|error| error.status.unwrap()), status);
        assert_eq!(server.asked().len(), 1, "{head}: redirects are not followed");
    }
}

#[tokio::test]
async fn what_does_not_answer_is_tried_again() {
    let silent = Answer::Nothing;
    let drip = Answer::Drip("HTTP/1.1 200 OK\r\nx: ", 1, Duration::from_millis(20));
    for (answer, reason) in [
        (silent, "no answer within 500 ms"),
        (drip, "no answer within 500 ms"),
        (Answer::Last(""), "no HTTP answer"),
        (Answer::Last("HTTP/1.1 200"), "no HTTP answer"),
        (Answer::Last("SSH-2.0-OpenSSH\r\n\r\n"), "no HTTP answer"),
        // A head without end.
        (
            Answer::Drip("HTTP/1.1 200 OK\r\nx: ", 100_000, Duration::ZERO),
            "no HTTP answer",
        ),
    ] {
        let shown = format!("{answer:?}");
        let server = Server::start(move |_, _| answer.clone()).await;
        let begun = Instant::now();
        let error = once(&server.url(), quick()).await.unwrap_err();
        assert!(error.reason.contains(reason), "{shown}: {error}");
        assert!(!error.permanent && error.status.is_none(), "{shown}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{shown}");
    }
    let server = Server::start(|_, _| Answer::Bytes(OK)).await;
    let https = server.url().replace("http:", "https:");
    // It waits for the rest of a head that never comes.
    let error = once(&https, quick()).await.unwrap_err();
    assert!(!error.permanent, "{error}");
    // Nobody listens on a port that was just given back.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let error = once(&format!("http://127.0.0.1:{port}/"), quick())
        .await
        .unwrap_err();
    assert!(error.reason.starts_with("no connection to 127.0.0.1:"), "{error}");
    assert!(!error.permanent);
    let error = once("http://no-such-host.invalid/", quick()).await.unwrap_err();
    assert!(!error.permanent, "{error}");
}

#[tokio::test]
async fn bodies_without_end_are_not_read() {
    for answer in [
        Answer::Drip("HTTP/1.1 200 OK\r\n\r\n", 100_000, Duration::ZERO),
        Answer::Drip(
            "HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n",
            1,
            Duration::from_millis(10),
        ),
        Answer::Drip(
            "HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n",
            1,
            Duration::from_millis(10),
        ),
    ] {
        let server = Server::start(move |_, _| answer.clone()).await;
        let client = client(&server.url(), quick());
        let begun = Instant::now();
        assert_eq!(client.post(&post()).await, Ok(200));
        assert_eq!(client.post(&post()).await, Ok(200));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(
            server.connections(),
            2,
            "what is not read to its end cannot be used again"
        );
    }
}

#[tokio::test]
async fn connections_that_were_closed_are_replaced() {
    let server = Server::start(|_, _| Answer::Last(OK)).await;
    let client = client(&server.url(), quick());
    for _ in 0..5 {
        assert_eq!(client.post(&post()).await, Ok(200));
    }
    assert_eq!(server.asked().len(), 5);
    // The server closes without an answer, as it does when it restarts: once more on a new connection.
    let server = Server::start(|n, _| match n {
        1 => Answer::Last(""),
        _ => Answer::Bytes(OK),
    })
    .await;
    let client = self::client(&server.url(), quick());
    assert_eq!(client.post(&post()).await, Ok(200));
    assert_eq!(client.post(&post()).await, Ok(200));
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn addresses_are_looked_at() {
    let server = Server::start(|_, _| Answer::Bytes(OK)).await;
    let port = server.address.port();
    for host in [
        "169.254.169.254",
        "0.0.0.0",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
    ] {
        let error = once(&format!("http://{host}:{port}/latest"), quick())
            .await
            .unwrap_err();
        assert!(
            error.permanent && error.reason.contains("aws.sns.any_address"),
            "{error}"
        );
    }
    assert_eq!(server.connections(), 0);
    let any = ClientSettings {
        any_address: true,
        ..quick()
    };
    assert_eq!(once(&format!("http://0.0.0.0:{port}/"), any).await, Ok(200));
    assert_eq!(once(&format!("http://localhost:{port}/"), quick()).await, Ok(200));
}

/// A server's side of TLS for `name`, and the PEM of the authority behind it.
fn authority(name: &str) -> (TlsAcceptor, String) {
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).unwrap();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), ca_certificate.pem())
}

#[tokio::test]
async fn certificates_are_looked_at() {
    let (tls, pem) = authority("localhost");
    let server = Server::with_tls(Some(tls), |_, _| Answer::Bytes(OK)).await;
    let port = server.address.port();
    let (world, _) = crate::world::host();
    let file = std::env::temp_dir().join(format!("tsugite-ca-{}.pem", world.uuid()));
    std::fs::write(&file, pem).unwrap();
    let trusting = |trust| ClientSettings { trust, ..quick() };
    let own = Trust {
        ca_file: Some(file.clone()),
        insecure: false,
    };
    let blind = Trust {
        ca_file: None,
        insecure: true,
    };
    let good = format!("https://localhost:{port}/hook");
    let misnamed = format!("https://127.0.0.1:{port}/hook");
    let missing = Trust {
        ca_file: Some("/nonexistent/ca.pem".into()),
        insecure: false,
    };
    for (url, trust, expected) in [
        (&good, &own, Ok(200)),
        (&good, &blind, Ok(200)),
        (&misnamed, &blind, Ok(200)),
        (&misnamed, &own, Err("not valid for name")),
        (&good, &missing, Err("/nonexistent/ca.pem cannot be read")),
    ] {
        match (once(url, trusting(trust.clone())).await, expected) {
            (Ok(status), expected) => assert_eq!(Ok(status), expected, "{url}"),
            (Err(error), Err(part)) => {
                assert!(error.reason.contains(part) && !error.permanent, "{url}: {error}");
            }
            (Err(error), Ok(_)) => panic!("{url}: {error}"),
        }
    }
    // An authority that nobody named: whether or not the host has authorities of its own.
    let error = once(&good, quick()).await.unwrap_err();
    assert!(error.reason.contains("TLS") && !error.permanent, "{error}");
    std::fs::remove_file(file).unwrap();
}
