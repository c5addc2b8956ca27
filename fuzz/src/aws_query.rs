//! Forms of the AWS Query protocol, and their way to JSON and back to XML.

use tsugite_aws::shapes::{self, sqs};
use tsugite_aws::{Form, query};

use crate::{Edits, damage};

const EXAMPLE: &[u8] = b"Action=Publish&Version=2010-03-31&Message=a%20b+c%C3%A9&MessageAttributes.entry.1.Name=n\
&MessageAttributes.entry.1.Value.DataType=String&Attributes.entry.2.key=k&Attributes.entry.2.value=v&Names.member.3=x";

#[test]
fn forms_are_read_or_refused() {
    bolero::check!()
        .with_type::<(bool, Vec<u8>, Edits)>()
        .for_each(|(raw, bytes, edits)| {
            let body = if *raw {
                bytes.clone()
            } else {
                damage(EXAMPLE, edits)
            };
            let Ok(form) = Form::parse(&body) else { return };
            for prefix in [
                "MessageAttributes.entry",
                "Attributes.entry",
                "Names.member",
                "Names",
            ] {
                let _ = (
                    form.elements(prefix).map(|elements| elements.len()),
                    form.values(prefix),
                    form.map(prefix),
                );
            }
        });
}

const BATCH: &[u8] = b"Action=SendMessageBatch&QueueUrl=q&SendMessageBatchRequestEntry.1.Id=a\
&SendMessageBatchRequestEntry.1.MessageBody=x&SendMessageBatchRequestEntry.1.DelaySeconds=5\
&SendMessageBatchRequestEntry.1.MessageAttribute.1.Name=n&SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.DataType=String\
&SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringValue=v&AttributeName.1=All&Attribute.1.Name=k&Attribute.1.Value=v\
&Tag.1.Key=k&Tag.1.Value=v&MaxNumberOfMessages=3&VisibilityTimeout=1&QueueName=q";

#[test]
fn forms_become_json_or_are_refused() {
    bolero::check!()
        .with_type::<(u8, bool, Vec<u8>, Edits)>()
        .for_each(|(operation, whole, bytes, edits)| {
            let operation = &sqs::OPERATIONS[usize::from(*operation) % sqs::OPERATIONS.len()];
            let body = if *whole {
                damage(BATCH, edits)
            } else {
                bytes.clone()
            };
            let Ok(form) = Form::parse(&body) else { return };
            if let Ok(fields) = shapes::fields(operation, &form) {
                for (name, _) in fields.iter() {
                    assert!(operation.takes(name), "{} does not take {name}", operation.name);
                }
            }
        });
}

const ANSWER: &[u8] = br#"{"Messages":[{"MessageId":"i","Body":"a<b>\u0001","Attributes":{"SenderId":"s"},
"MessageAttributes":{"n":{"StringValue":"1","DataType":"Number"}}}],"QueueUrl":"u","NextToken":"t"}"#;

#[test]
fn answers_become_xml_without_loose_markup() {
    bolero::check!()
        .with_type::<(u8, Edits)>()
        .for_each(|(operation, edits)| {
            let operation = &sqs::OPERATIONS[usize::from(*operation) % sqs::OPERATIONS.len()];
            let answer = damage(ANSWER, edits);
            let Ok(Some(xml)) = shapes::result(operation, &answer) else {
                return;
            };
            assert_eq!(xml.matches("</").count() * 2, xml.matches('<').count(), "{xml}");
        });
}

#[test]
fn what_is_encoded_is_read() {
    bolero::check!().with_type::<String>().for_each(|text| {
        let mut body = "Message=".to_owned();
        query::encode_into(&mut body, text);
        let form = Form::parse(body.as_bytes()).expect("what we encode is a form");
        assert_eq!(form.get("Message"), Some(text.as_str()));
    });
}
