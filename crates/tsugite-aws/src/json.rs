//! awsJson bodies: a borrowed, bounded tree with typed field access, and a writer without intermediate values.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

use crate::error::{AwsError, shorten};

/// Most values in one body. The largest honest request, a full batch with ten attributes an entry, has about 400;
/// the bound keeps `[0,0,0,…]` from costing thirty times its size.
const MAX_VALUES: u32 = 10_000;

/// A JSON value that borrows its strings from the body wherever they hold no escape.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`; members that are null count as absent.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number without fraction or exponent that fits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<Json<'a>>),
    /// An object, in the order of the body.
    Object(Fields<'a>),
}

/// The members of an object. A name that comes twice means its last value, as in most parsers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

impl<'a> Fields<'a> {
    /// Parses a request body, which must be one object; an empty body means `{}`.
    pub fn parse(body: &'a [u8]) -> Result<Fields<'a>, AwsError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Fields::default());
        }
        let text = std::str::from_utf8(body).map_err(|error| {
            AwsError::serialization(format!(
                "The request body is not UTF-8: byte {} is out of place.",
                error.valid_up_to()
            ))
        })?;
        let mut parser = serde_json::Deserializer::from_str(text);
        let budget = Cell::new(MAX_VALUES);
        let value = ValueSeed(&budget)
            .deserialize(&mut parser)
            .and_then(|value| parser.end().map(|()| value))
            .map_err(|error| {
                AwsError::serialization(format!("The request body is not valid JSON: {error}."))
            })?;
        match value {
            Json::Object(fields) => Ok(fields),
            other => Err(AwsError::serialization(format!(
                "The request body must be a JSON object, not {}.",
                other.kind()
            ))),
        }
    }

    /// An object of these members.
    pub fn from_members(members: Vec<(Cow<'a, str>, Json<'a>)>) -> Fields<'a> {
        Fields(members)
    }

    /// Adds a member; if the name is there already, this value wins.
    pub fn push(&mut self, name: &'a str, value: Json<'a>) {
        self.0.push((Cow::Borrowed(name), value));
    }

    /// The value of `name`, unless absent or null.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        let (_, value) = self.0.iter().rev().find(|(key, _)| key == name)?;
        (*value != Json::Null).then_some(value)
    }

    /// All members in the order of the body.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Json<'a>)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), value))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An optional string.
    pub fn text(&self, name: &str) -> Result<Option<&str>, AwsError> {
        self.get(name).map(|value| value.as_text(name)).transpose()
    }

    /// A string that must be present and not empty.
    pub fn required_text(&self, name: &str) -> Result<&str, AwsError> {
        match self.text(name)? {
            Some("") | None => Err(AwsError::missing(name)),
            Some(text) => Ok(text),
        }
    }

    /// An optional integer.
    pub fn int(&self, name: &str) -> Result<Option<i64>, AwsError> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Int(number)) => Ok(Some(*number)),
            Some(other) => Err(wrong_type(name, "an integer", other)),
        }
    }

    /// An integer that must be present.
    pub fn required_int(&self, name: &str) -> Result<i64, AwsError> {
        self.int(name)?.ok_or_else(|| AwsError::missing(name))
    }

    /// An optional boolean.
    pub fn bool(&self, name: &str) -> Result<Option<bool>, AwsError> {
        match self.get(name) {
            None => Ok(None),
            Some(Json::Bool(value)) => Ok(Some(*value)),
            Some(other) => Err(wrong_type(name, "a boolean", other)),
        }
    }

    /// An optional list; absent means empty.
    pub fn list(&self, name: &str) -> Result<&[Json<'a>], AwsError> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Json::List(values)) => Ok(values),
            Some(other) => Err(wrong_type(name, "a list", other)),
        }
    }

    /// An optional list of strings; absent means empty.
    pub fn texts(&self, name: &str) -> Result<Vec<&str>, AwsError> {
        self.list(name)?.iter().map(|value| value.as_text(name)).collect()
    }

    /// A list of structures; absent means empty.
    pub fn objects(&self, name: &str) -> Result<Vec<&Fields<'a>>, AwsError> {
        self.list(name)?
            .iter()
            .map(|value| value.as_object(name))
            .collect()
    }

    /// An optional structure or map.
    pub fn object(&self, name: &str) -> Result<Option<&Fields<'a>>, AwsError> {
        self.get(name).map(|value| value.as_object(name)).transpose()
    }

    /// An optional map of strings to strings, in the order of the body; absent means empty, null values are left out.
    pub fn text_map(&self, name: &str) -> Result<Vec<(&str, &str)>, AwsError> {
        let Some(map) = self.object(name)? else {
            return Ok(Vec::new());
        };
        map.iter()
            .filter(|(_, value)| **value != Json::Null)
            .map(|(key, value)| Ok((key, value.as_text(key)?)))
            .collect()
    }
}

