//! TagResource, UntagResource, ListTagsForResource; Get-, Update- and DeleteServiceAttributes.

use tsugite_aws::AwsError;
use tsugite_aws::error::shorten;
use tsugite_engine::RegistryStore;
use tsugite_registry::{Attributes, ChangeServiceAttributes, ChangeTags, Resource, Tags};

use super::Call;
use super::errors::invalid;
use super::input::{attributes, missing, required, service_id, tags};
use super::output;

/// Keys of attributes that one request removes at most.
const KEYS: usize = 30;

/// The resource that an ARN names. What looks like one and cannot be an id is a resource that does not exist.
fn resource(arn: &str) -> Result<Resource, AwsError> {
    let refuse = || {
        invalid(format!(
            "{} is not the ARN of a namespace or a service.",
            shorten(arn)
        ))
    };
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", _, "servicediscovery", _, _, name] = parts[..] else {
        return Err(refuse());
    };
    let absent = || {
        AwsError::bad_request(
            "ResourceNotFoundException",
            format!("There is no resource {}.", shorten(arn)),
        )
    };
    match name.split_once('/') {
        Some(("namespace", id)) => id.parse().map(Resource::Namespace).map_err(|_| absent()),
        Some(("service", id)) => id.parse().map(Resource::Service).map_err(|_| absent()),
        _ => Err(refuse()),
    }
}

pub(super) async fn tag<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let resource = resource(required(&call.fields, "ResourceARN")?)?;
    if call.fields.get("Tags").is_none() {
        return Err(missing("Tags"));
    }
    let command = ChangeTags {
        resource,
        set: tags(&call.fields)?,
        remove: Vec::new(),
    };
    let changed = call.store.change_tags(command).await;
    changed.map(|()| call.answer(|_| {})).map_err(|e| call.refusal(e))
}

pub(super) async fn untag<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let resource = resource(required(&call.fields, "ResourceARN")?)?;
    if call.fields.get("TagKeys").is_none() {
        return Err(missing("TagKeys"));
    }
    let keys = call.fields.texts("TagKeys")?;
    let command = ChangeTags {
        resource,
        set: Tags::new(),
        remove: keys.into_iter().map(str::to_owned).collect(),
    };
    let changed = call.store.change_tags(command).await;
    changed.map(|()| call.answer(|_| {})).map_err(|e| call.refusal(e))
}

pub(super) async fn list<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let resource = resource(required(&call.fields, "ResourceARN")?)?;
    let tags = call.store.tags(resource).await.map_err(|e| call.refusal(e))?;
    let tags: Vec<_> = tags.into_iter().collect();
    Ok(call.answer(|out| {
        call.list(out, "Tags", &tags, None, |out, (key, value)| {
            out.text("Key", key);
            out.text("Value", value);
        });
    }))
}

pub(super) async fn attributes_of<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let id = service_id(required(&call.fields, "ServiceId")?)?;
    let found = call.store.service_attributes(id).await;
    let found = found.map_err(|e| call.refusal(e))?;
    Ok(call.answer(|out| {
        out.member("ServiceAttributes");
        out.begin();
        out.text("ServiceArn", &call.arn(format!("service/{id}")));
        out.text("ResourceOwner", &call.context.scope.account);
        let found = found.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        output::attributes(out, found);
        out.end();
    }))
}

pub(super) async fn update_attributes<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let id = service_id(required(&call.fields, "ServiceId")?)?;
    let set = attributes(&call.fields, "Attributes")?;
    if set.is_empty() {
        return Err(missing("Attributes"));
    }
    let command = ChangeServiceAttributes {
        id,
        set,
        remove: Vec::new(),
    };
    let changed = call.store.change_service_attributes(command).await;
    changed.map(|()| call.answer(|_| {})).map_err(|e| call.refusal(e))
}

pub(super) async fn delete_attributes<S: RegistryStore>(call: Call<'_, S>) -> Result<Vec<u8>, AwsError> {
    let id = service_id(required(&call.fields, "ServiceId")?)?;
    let keys = call.fields.texts("Attributes")?;
    if keys.is_empty() {
        return Err(missing("Attributes"));
    }
    if keys.len() > KEYS {
        return Err(invalid(format!(
            "Attributes holds {} keys, and may hold {KEYS}.",
            keys.len()
        )));
    }
    let command = ChangeServiceAttributes {
        id,
        set: Attributes::new(),
        remove: keys.into_iter().map(str::to_owned).collect(),
    };
    let changed = call.store.change_service_attributes(command).await;
    changed.map(|()| call.answer(|_| {})).map_err(|e| call.refusal(e))
}
