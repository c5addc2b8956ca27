//! The demo's steps. Each does one thing with real calls, prints the call, and fails if it did not happen.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};
use tokio::net::UdpSocket;

use super::client::{Answer, Call};
use super::narrator::{Narrator, millis};
use super::services::{self, Doors};
use super::{aws, kitchen};

/// How often services renew their leases; a third of the lease, so that two renewals may be lost.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The lease that they ask for.
const LEASE_MS: u64 = 15_000;
/// A call that was rejected by an open circuit must take less than this; it usually takes under a millisecond.
const FAST: Duration = Duration::from_millis(50);
/// The slow-call threshold that the demo's configuration gives the customers service.
pub(super) const SLOW_CALL: Duration = Duration::from_millis(300);
/// Slow threshold plus what the breaker may take to notice.
const OPEN_WITHIN: Duration = Duration::from_millis(500);
/// How long a step waits for a state that must come by itself.
const SOON: Duration = Duration::from_secs(15);

/// All doors of the running Tsugite.
#[derive(Clone, Copy)]
pub(super) struct Stage {
    /// Gateway.
    pub(super) gateway: SocketAddr,
    /// AWS API.
    pub(super) aws: SocketAddr,
    /// Admin API.
    pub(super) admin: SocketAddr,
    /// DNS.
    pub(super) dns: SocketAddr,
}

type Step<T> = Result<T, String>;

/// Everything that the later steps need from the earlier ones.
struct Cast {
    hangs: Arc<AtomicBool>,
    notifications_queue: String,
    audit_queue: String,
}

/// Plays all steps; the error says which step did not happen and what came back instead.
pub(super) async fn play(stage: Stage) -> Step<()> {
    let n = Narrator;
    let cast = find(&n, stage).await?;
    call(&n, stage).await?;
    survive(&n, stage, &cast.hangs).await?;
    tell(&n, stage, &cast).await
}

async fn find(n: &Narrator, stage: Stage) -> Step<Cast> {
    n.chapter("1. Find: three services and a topic appear, nobody is configured with an address");
    let (topic, notifications_queue, audit_queue) = messaging(n, stage.aws).await?;
    let hangs = Arc::new(AtomicBool::new(false));
    let doors = Doors {
        gateway: stage.gateway,
        aws: stage.aws,
    };
    let io = |e: std::io::Error| format!("cannot start an example service: {e}");
    let customers = services::customers(Arc::clone(&hangs)).await.map_err(io)?;
    let cook = services::kitchen().await.map_err(io)?;
    let orders = services::orders(doors, topic).await.map_err(io)?;
    let grpc = json!({"TSUGITE_GRPC_SERVICES": "tsugite.demo.v1.Kitchen"});
    register(n, stage.admin, "customers", customers, ("http", json!({}))).await?;
    register(n, stage.admin, "kitchen", cook, ("grpc", grpc)).await?;
    register(n, stage.admin, "orders", orders, ("http", json!({}))).await?;

    n.say("The same instances through the AWS Cloud Map API, and through DNS:");
    n.command(&format!(
        "{} servicediscovery discover-instances --namespace-name internal --service-name orders",
        aws_cli(stage.aws)
    ));
    let found = aws::discover(stage.aws, "internal", "orders").await?;
    n.result(&found.to_string());
    let port = &found["Instances"][0]["Attributes"]["AWS_INSTANCE_PORT"];
    expect(*port == json!(orders.port().to_string()), || {
        format!("Cloud Map shows {port}, not port {}", orders.port())
    })?;
    n.command(&format!(
        "dig @{} -p {} orders.internal +short",
        stage.dns.ip(),
        stage.dns.port()
    ));
    n.result(&resolve(stage.dns, &["orders", "internal"]).await?);
    Ok(Cast {
        hangs,
        notifications_queue,
        audit_queue,
    })
}

async fn messaging(n: &Narrator, aws_door: SocketAddr) -> Step<(String, String, String)> {
    let endpoint = aws_cli(aws_door);
    n.command(&format!("{endpoint} sns create-topic --name order-events"));
    let topic = aws::create_topic(aws_door, "order-events").await?;
    n.result(&topic);
    let mut urls = Vec::new();
    for queue in ["notifications", "audit"] {
        let (url, arn) = aws::create_queue(aws_door, queue).await?;
        n.command(&format!("{endpoint} sqs create-queue --queue-name {queue}"));
        n.command(&format!(
            "{endpoint} sns subscribe --topic-arn {topic} --protocol sqs --notification-endpoint {arn} --attributes RawMessageDelivery=true"
        ));
        aws::subscribe(aws_door, &topic, &arn).await?;
        n.result(&url);
        urls.push(url);
    }
    let audit = urls.pop().unwrap_or_default();
    Ok((topic, urls.pop().unwrap_or_default(), audit))
}

