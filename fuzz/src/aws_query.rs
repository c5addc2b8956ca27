//! Forms of the AWS Query protocol.

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

#[test]
fn what_is_encoded_is_read() {
    bolero::check!().with_type::<String>().for_each(|text| {
        let mut body = "Message=".to_owned();
        query::encode_into(&mut body, text);
        let form = Form::parse(body.as_bytes()).expect("what we encode is a form");
        assert_eq!(form.get("Message"), Some(text.as_str()));
    });
}
