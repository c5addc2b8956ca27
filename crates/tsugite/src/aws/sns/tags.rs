//! TagResource, UntagResource, ListTagsForResource.

use tsugite_aws::{AwsError, Form, xml};
use tsugite_broker::TopicNotFound;
use tsugite_engine::{Failure, Messaging};

use super::Call;
use super::errors::{IntoAws as _, missing, resource_not_found};

/// The tags that a request brings.
pub(super) fn given(form: &Form<'_>) -> Result<Vec<(String, String)>, AwsError> {
    let tag = |entry: &Form<'_>| {
        let part = |name: &str| entry.get(name).unwrap_or_default().to_owned();
        (part("Key"), part("Value"))
    };
    Ok(form.elements("Tags.member")?.iter().map(tag).collect())
}

pub(super) async fn tag<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let topic = call.topic("ResourceArn")?;
    let tags = given(call.form)?;
    if tags.is_empty() {
        return Err(missing("Tags"));
    }
    let tagged = call.store.tag_topic(topic, tags).await;
    tagged.map(|()| String::new()).map_err(|error| error.into_aws())
}

pub(super) async fn untag<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let topic = call.topic("ResourceArn")?;
    let keys = call.form.values("TagKeys.member")?;
    if keys.is_empty() {
        return Err(missing("TagKeys"));
    }
    let untagged = call.store.untag_topic(topic, keys).await;
    untagged.map(|()| String::new()).map_err(not_found)
}

pub(super) async fn list<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let tags = call.store.topic_tags(call.topic("ResourceArn")?).await;
    let tags = tags.map_err(not_found)?;
    let mut out = String::new();
    xml::open(&mut out, "Tags");
    for (key, value) in &tags {
        xml::open(&mut out, "member");
        xml::element(&mut out, "Key", key);
        xml::element(&mut out, "Value", value);
        xml::close(&mut out, "member");
    }
    xml::close(&mut out, "Tags");
    Ok(out)
}

fn not_found(failure: Failure<TopicNotFound>) -> AwsError {
    match failure {
        Failure::Refused(error) => resource_not_found(error),
        Failure::Unavailable(why) => why.into_aws(),
    }
}
