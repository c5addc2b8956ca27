//! What the scenarios set up: services with instances, made through Cloud Map, and calls in its protocol.

use std::io;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::Result;
use crate::load::http1::Http1;
use crate::load::{Client, Pace, drive, drive_through};
use crate::servers::Tsugite;

/// An operation of Cloud Map in AWS JSON.
pub(super) fn operation(address: SocketAddr, name: &str, input: &Value) -> Vec<u8> {
    let body = input.to_string();
    format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-amz-json-1.1\r\n\
         X-Amz-Target: Route53AutoNaming_v20170314.{name}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A request of the admin API.
pub(super) fn admin(address: SocketAddr, method: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One call, and its answer.
pub(super) async fn call(connection: &mut Http1, request: &[u8]) -> Result<Value> {
    Ok(serde_json::from_slice(connection.exchange(request).await?)?)
}

/// A private DNS namespace `name`; its id.
pub(super) async fn namespace(tsugite: &Tsugite, name: &str) -> Result<String> {
    let address = tsugite.server.address;
    let mut connection = Http1::new(address);
    let create = operation(
        address,
        "CreatePrivateDnsNamespace",
        &json!({ "Name": name, "Vpc": "vpc-1" }),
    );
    let answer = call(&mut connection, &create).await?;
    let id = json!({ "OperationId": answer["OperationId"] });
    let told = call(&mut connection, &operation(address, "GetOperation", &id)).await?;
    let id = told["Operation"]["Targets"]["NAMESPACE"].as_str();
    Ok(id.ok_or("the operation names no namespace")?.to_owned())
}

/// So many services `<prefix>-0`, … in a namespace; their ids.
pub(super) async fn services(
    tsugite: &Tsugite,
    namespace: &str,
    prefix: &str,
    count: usize,
) -> Result<Vec<String>> {
    let address = tsugite.server.address;
    let requests = (0..count).map(|number| {
        let records = json!([{ "Type": "A", "TTL": 1 }]);
        let input = json!({
            "Name": format!("{prefix}-{number}"),
            "NamespaceId": namespace,
            "DnsConfig": { "DnsRecords": records },
        });
        operation(address, "CreateService", &input)
    });
    let mut ids = Vec::with_capacity(count);
    let mut connection = Http1::new(address);
    // One after the other would wait for a sync each; the ids are asked for afterwards.
    all(address, requests.collect()).await?;
    let mut token = Value::Null;
    loop {
        let filter = json!([{ "Name": "NAMESPACE_ID", "Values": [namespace] }]);
        let mut input = json!({ "Filters": filter, "MaxResults": 100 });
        if token.is_string() {
            input["NextToken"] = token;
        }
        let page = call(&mut connection, &operation(address, "ListServices", &input)).await?;
        let listed = page["Services"].as_array().ok_or("no list of services")?;
        ids.extend(
            listed
                .iter()
                .filter_map(|service| Some(service["Id"].as_str()?.to_owned())),
        );
        token = page["NextToken"].clone();
        if !token.is_string() {
            break;
        }
    }
    match ids.len() == count {
        true => Ok(ids),
        false => Err(format!("{} services are there instead of {count}", ids.len()).into()),
    }
}

/// `RegisterInstance` of the instance that has this number.
pub(super) fn registration(address: SocketAddr, service: &str, number: usize) -> Vec<u8> {
    let ip = format!("10.{}.{}.{}", number >> 16 & 255, number >> 8 & 255, number & 255);
    let input = json!({
        "ServiceId": service,
        "InstanceId": format!("i-{number:07}"),
        "Attributes": { "AWS_INSTANCE_IPV4": ip, "AWS_INSTANCE_PORT": "8080", "version": "1.4.2" },
    });
    operation(address, "RegisterInstance", &input)
}

/// Makes all requests over many connections.
pub(super) async fn all(address: SocketAddr, requests: Vec<Vec<u8>>) -> Result<()> {
    let count = requests.len() as u64;
    if count == 0 {
        return Ok(());
    }
    let waiting = std::rc::Rc::new(std::cell::RefCell::new(requests.into_iter()));
    let clients = (0..super::CONNECTIONS).map(|_| {
        let waiting = waiting.clone();
        Calls::new(address, move || waiting.borrow_mut().next())
    });
    drive_through(clients.collect(), count, std::time::Duration::from_secs(900)).await?;
    Ok(())
}

/// A connection that makes the requests it is given, one after the other.
pub(super) struct Calls<F> {
    connection: Http1,
    next: F,
    /// For how many things a call stands.
    weight: u64,
}

impl<F: FnMut() -> Option<Vec<u8>>> Calls<F> {
    pub(super) fn new(address: SocketAddr, next: F) -> Calls<F> {
        Calls::weighing(1, address, next)
    }

    pub(super) fn weighing(weight: u64, address: SocketAddr, next: F) -> Calls<F> {
        Calls {
            connection: Http1::new(address),
            next,
            weight,
        }
    }
}

impl<F: FnMut() -> Option<Vec<u8>>> Client for Calls<F> {
    async fn call(&mut self) -> io::Result<u64> {
        let Some(request) = (self.next)() else {
            // Others have the last ones under way.
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            return Ok(0);
        };
        self.connection.exchange(&request).await?;
        Ok(self.weight)
    }
}

/// The figures of clients in a closed loop, as [`crate::board::Board::work`] takes them.
pub(super) async fn measure<C: Client + 'static>(
    process: &crate::process::Process,
    length: std::time::Duration,
    clients: Vec<C>,
) -> Result<[f64; 4]> {
    let (clients, warm) = drive(clients, Pace::Closed, std::time::Duration::from_millis(500)).await;
    warm.flawless()?;
    let cpu = process.cpu_seconds();
    let (_, outcome) = drive(clients, Pace::Closed, length).await;
    let cpu = process.cpu_seconds() - cpu;
    let outcome = outcome.flawless()?;
    Ok([
        outcome.per_second(),
        cpu * 1e6 / outcome.messages as f64,
        outcome.latencies.quantile_us(0.50),
        outcome.latencies.quantile_us(0.99),
    ])
}
