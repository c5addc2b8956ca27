//! What a message offers to filter policies: values by attribute name, and values by path in the body.
//!
//! Both are worked out once for each message and are then only looked at.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use crate::body::Body;
use crate::decimal::Decimal;
use crate::json::{Reader, Token};
use crate::policy::Scope;

/// A message attribute as it was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// The name.
    pub name: &'a str,
    /// `String`, `Number`, `Binary` or `String.Array`, each optionally with a `.label`.
    pub data_type: &'a str,
    /// The value; `None` for Binary.
    pub text: Option<&'a str>,
}

/// One value that a rule looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    Number(Decimal, &'a str),
    Bool(bool),
    Null,
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write!(f, "{:?}", Short(text)),
            Value::Number(_, text) => write!(f, "{}", Short(text)),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Null => f.write_str("null"),
        }
    }
}

/// A text cut to what a person wants to read in a line.
pub(crate) struct Short<'a>(pub(crate) &'a str);

impl Short<'_> {
    const CHARS: usize = 100;

    fn cut(&self) -> (&str, &'static str) {
        match self.0.char_indices().nth(Short::CHARS) {
            Some((at, _)) => (&self.0[..at], "…"),
            None => (self.0, ""),
        }
    }
}

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, more) = self.cut();
        write!(f, "{text}{more}")
    }
}

impl fmt::Debug for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, more) = self.cut();
        write!(f, "{text:?}{more}")
    }
}

/// What a message offers to policies of both scopes.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// Sorted by name; an attribute that offers nothing is left out.
    attributes: Vec<Named<'a>>,
    /// Of all attributes.
    values: Vec<Value<'a>>,
    body: Option<Body<'a>>,
}

/// An attribute with the place of its values.
#[derive(Debug, Clone)]
struct Named<'a> {
    name: &'a str,
    values: Range<usize>,
}

impl<'a> Message<'a> {
    /// Reads the attributes, and the body if there is one to read. Without a body, or with one that is not a JSON
    /// object, no policy of scope MessageBody matches, so that who knows of none need not have it read.
    ///
    /// Of two attributes with one name the last counts, and so does the last of two members with one name in an
    /// object.
    pub fn new(attributes: impl IntoIterator<Item = Attribute<'a>>, body: Option<&'a str>) -> Message<'a> {
        let attributes = attributes.into_iter();
        let (mut read, mut values) = (
            Vec::with_capacity(attributes.size_hint().0),
            Vec::with_capacity(attributes.size_hint().0),
        );
        for attribute in attributes {
            let start = values.len();
            add_values(&attribute, &mut values);
            read.push(Named {
                name: attribute.name,
                values: start..values.len(),
            });
        }
        read.sort_by_key(|named| named.name);
        // `dedup_by` keeps the first of equals, and the sort kept their order: so swap what is kept for the later one.
        read.dedup_by(|later, kept| {
            later.name == kept.name && {
                std::mem::swap(&mut later.values, &mut kept.values);
                true
            }
        });
        read.retain(|named| !named.values.is_empty());
        Message {
            attributes: read,
            values,
            body: body.and_then(|body| Body::read(body).ok().flatten()),
        }
    }

    /// Whether policies of this scope can match at all.
    pub(crate) fn offers(&self, scope: Scope) -> bool {
        match scope {
            Scope::MessageAttributes => true,
            Scope::MessageBody => self.body.is_some(),
        }
    }

    /// Names and values of the attributes that offer some.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = (&'a str, &[Value<'a>])> {
        let with_values = |named: &Named<'a>| (named.name, &self.values[named.values.clone()]);
        self.attributes.iter().map(with_values)
    }

    /// The body, if it is a JSON object that was to be read.
    pub(crate) fn body(&self) -> Option<&Body<'a>> {
        self.body.as_ref()
    }

    /// The values of a key, which is a name or a dotted path; none if it is absent.
    pub(crate) fn values(&self, scope: Scope, key: &str) -> &[Value<'a>] {
        match (scope, &self.body) {
            (Scope::MessageAttributes, _) => self
                .attributes
                .binary_search_by_key(&key, |named| named.name)
                .map_or(&[], |at| &self.values[self.attributes[at].values.clone()]),
            (Scope::MessageBody, Some(body)) => body.values(key),
            (Scope::MessageBody, None) => &[],
        }
    }
}