/// Registers an example service, with its protocol and attributes, and keeps renewing its lease.
async fn register(
    n: &Narrator,
    admin: SocketAddr,
    name: &str,
    at: SocketAddr,
    (protocol, attributes): (&str, Value),
) -> Step<()> {
    let path = format!("/v1/instances/internal/{name}/{name}-1");
    let body = json!({"address": at.ip().to_string(), "port": at.port(), "protocol": protocol, "attributes": attributes, "ttl_ms": LEASE_MS});
    n.command(&format!(
        "curl -X PUT http://{admin}{path} -H 'content-type: application/json' -d '{body}'"
    ));
    let put = move |path: String, body: Value| {
        Call::new(Method::PUT, admin, &admin.to_string(), &path)
            .json(&body)
            .send()
    };
    let answer = put(path.clone(), body.clone()).await?;
    n.answer(&answer);
    expect(answer.status.is_success(), || {
        format!("{name} could not register: {} {}", answer.status, answer.text())
    })?;
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            // A lost heartbeat is what leases are for: the next one may arrive.
            let _ = put(path.clone(), body.clone()).await;
        }
    });
    Ok(())
}

async fn call(n: &Narrator, stage: Stage) -> Step<()> {
    n.chapter("2. Call: REST and gRPC through one gateway, by name");
    let gateway = stage.gateway;
    n.command(&format!("curl http://{gateway}/customers/42"));
    let answer = get_routed(gateway, "/customers/42").await?;
    n.answer(&answer);
    expect(answer.json()["name"] == json!("Aiko Tanaka"), || {
        format!("the customer did not arrive: {}", answer.text())
    })?;

    n.command(&format!(
        "buf curl --protocol grpc --http2-prior-knowledge --schema examples/proto -d '{{\"orderId\":\"hello\"}}' http://{gateway}{}",
        kitchen::COOK
    ));
    let cook = || {
        Call::grpc(
            gateway,
            "kitchen.internal",
            kitchen::COOK,
            &kitchen::encode("hello"),
        )
        .send()
    };
    let answer = until("the kitchen's route to appear", || async {
        cook().await.ok().filter(|a| a.header("grpc-status") == "0")
    })
    .await?;
    let ticket = kitchen::unframe(&answer.body)
        .and_then(kitchen::decode)
        .unwrap_or_default()
        .to_owned();
    n.result(&format!(
        "grpc-status {} in {:.1} ms: {ticket}",
        answer.header("grpc-status"),
        millis(answer.took)
    ));
    expect(ticket == "ticket-hello", || {
        format!("the kitchen did not answer: {:?}", answer.headers)
    })?;

    get_routed(gateway, "/orders").await?;
    n.say("An order calls customers (REST) and the kitchen (gRPC), then publishes an event:");
    let order = order(n, gateway).await?;
    expect(order["customer"] == json!("Aiko Tanaka"), || {
        format!("the order has no customer: {order}")
    })
}

async fn order(n: &Narrator, gateway: SocketAddr) -> Step<Value> {
    n.command(&format!("curl -X POST http://{gateway}/orders -d '{{}}'"));
    let answer = Call::new(Method::POST, gateway, &gateway.to_string(), "/orders")
        .json(&json!({}))
        .send()
        .await?;
    n.answer(&answer);
    expect(answer.status.as_u16() == 201, || {
        format!("the order was not taken: {} {}", answer.status, answer.text())
    })?;
    Ok(answer.json())
}

async fn survive(n: &Narrator, stage: Stage, hangs: &AtomicBool) -> Step<()> {
    n.chapter("3. Survive: customers hangs; callers do not");
    let gateway = stage.gateway;
    hangs.store(true, Ordering::Relaxed);
    let began = Instant::now();
    n.say("The customers service now takes requests and never answers. Ten callers find out the hard way:");
    // They are cut off when the set is dropped, as impatient clients would be.
    let mut victims = tokio::task::JoinSet::new();
    for _ in 0..10 {
        victims.spawn(get(gateway, "/customers/42"));
    }
    let rejected = until("the circuit to open", || async {
        let probe = tokio::time::timeout(Duration::from_millis(100), get(gateway, "/customers/42")).await;
        probe
            .ok()
            .and_then(Result::ok)
            .filter(|a| a.status.as_u16() == 503)
    })
    .await?;
    let opened = began.elapsed();
    drop(victims);
    n.say(&format!(
        "The circuit opened after {:.0} ms (slow-call threshold {} ms). From now on callers fail fast:",
        millis(opened),
        SLOW_CALL.as_millis()
    ));
    // The last probe may have begun up to 100 ms before the circuit opened.
    expect(opened < OPEN_WITHIN + Duration::from_millis(100), || {
        format!("the circuit opened only after {opened:?}")
    })?;
    n.command(&format!("curl -i http://{gateway}/customers/42"));
    n.result(&format!(
        "Tsugite-Circuit: {}   Retry-After: {}",
        rejected.header("tsugite-circuit"),
        rejected.header("retry-after")
    ));
    let fast = get(gateway, "/customers/42").await?;
    n.answer(&fast);
    expect(fast.status.as_u16() == 503 && fast.took < FAST, || {
        format!("not failing fast: {} in {:?}", fast.status, fast.took)
    })?;
    n.say("The rest goes on working; orders are taken without the customer's name:");
    let order = order(n, gateway).await?;
    expect(order["customer"].is_null() && order["ticket"].is_string(), || {
        format!("the failure was not partial: {order}")
    })?;
    recover(n, stage, hangs).await
}

