//! What only tests of users want: an empty Tsugite. Only with `--dev`.

use http::StatusCode;
use serde_json::json;

use super::answer::{Answer, Problem, document};
use super::{Admin, Store};

/// Empties queues, topics and services; what the configuration declares is created anew.
pub(super) async fn reset<S: Store>(admin: &Admin<S>) -> Result<Answer, Problem> {
    check(admin)?;
    admin.store.reset_messaging().await?;
    admin.store.reset_registry().await?;
    let config = admin.config.borrow().clone();
    let declared = crate::run::declare(&admin.store, &admin.world, &config).await;
    declared.map_err(|error| Problem::conflict(error.to_string()))?;
    tracing::info!("queues, topics and services were reset through the admin API");
    let links = vec![
        ("index", "/v1".into()),
        ("queues", "/v1/queues".into()),
        ("services", "/v1/services".into()),
    ];
    Ok(document(StatusCode::OK, json!({ "outcome": "reset" }), links))
}

fn check<S: Store>(admin: &Admin<S>) -> Result<(), Problem> {
    let loopback = admin
        .addresses
        .admin
        .is_some_and(|address| address.ip().is_loopback());
    if loopback && admin.config.borrow().dev {
        Ok(())
    } else {
        Err(Problem::dev_only())
    }
}
