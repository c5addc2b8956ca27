//! The attributes of topics and subscriptions, read and set one by one.

use tsugite_aws::{AwsError, xml};
use tsugite_broker::{SetSubscriptionAttribute, SetTopicAttribute};
use tsugite_engine::Messaging;

use super::Call;
use super::errors::{IntoAws as _, invalid};
use crate::aws::check_topic_policy;

pub(super) async fn get_topic<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let attributes = call.store.topic_attributes(call.topic("TopicArn")?).await;
    Ok(answer(attributes.map_err(|error| error.into_aws())?))
}

pub(super) async fn set_topic<M: Messaging>(call: Call<'_, M>) -> Result<(), AwsError> {
    let command = SetTopicAttribute {
        topic: call.topic("TopicArn")?,
        name: call.given("AttributeName")?.to_owned(),
        value: call.form.get("AttributeValue").map(str::to_owned),
    };
    if let ("Policy", Some(text)) = (command.name.as_str(), &command.value) {
        check_topic_policy(text).map_err(|why| invalid("Policy", &why))?;
    }
    let set = call.store.set_topic_attribute(command).await;
    set.map_err(|error| error.into_aws())
}

pub(super) async fn get_subscription<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let attributes = call.store.subscription_attributes(call.subscription()?).await;
    Ok(answer(attributes.map_err(|error| error.into_aws())?))
}

pub(super) async fn set_subscription<M: Messaging>(call: Call<'_, M>) -> Result<(), AwsError> {
    let command = SetSubscriptionAttribute {
        subscription: call.subscription()?,
        name: call.given("AttributeName")?.to_owned(),
        value: call.form.get("AttributeValue").map(str::to_owned),
    };
    let set = call.store.set_subscription_attribute(command).await;
    set.map_err(|error| error.into_aws())
}

fn answer(attributes: Vec<(String, String)>) -> String {
    let mut out = String::new();
    xml::open(&mut out, "Attributes");
    for (name, value) in attributes {
        xml::open(&mut out, "entry");
        xml::element(&mut out, "key", &name);
        xml::element(&mut out, "value", &value);
        xml::close(&mut out, "entry");
    }
    xml::close(&mut out, "Attributes");
    out
}