/// Adds what an attribute offers. Nothing for Binary, which filters ignore, nor for a text that is not of its type.
fn add_values<'a>(attribute: &Attribute<'a>, values: &mut Vec<Value<'a>>) {
    let Some(text) = attribute.text else { return };
    let mut parts = attribute.data_type.split('.');
    match (parts.next(), parts.next()) {
        (Some("String"), Some("Array")) => {
            let before = values.len();
            if add_elements(text, values).is_none() {
                values.truncate(before);
            }
        }
        (Some("String"), _) => values.push(Value::Text(text.into())),
        (Some("Number"), _) => {
            values.extend(Decimal::parse(text).map(|number| Value::Number(number, text)));
        }
        _ => {}
    }
}

/// Adds the scalars of a JSON array; `None` if it is none, or holds objects.
fn add_elements<'a>(text: &'a str, values: &mut Vec<Value<'a>>) -> Option<()> {
    let mut reader = Reader::new(text);
    if reader.token().ok()?? != Token::BeginArray {
        return None;
    }
    while let Some(token) = reader.token().ok()? {
        match token {
            Token::BeginArray | Token::EndArray => {}
            Token::BeginObject | Token::EndObject | Token::Key(_) => return None,
            scalar => values.extend(value(scalar)),
        }
    }
    Some(())
}

/// The value of a scalar token.
pub(crate) fn value(token: Token<'_>) -> Option<Value<'_>> {
    match token {
        Token::Text(text) => Some(Value::Text(text)),
        Token::Number(text) => Some(Value::Number(Decimal::parse(text)?, text)),
        Token::Bool(value) => Some(Value::Bool(value)),
        Token::Null => Some(Value::Null),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(data_type: &str, text: Option<&str>, expected: &[&str]) {
        let attribute = Attribute {
            name: "key",
            data_type,
            text,
        };
        let message = Message::new([attribute], None);
        let values = message.values(Scope::MessageAttributes, "key");
        let values: Vec<String> = values.iter().map(Value::to_string).collect();
        assert_eq!(values, expected, "{data_type} {text:?}");
    }

    #[test]
    fn an_attribute_offers_what_its_type_says() {
        check("String", Some("5"), &["\"5\""]);
        check("String.note", Some("[1]"), &["\"[1]\""]);
        check("String", Some(""), &["\"\""]);
        check("Number", Some("5.0"), &["5.0"]);
        check("Number.int", Some("-5"), &["-5"]);
        check("Number", Some("five"), &[]);
        check("Binary", None, &[]);
        check("Binary.png", None, &[]);
        check("Blob", Some("5"), &[]);
    }

    #[test]
    fn an_array_offers_its_elements() {
        let all = r#"["a", 1, true, false, null]"#;
        check(
            "String.Array",
            Some(all),
            &["\"a\"", "1", "true", "false", "null"],
        );
        check("String.Array.tags", Some("[[1],[[2]]]"), &["1", "2"]);
        check("String.Array", Some("[]"), &[]);
        check("String.Array", Some(r#"[1,{"a":2}]"#), &[]);
        check("String.Array", Some(r#""a""#), &[]);
        check("String.Array", Some("[1"), &[]);
    }

    #[test]
    fn of_two_attributes_with_one_name_the_last_counts() {
        let attribute = |name, text| Attribute {
            name,
            data_type: "String",
            text: Some(text),
        };
        let message = Message::new(
            [attribute("b", "1"), attribute("a", "2"), attribute("b", "3")],
            None,
        );
        let value = |name| message.values(Scope::MessageAttributes, name)[0].to_string();
        assert_eq!((value("a"), value("b")), ("\"2\"".into(), "\"3\"".into()));
        assert_eq!(message.values(Scope::MessageAttributes, "c"), []);
    }

    #[test]
    fn long_values_are_cut_for_people() {
        let long = "é".repeat(101);
        let shown = Value::Text(long.as_str().into()).to_string();
        assert_eq!(shown, format!("\"{}\"…", "é".repeat(100)));
    }
}