impl<'a> Json<'a> {
    /// This value as a string; `name` is the member to blame if it is none.
    pub fn as_text(&self, name: &str) -> Result<&str, AwsError> {
        match self {
            Json::Text(text) => Ok(text),
            other => Err(wrong_type(name, "a string", other)),
        }
    }

    /// This value as a structure; `name` is the member to blame if it is none.
    pub fn as_object(&self, name: &str) -> Result<&Fields<'a>, AwsError> {
        match self {
            Json::Object(fields) => Ok(fields),
            other => Err(wrong_type(name, "an object", other)),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Json::Null => "null",
            Json::Bool(_) => "a boolean",
            Json::Int(_) => "an integer",
            Json::Float(_) => "a number",
            Json::Text(_) => "a string",
            Json::List(_) => "a list",
            Json::Object(_) => "an object",
        }
    }
}

fn wrong_type(name: &str, wanted: &str, got: &Json<'_>) -> AwsError {
    AwsError::serialization(format!(
        "The member {} must be {wanted}, not {}.",
        shorten(name),
        got.kind()
    ))
}

#[derive(Clone, Copy)]
struct ValueSeed<'b>(&'b Cell<u32>);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Json<'de>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        let left = self.0.get();
        if left == 0 {
            return Err(de::Error::custom(format_args!(
                "it holds more than {MAX_VALUES} values"
            )));
        }
        self.0.set(left - 1);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        // Beyond i64 no parameter is in range; keep it a number so that the range check names it.
        Ok(i64::try_from(value).map_or(Json::Float(value as f64), Json::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Json::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json<'de>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json<'de>, A::Error> {
        let mut fields = Vec::new();
        while let Some(key) = access.next_key_seed(KeySeed)? {
            fields.push((key, access.next_value_seed(self)?));
        }
        Ok(Json::Object(Fields(fields)))
    }
}

struct KeySeed;

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(value.to_owned()))
    }
}

/// Writes JSON straight into a buffer, placing the commas. The caller pairs `begin` with `end`.
pub struct JsonWriter<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> JsonWriter<'o> {
    /// A writer that appends to `out`.
    pub fn new(out: &'o mut Vec<u8>) -> JsonWriter<'o> {
        JsonWriter { out }
    }

    /// Opens an object, as a list element or after [`JsonWriter::member`].
    pub fn begin(&mut self) {
        self.comma();
        self.out.push(b'{');
    }

    /// Closes an object.
    pub fn end(&mut self) {
        self.out.push(b'}');
    }

    /// Opens a list, as a list element or after [`JsonWriter::member`].
    pub fn begin_list(&mut self) {
        self.comma();
        self.out.push(b'[');
    }

    /// Closes a list.
    pub fn end_list(&mut self) {
        self.out.push(b']');
    }

    /// Writes a member name; the value must follow.
    pub fn member(&mut self, name: &str) {
        self.item(name);
        self.out.push(b':');
    }

    /// Writes a string as a list element, or after [`JsonWriter::member`].
    pub fn item(&mut self, text: &str) {
        self.comma();
        self.out.push(b'"');
        escape_into(self.out, text);
        self.out.push(b'"');
    }

    /// Writes a member with a string value.
    pub fn text(&mut self, name: &str, value: &str) {
        self.member(name);
        self.item(value);
    }

    /// Writes a member with an integer value.
    pub fn int(&mut self, name: &str, value: i64) {
        self.member(name);
        self.raw(&value.to_string());
    }

    /// Writes a member with a boolean value.
    pub fn bool(&mut self, name: &str, value: bool) {
        self.member(name);
        self.raw(if value { "true" } else { "false" });
    }

    /// Writes bytes that are JSON already, or that need no escaping inside quotes.
    pub fn raw(&mut self, json: &str) {
        self.out.extend_from_slice(json.as_bytes());
    }

    /// Writes the inside of a string, escaped, without quotes.
    pub fn raw_text(&mut self, text: &str) {
        escape_into(self.out, text);
    }

    fn comma(&mut self) {
        if !matches!(self.out.last(), None | Some(b'{' | b'[' | b':')) {
            self.out.push(b',');
        }
    }
}

/// Bytes that are looked at together: most hold nothing to escape.
const PASSED: usize = 64;

