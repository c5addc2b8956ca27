//! What gRPC puts on the wire.

use tsugite_grpc::proto::Fields;
use tsugite_grpc::{Scanner, health, metadata, timeout};

const LIMIT: u32 = 4096;

#[test]
fn framing_does_not_depend_on_chunks() {
    bolero::check!()
        .with_type::<(Vec<u8>, Vec<u8>)>()
        .for_each(|(body, cuts)| {
            let mut whole = Scanner::new(LIMIT);
            let outcome = whole.feed(body);
            let (mut parts, mut rest, mut cut) = (Scanner::new(LIMIT), body.as_slice(), cuts.iter().cycle());
            let mut by_parts = Ok(());
            while !rest.is_empty() && by_parts.is_ok() {
                let at = cut
                    .next()
                    .map_or(rest.len(), |cut| usize::from(*cut) + 1)
                    .min(rest.len());
                by_parts = parts.feed(&rest[..at]);
                rest = &rest[at..];
            }
            assert_eq!(outcome.is_ok(), by_parts.is_ok());
            if outcome.is_ok() {
                assert_eq!(
                    (whole.messages(), whole.at_boundary()),
                    (parts.messages(), parts.at_boundary())
                );
            }
        });
}

#[test]
fn messages_and_headers_are_read_or_refused() {
    bolero::check!().with_type::<Vec<u8>>().for_each(|bytes| {
        let mut fields = Fields::new(bytes);
        let mut count = 0;
        while let Ok(Some(_)) = fields.next_field() {
            count += 1;
        }
        assert!(count <= bytes.len(), "every field takes a byte at least");
        let _ = (
            health::decode_request(bytes),
            health::decode_response(bytes),
            health::from_body(bytes),
        );
        let _ = (metadata::decode_message(bytes), metadata::decode_bin(bytes));
        if let Some(duration) = timeout::parse(bytes) {
            let written = timeout::format(duration);
            assert!(written.len() <= 9, "{written}: eight digits and a unit");
            assert!(timeout::parse(written.as_bytes()).is_some(), "{written}");
        }
    });
}

#[test]
fn what_is_encoded_is_read() {
    bolero::check!()
        .with_type::<(String, Vec<u8>)>()
        .for_each(|(text, bytes)| {
            let written = metadata::encode_message(text);
            assert!(
                written.bytes().all(|byte| (0x20..0x7f).contains(&byte)),
                "{written:?} fits into a header"
            );
            assert_eq!(metadata::decode_message(written.as_bytes()), *text);
            let field = metadata::encode_bin(bytes);
            assert_eq!(metadata::decode_bin(field.as_bytes()), Some(vec![bytes.clone()]));
            let request = health::encode_request(text);
            assert_eq!(health::decode_request(&request).expect("our own request"), text);
        });
}
