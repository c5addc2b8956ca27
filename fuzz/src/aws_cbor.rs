//! Bodies of Smithy's RPC v2, in CBOR.

use tsugite_aws::cbor::{self, CborWriter};
use tsugite_aws::{Json, Writer};

use crate::{Edits, damage};

/// A map with every kind of value: `Name` and `Filters` of definite lengths, the rest of indefinite ones.
const EXAMPLE: &[u8] = b"\xbf\x64Name\x63abc\x67Filters\x81\xa2\x64Name\x64TYPE\x66Values\x82\x64HTTP\x7f\x61a\x61b\xff\
\x63Max\x19\x03\xe8\x63Low\x38\x63\x62On\xf5\x62No\xf6\x62At\xc1\xfb\x41\xd4\x52\xd9\xec\x20\x00\x00\x64Half\xf9\x3c\x00\
\x64Open\x9f\x00\x20\xff\x63Map\xbf\x61k\x61v\xff\xff";

#[test]
fn bodies_are_read_or_refused() {
    assert!(cbor::parse(EXAMPLE).is_ok());
    bolero::check!()
        .with_type::<(bool, Vec<u8>, Edits)>()
        .for_each(|(raw, bytes, edits)| {
            let body = if *raw {
                bytes.clone()
            } else {
                damage(EXAMPLE, edits)
            };
            let Ok(fields) = cbor::parse(&body) else { return };
            for (name, value) in fields.iter() {
                // Typed access answers or refuses; it never panics.
                let _ = (fields.text(name), fields.int(name), fields.list(name));
                let _ = (fields.texts(name), fields.objects(name), fields.text_map(name));
                let _ = (value.as_text(name), value.as_object(name));
            }
        });
}

#[test]
fn what_is_written_is_read() {
    bolero::check!()
        .with_type::<(String, String, i64, u32)>()
        .for_each(|(name, text, int, millis)| {
            let mut out = Vec::new();
            let mut writer = Writer::Cbor(CborWriter::new(&mut out));
            writer.begin();
            writer.text("text", text);
            writer.int("int", *int);
            writer.time("time", u64::from(*millis));
            writer.member("list");
            writer.begin_list();
            writer.begin();
            writer.text(name, text);
            writer.end();
            writer.end_list();
            writer.end();
            let fields = cbor::parse(&out).expect("what we write is CBOR");
            assert_eq!(fields.text("text").expect("a text"), Some(text.as_str()));
            assert_eq!(fields.int("int").expect("a number"), Some(*int));
            assert_eq!(
                fields.get("time"),
                Some(&Json::Float(f64::from(*millis) / 1000.0))
            );
            let entry = fields.objects("list").expect("a list")[0];
            assert_eq!(entry.text(name).expect("a text"), Some(text.as_str()));
        });
}
