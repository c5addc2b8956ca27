//! Durable registrations, and renewals of leases.

use std::cell::Cell;
use std::rc::Rc;

use super::CONNECTIONS;
use super::stage::{Calls, admin, all, measure, namespace, registration, services};
use crate::board::{Board, Goal};
use crate::load::http1::Http1;
use crate::servers::Tsugite;
use crate::{Options, Result};

const REGISTER: &str = "RegisterInstance";
const RENEW: &str = "renewal, one for each request";
const BATCH: &str = "renewals, 100 for each request";
/// Services over which the instances are spread.
const SERVICES: usize = 100;
/// Instances whose leases are renewed.
const LEASES: usize = 10_000;

/// New instances through Cloud Map; each answer comes after its sync.
pub(super) async fn registrations(options: &Options, board: &mut Board) -> Result<()> {
    let tsugite = Tsugite::start()?;
    let address = tsugite.server.address;
    let space = namespace(&tsugite, "bench.internal").await?;
    let ids = Rc::new(services(&tsugite, &space, "orders", SERVICES).await?);
    let drawn = Rc::new(Cell::new(0));
    // A sync is shared by all calls that wait for it: more of them wait for less of it each.
    let clients = (0..CONNECTIONS * 4).map(|_| {
        let (ids, drawn) = (ids.clone(), drawn.clone());
        Calls::new(address, move || {
            let number = drawn.replace(drawn.get() + 1);
            Some(registration(address, &ids[number % ids.len()], number))
        })
    });
    let measured = measure(&tsugite.server.process, options.seconds, clients.collect()).await?;
    board.work(REGISTER, "tsugite", measured);
    Ok(())
}

/// Renewals of leases by `PUT` without a body. They are not written.
pub(super) async fn heartbeats(options: &Options, board: &mut Board) -> Result<()> {
    let tsugite = Tsugite::start()?;
    let address = tsugite.role("admin")?;
    let path = |number: usize| {
        let (service, id) = (number % SERVICES, number);
        format!("/v1/instances/internal/orders-{service}/i-{id}")
    };
    let register = (0..LEASES).map(|number| {
        let body = format!(
            r#"{{"address": "127.0.0.1", "port": {}, "ttl_ms": 600000}}"#,
            1024 + number
        );
        admin(address, "PUT", &path(number), &body)
    });
    all(address, register.collect()).await?;
    let drawn = Rc::new(Cell::new(0));
    let clients = (0..CONNECTIONS).map(|_| {
        let drawn = drawn.clone();
        Calls::new(address, move || {
            let number = drawn.replace(drawn.get() + 1) % LEASES;
            Some(admin(address, "PUT", &path(number), ""))
        })
    });
    let measured = measure(&tsugite.server.process, options.seconds, clients.collect()).await?;
    board.work(RENEW, "tsugite", measured);
    // The batched form: all instances of a service in one request.
    let batch = |service: usize| {
        let ids: Vec<String> = (service..LEASES)
            .step_by(SERVICES)
            .map(|id| format!("i-{id}"))
            .collect();
        let name = format!("orders-{service}");
        let body = serde_json::json!({ "services": [{ "service": name, "ids": ids }] });
        admin(address, "POST", "/v1/heartbeats", &body.to_string())
    };
    if Http1::new(address).exchange(&batch(0)).await.is_err() {
        board.skipped("batched heartbeats", "this binary takes none");
        return Ok(());
    }
    let batches: Rc<Vec<Vec<u8>>> = Rc::new((0..SERVICES).map(batch).collect());
    let clients = (0..CONNECTIONS).map(|_| {
        let (drawn, batches) = (drawn.clone(), batches.clone());
        Calls::weighing((LEASES / SERVICES) as u64, address, move || {
            let number = drawn.replace(drawn.get() + 1) % SERVICES;
            Some(batches[number].clone())
        })
    });
    let measured = measure(&tsugite.server.process, options.seconds, clients.collect()).await?;
    board.work(BATCH, "tsugite", measured);
    Ok(())
}

pub(super) fn goals(board: &Board) -> Vec<Goal> {
    vec![
        Goal::at_least(
            REGISTER,
            "registrations/s, durable",
            board.rate(REGISTER, "tsugite"),
            20_000.0,
            0,
        ),
        Goal::at_least(RENEW, "renewals/s", board.rate(RENEW, "tsugite"), f64::NAN, 0),
        Goal::at_least(BATCH, "renewals/s", board.rate(BATCH, "tsugite"), 200_000.0, 0),
    ]
}
