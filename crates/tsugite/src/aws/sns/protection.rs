//! GetDataProtectionPolicy and PutDataProtectionPolicy: a policy that is kept and does nothing.

use tsugite_aws::{AwsError, xml};
use tsugite_engine::Messaging;

use super::Call;
use super::errors::IntoAws as _;

pub(super) async fn get<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let policy = call.store.data_protection(call.topic("ResourceArn")?).await;
    let policy = policy.map_err(|error| error.into_aws())?;
    let mut out = String::new();
    if let Some(text) = policy {
        xml::element(&mut out, "DataProtectionPolicy", &text);
    }
    Ok(out)
}

pub(super) async fn put<M: Messaging>(call: Call<'_, M>) -> Result<(), AwsError> {
    let topic = call.topic("ResourceArn")?;
    let text = call.given("DataProtectionPolicy")?.to_owned();
    let put = call.store.put_data_protection(topic, text).await;
    put.map_err(|error| error.into_aws())
}
