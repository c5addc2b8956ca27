//! AWS JSON bodies.

use tsugite_aws::{Fields, JsonWriter};

use crate::{Edits, damage};

const EXAMPLE: &[u8] =
    br#"{"QueueUrl":"http://x/0/q","Entries":[{"Id":"a","MessageBody":"\u00e9\ud83d\ude00\n",
"MessageAttributes":{"n":{"DataType":"Number","StringValue":"1e3"}}}],"Max":10,"On":true,"No":null}"#;

#[test]
fn bodies_are_read_or_refused() {
    bolero::check!()
        .with_type::<(bool, Vec<u8>, Edits)>()
        .for_each(|(raw, bytes, edits)| {
            let body = if *raw {
                bytes.clone()
            } else {
                damage(EXAMPLE, edits)
            };
            let Ok(fields) = Fields::parse(&body) else { return };
            for (name, value) in fields.iter() {
                // Typed access answers or refuses; it never panics.
                let _ = (
                    fields.text(name),
                    fields.int(name),
                    fields.bool(name),
                    fields.list(name),
                );
                let _ = (fields.texts(name), fields.objects(name), fields.text_map(name));
                let _ = (value.as_text(name), value.as_object(name));
            }
        });
}

#[test]
fn what_is_written_is_read() {
    bolero::check!()
        .with_type::<(String, String, i64, bool)>()
        .for_each(|(text, item, int, on)| {
            let mut out = Vec::new();
            let mut writer = JsonWriter::new(&mut out);
            writer.begin();
            writer.text("text", text);
            writer.int("int", *int);
            writer.bool("on", *on);
            writer.member("list");
            writer.begin_list();
            writer.item(item);
            writer.item("");
            writer.end_list();
            writer.end();
            let fields = Fields::parse(&out).expect("what we write is JSON");
            assert_eq!(fields.text("text").expect("a text"), Some(text.as_str()));
            assert_eq!(fields.int("int").expect("a number"), Some(*int));
            assert_eq!(fields.bool("on").expect("a boolean"), Some(*on));
            assert_eq!(fields.texts("list").expect("a list"), [item.as_str(), ""]);
        });
}
