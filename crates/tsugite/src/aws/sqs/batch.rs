//! What the three batch operations share: the shape of a batch, and one result per entry.

use std::collections::BTreeSet;

use tsugite_aws::error::shorten;
use tsugite_aws::{AwsError, Fields, JsonWriter};
use tsugite_base::limits;

use super::errors::prefixed;

const ID_CHARS: usize = 80;

/// The entries of a batch, each with its id, once the batch as a whole is well-formed.
pub(super) fn entries<'f, 'a>(fields: &'f Fields<'a>) -> Result<Vec<(&'f str, &'f Fields<'a>)>, AwsError> {
    let entries = fields.objects("Entries")?;
    if entries.is_empty() {
        return Err(prefixed(
            "EmptyBatchRequest",
            400,
            "There should be at least one entry in the batch request (Entries).",
        ));
    }
    if entries.len() > limits::BATCH_ENTRIES {
        return Err(prefixed(
            "TooManyEntriesInBatchRequest",
            400,
            format!(
                "Maximum number of entries per request are {}. You have sent {}.",
                limits::BATCH_ENTRIES,
                entries.len()
            ),
        ));
    }
    let mut ids = BTreeSet::new();
    let mut named = Vec::with_capacity(entries.len());
    for entry in entries {
        let id = entry.text("Id")?.ok_or_else(|| AwsError::missing("Id"))?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if id.is_empty() || id.len() > ID_CHARS || !id.bytes().all(allowed) {
            return Err(prefixed(
                "InvalidBatchEntryId",
                400,
                format!(
                    "A batch entry id can only contain alphanumeric characters, hyphens and underscores. \
                     It can be at most {ID_CHARS} letters long. The id given is \"{}\".",
                    shorten(id)
                ),
            ));
        }
        if !ids.insert(id) {
            return Err(prefixed(
                "BatchEntryIdsNotDistinct",
                400,
                format!("Id {id} repeated."),
            ));
        }
        named.push((id, entry));
    }
    Ok(named)
}

/// Writes `{"Successful":[…],"Failed":[…]}`, leaving out a list that is empty as AWS does. `write` adds the members
/// of a success beside its `Id`.
pub(super) fn answer<T>(
    results: &[(&str, Result<T, AwsError>)],
    mut write: impl FnMut(&mut JsonWriter<'_>, &T),
) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + 200 * results.len());
    let mut json = JsonWriter::new(&mut out);
    json.begin();
    if results.iter().any(|(_, result)| result.is_ok()) {
        json.member("Successful");
        json.begin_list();
        for (id, result) in results {
            if let Ok(success) = result {
                json.begin();
                json.text("Id", id);
                write(&mut json, success);
                json.end();
            }
        }
        json.end_list();
    }
    if results.iter().any(|(_, result)| result.is_err()) {
        json.member("Failed");
        json.begin_list();
        for (id, result) in results {
            if let Err(error) = result {
                json.begin();
                json.text("Id", id);
                json.bool("SenderFault", error.sender_fault);
                json.text("Code", &error.query_code);
                json.text("Message", &error.message);
                json.end();
            }
        }
        json.end_list();
    }
    json.end();
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: &str) {
        let fields = Fields::parse(body.as_bytes()).unwrap();
        let outcome = match entries(&fields) {
            Ok(entries) => entries.iter().map(|(id, _)| *id).collect::<Vec<_>>().join(","),
            Err(error) => error.shape.into_owned(),
        };
        assert_eq!(outcome, expected, "{body}");
    }

    #[test]
    fn shapes() {
        let many = |n: usize| {
            let entries: Vec<String> = (0..n).map(|i| format!("{{\"Id\":\"{i}\"}}")).collect();
            format!("{{\"Entries\":[{}]}}", entries.join(","))
        };
        check(&many(2), "0,1");
        check("{}", "EmptyBatchRequest");
        check(&many(11), "TooManyEntriesInBatchRequest");
        check(
            r#"{"Entries":[{"Id":"a"},{"Id":"a"}]}"#,
            "BatchEntryIdsNotDistinct",
        );
        check(r#"{"Entries":[{"Id":"a b"}]}"#, "InvalidBatchEntryId");
        check(r#"{"Entries":[{"Id":""}]}"#, "InvalidBatchEntryId");
        check(
            &format!(r#"{{"Entries":[{{"Id":"{}"}}]}}"#, "x".repeat(81)),
            "InvalidBatchEntryId",
        );
        check(r#"{"Entries":[{}]}"#, "MissingRequiredParameterException");
        check(r#"{"Entries":"x"}"#, "SerializationException");
        check(r#"{"Entries":[1]}"#, "SerializationException");
    }

    #[test]
    fn answers() {
        let results = [("a", Ok(7)), ("b", Err(AwsError::missing("MessageBody")))];
        let body = answer(&results, |json, n| json.int("N", *n));
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"Successful":[{"Id":"a","N":7}],"Failed":[{"Id":"b","SenderFault":true,"Code":"MissingParameter","Message":"The request must contain the parameter MessageBody."}]}"#
        );
    }
}