async fn recover(n: &Narrator, stage: Stage, hangs: &AtomicBool) -> Step<()> {
    n.command(&format!("curl http://{}/v1/circuits", stage.admin));
    let circuits = get(stage.admin, "/v1/circuits").await?;
    expect(circuits.text().contains("\"open\""), || {
        format!("no open circuit is shown: {}", circuits.text())
    })?;
    n.answer(&circuits);
    hangs.store(false, Ordering::Relaxed);
    n.say("customers is healthy again; half-open probes find out and close the circuit:");
    let healed = Instant::now();
    let answer = until("the circuit to close", || async {
        let answer = get(stage.gateway, "/customers/42").await.ok()?;
        let circuit = get(stage.admin, "/v1/circuits/customers.internal").await.ok()?;
        (answer.status.is_success() && circuit.json()["state"] == json!("closed")).then_some(answer)
    })
    .await?;
    n.answer(&answer);
    n.say(&format!(
        "Recovered {:.1} s after the service did.",
        healed.elapsed().as_secs_f64()
    ));
    Ok(())
}

async fn tell(n: &Narrator, stage: Stage, cast: &Cast) -> Step<()> {
    n.chapter("4. Tell: each order's event reached both queues, durably");
    for url in [&cast.notifications_queue, &cast.audit_queue] {
        n.command(&format!(
            "{} sqs receive-message --queue-url {url} --max-number-of-messages 10",
            aws_cli(stage.aws)
        ));
        let bodies = aws::take_all(stage.aws, url).await?;
        n.result(&bodies.join("  "));
        for order in ["order-1", "order-2"] {
            let arrived = bodies.iter().any(|b| b.contains(&format!("\"{order}\"")));
            expect(arrived, || format!("{order} did not reach {url}: {bodies:?}"))?;
        }
    }
    Ok(())
}

fn expect(happened: bool, otherwise: impl FnOnce() -> String) -> Step<()> {
    if happened { Ok(()) } else { Err(otherwise()) }
}

async fn get(to: SocketAddr, path: &str) -> Step<Answer> {
    Call::new(Method::GET, to, &to.to_string(), path).send().await
}

/// Gets `path`, waiting for its route to appear: a registration takes a few milliseconds to reach the gateway.
async fn get_routed(gateway: SocketAddr, path: &str) -> Step<Answer> {
    until("the route to appear", || async {
        get(gateway, path).await.ok().filter(|a| a.status.is_success())
    })
    .await
}

/// Tries until `attempt` yields something, or fails after [`SOON`].
async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut attempt: impl FnMut() -> F) -> Step<T> {
    let began = Instant::now();
    while began.elapsed() < SOON {
        if let Some(found) = attempt().await {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(format!("waited {} s in vain for {what}", SOON.as_secs()))
}

/// The AWS CLI as it works on a machine where nobody has configured it. `localhost` stands in place of the loopback
/// address because SDKs prepend `data-` to the host for some calls, which an address cannot have.
fn aws_cli(door: SocketAddr) -> String {
    let host = if door.ip().is_loopback() {
        "localhost".to_owned()
    } else {
        door.ip().to_string()
    };
    format!(
        "aws --endpoint-url http://{host}:{} --region us-east-1 --no-sign-request",
        door.port()
    )
}

/// Asks for the A record of a name; returns the address of the first answer.
async fn resolve(dns: SocketAddr, labels: &[&str]) -> Step<String> {
    let mut query = vec![0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in labels {
        query.push(u8::try_from(label.len()).unwrap_or(63));
        query.extend_from_slice(label.as_bytes());
    }
    query.extend_from_slice(&[0, 0, 1, 0, 1]);
    let io = |e: std::io::Error| format!("DNS query: {e}");
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.map_err(io)?;
    socket.send_to(&query, dns).await.map_err(io)?;
    let mut answer = [0; 512];
    let waited = tokio::time::timeout(SOON, socket.recv(&mut answer)).await;
    let length = waited
        .map_err(|_| "DNS query: no answer".to_owned())?
        .map_err(io)?;
    // One A record without additional ones ends in its four address bytes.
    match answer.get(..length) {
        Some([.., 0, 4, a, b, c, d]) if answer[7] > 0 => Ok(format!("{a}.{b}.{c}.{d}")),
        _ => Err(format!(
            "DNS query: {} has no address (rcode {})",
            labels.join("."),
            answer[3] & 15
        )),
    }
}
