//! PublishBatch.

use std::collections::BTreeSet;

use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, Form, xml};
use tsugite_base::limits;
use tsugite_broker::{PublishBatchError, PublishError, PublishTooLong, Published};
use tsugite_engine::Messaging;

use super::errors::{IntoAws as _, null};
use super::{Call, message, publish};

const ID_CHARS: usize = 80;

pub(super) async fn publish<M: Messaging>(call: Call<'_, M>) -> Result<String, AwsError> {
    let topic = call.topic("TopicArn")?;
    let forms = call.form.elements("PublishBatchRequestEntries.member")?;
    let ids = ids(&forms)?;
    let mut entries = Vec::with_capacity(forms.len());
    for (n, form) in forms.iter().enumerate() {
        let path = format!("publishBatchRequestEntries.{}.member.", n + 1);
        entries.push(message::entry(call.world.uuid(), form, &path)?);
    }
    let results = publish::of_topic(&call, topic, entries).await?;
    if let [Err(PublishError::TooLong(e))] = results.as_slice() {
        // As a batch of several: the batch is too long, not its one message.
        let (bytes, limit) = (e.bytes, e.limit);
        return Err(PublishBatchError::TooLong(PublishTooLong { bytes, limit }).into_aws());
    }
    let results = results.into_iter().map(|r| r.map_err(|e| e.into_aws()));
    Ok(answer(&ids, &results.collect::<Vec<_>>()))
}

/// The ids of the entries, once the batch as a whole is well-formed.
fn ids<'f>(forms: &'f [Form<'_>]) -> Result<Vec<&'f str>, AwsError> {
    if forms.is_empty() {
        return Err(AwsError::bad_request(
            "EmptyBatchRequest",
            "The batch request doesn't contain any entries.",
        ));
    }
    if forms.len() > limits::BATCH_ENTRIES {
        return Err(AwsError::bad_request(
            "TooManyEntriesInBatchRequest",
            "The batch request contains more entries than permissible.",
        ));
    }
    let (mut seen, mut ids) = (BTreeSet::new(), Vec::with_capacity(forms.len()));
    for (n, form) in forms.iter().enumerate() {
        let path = || format!("publishBatchRequestEntries.{}.member.id", n + 1);
        let id = form.get("Id").ok_or_else(|| null(&path()))?;
        if !seen.insert(id) {
            return Err(AwsError::bad_request(
                "BatchEntryIdsNotDistinct",
                "Two or more batch entries in the request have the same Id.",
            ));
        }
        ids.push(id);
    }
    ids.iter().try_for_each(|id| check_id(id))?;
    Ok(ids)
}

fn check_id(id: &str) -> Result<(), AwsError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let why = if id.chars().count() > ID_CHARS {
        "is too long"
    } else if id.is_empty() || !id.bytes().all(allowed) {
        "contains an impermissible character"
    } else {
        return Ok(());
    };
    let message = format!(
        "The Id of a batch entry in the batch request {why}: {}",
        shorten(id)
    );
    Err(AwsError::bad_request("InvalidBatchEntryId", message))
}

/// Both lists, also where one is empty, as AWS has it.
fn answer(ids: &[&str], results: &[Result<Published, AwsError>]) -> String {
    let (mut good, mut bad) = (String::new(), String::new());
    for (id, result) in ids.iter().zip(results) {
        let out = if result.is_ok() { &mut good } else { &mut bad };
        xml::open(out, "member");
        xml::element(out, "Id", id);
        match result {
            Ok(published) => publish::write(out, *published),
            Err(error) => {
                xml::element(out, "Code", &error.query_code);
                xml::element(out, "Message", &error.message);
                let fault = if error.sender_fault { "true" } else { "false" };
                xml::element(out, "SenderFault", fault);
            }
        }
        xml::close(out, "member");
    }
    format!("<Successful>{good}</Successful><Failed>{bad}</Failed>")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(form: &str, expected: &str) {
        let form = Form::parse(form.as_bytes()).unwrap();
        let forms = form.elements("E").unwrap();
        let found = match ids(&forms) {
            Ok(ids) => ids.join(","),
            Err(error) => error.query_code.into_owned(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn shapes() {
        check("E.2.Id=b&E.1.Id=a-_9", "a-_9,b");
        check("", "EmptyBatchRequest");
        let many: Vec<String> = (0..11).map(|n| format!("E.{n}.Id={n}")).collect();
        check(&many.join("&"), "TooManyEntriesInBatchRequest");
        check("E.1.Id=a&E.2.Id=a", "BatchEntryIdsNotDistinct");
        check("E.1.Id=a.b", "InvalidBatchEntryId");
        check("E.1.Id=", "InvalidBatchEntryId");
        check(&format!("E.1.Id={}", "x".repeat(81)), "InvalidBatchEntryId");
        check("E.1.Message=x", "ValidationError");
    }

    #[test]
    fn answers() {
        assert_eq!(
            answer(&["a"], &[Err(super::super::errors::invalid("Subject", ""))]),
            "<Successful></Successful><Failed><member><Id>a</Id><Code>InvalidParameter</Code>\
             <Message>Invalid parameter: Subject</Message><SenderFault>true</SenderFault></member></Failed>"
        );
    }
}