/// Whether a byte stands for itself in a JSON string. Without branches, so that many are looked at in one step.
const fn is_plain(byte: u8) -> bool {
    (byte >= 0x20) & (byte != b'"') & (byte != b'\\')
}

/// Appends `text` escaped for the inside of a JSON string.
pub fn escape_into(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let bytes = text.as_bytes();
    let mut from = 0;
    let doubtful = (0..bytes.len()).step_by(PASSED).filter(|&at| {
        let passed = &bytes[at..bytes.len().min(at + PASSED)];
        !passed.iter().fold(true, |plain, &byte| plain & is_plain(byte))
    });
    for at in doubtful.flat_map(|at| at..bytes.len().min(at + PASSED)) {
        let byte = bytes[at];
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..0x20 => 0,
            _ => continue,
        };
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        if short == 0 {
            let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(&bytes[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check_refused(body: &str, expected: &str) {
        let error = Fields::parse(body.as_bytes()).unwrap_err();
        assert_eq!(error.shape, "SerializationException");
        assert!(error.message.contains(expected), "{body}: {}", error.message);
    }

    #[test]
    fn fields_are_typed_and_errors_name_them() {
        let fields =
            Fields::parse(br#"{"A":"x","B":5,"C":["p","q"],"D":{"k":"v"},"E":null,"F":true,"A":"y"}"#)
                .unwrap();
        assert_eq!(fields.text("A").unwrap(), Some("y"));
        assert_eq!(fields.int("B").unwrap(), Some(5));
        assert_eq!(fields.texts("C").unwrap(), ["p", "q"]);
        assert_eq!(fields.text_map("D").unwrap(), [("k", "v")]);
        assert_eq!(fields.text("E").unwrap(), None);
        assert_eq!(fields.bool("F").unwrap(), Some(true));
        for error in [
            fields.text("B").unwrap_err(),
            fields.required_text("B").unwrap_err(),
            fields.list("B").unwrap_err(),
            fields.object("B").unwrap_err(),
            fields.bool("B").unwrap_err(),
        ] {
            assert!(
                error.message.contains("The member B must be"),
                "{}",
                error.message
            );
        }
        let error = fields.required_text("Z").unwrap_err();
        assert_eq!(
            (error.shape.as_ref(), error.query_code.as_ref()),
            ("MissingRequiredParameterException", "MissingParameter")
        );
        assert!(error.message.contains('Z'));
    }

    #[test]
    fn strings_without_escapes_are_borrowed() {
        let body = br#"{"a":"plain","b":"a\nb"}"#.to_vec();
        let fields = Fields::parse(&body).unwrap();
        assert!(matches!(
            fields.get("a"),
            Some(Json::Text(Cow::Borrowed("plain")))
        ));
        assert!(matches!(fields.get("b"), Some(Json::Text(Cow::Owned(text))) if text == "a\nb"));
    }

    #[test]
    fn bad_bodies() {
        check_refused("{", "not valid JSON");
        check_refused("[]", "must be a JSON object, not a list");
        check_refused("{} {}", "trailing");
        check_refused(
            &format!("{{\"a\":[{}0]}}", "0,".repeat(20_000)),
            "more than 10000 values",
        );
        check_refused(&"[".repeat(100_000), "recursion");
        check_refused(r#"{"a":"\ud800"}"#, "not valid JSON");
        let error = Fields::parse(b"{\"a\":\"\xff\"}").unwrap_err();
        assert!(error.message.contains("not UTF-8: byte 6"), "{}", error.message);
        assert!(Fields::parse(b" ").unwrap().is_empty());
    }

    #[test]
    fn writer_places_commas() {
        let mut out = Vec::new();
        let mut json = JsonWriter::new(&mut out);
        json.begin();
        json.text("a", "x\"\\\n\u{1}");
        json.int("n", -3);
        json.bool("b", true);
        json.member("l");
        json.begin_list();
        json.begin();
        json.end();
        json.begin();
        json.text("k", "");
        json.end();
        json.item("s");
        json.end_list();
        json.end();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"a":"x\"\\\n\u0001","n":-3,"b":true,"l":[{},{"k":""},"s"]}"#
        );
    }

    proptest! {
        #[test]
        fn garbage_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Fields::parse(&body);
        }

        #[test]
        fn written_text_reads_back(parts in proptest::collection::vec(any::<String>(), 1..9)) {
            let text = parts.concat();
            let mut out = Vec::new();
            let mut json = JsonWriter::new(&mut out);
            json.begin();
            json.text("t", &text);
            json.end();
            let fields = Fields::parse(&out).unwrap();
            prop_assert_eq!(fields.text("t").unwrap(), Some(text.as_str()));
        }
    }
}
