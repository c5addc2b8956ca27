//! Requests of the Query protocol: a form (body or query string) whose names spell lists and maps by index.
//!
//! Indices are only ever sorted, never used as a length, so `Attribute.999999999.Name` costs what any other name costs.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::error::{AwsError, shorten};

/// Most parameters in one form: a full batch with ten attributes an entry has about 400.
const MAX_PARAMETERS: usize = 10_000;

/// The parameters of a request, or of one element of a list in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Form<'a> {
    /// Parses a query string or an `application/x-www-form-urlencoded` body. Bytes that do not decode to UTF-8 are
    /// an error: replacing them would change a message.
    pub fn parse(text: &'a [u8]) -> Result<Form<'a>, AwsError> {
        let mut form = Form::default();
        form.extend(text)?;
        Ok(form)
    }

    /// Adds the parameters of a second source (a body beside a query string).
    pub fn extend(&mut self, text: &'a [u8]) -> Result<(), AwsError> {
        for pair in text.split(|&b| b == b'&').filter(|pair| !pair.is_empty()) {
            if self.0.len() == MAX_PARAMETERS {
                return Err(malformed(format!(
                    "The request has more than {MAX_PARAMETERS} parameters."
                )));
            }
            let (name, value) = match pair.iter().position(|&b| b == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &pair[pair.len()..]),
            };
            let name = decode(name)
                .ok_or_else(|| malformed("The request has a parameter name that is not UTF-8.".into()))?;
            let value = decode(value).ok_or_else(|| {
                malformed(format!("The value of parameter {} is not UTF-8.", shorten(&name)))
            })?;
            self.0.push((name, value));
        }
        Ok(())
    }

    /// All parameters in the order of the request.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// The value of `name`; an empty value counts as present.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_ref())
    }

    /// As [`Form::get`], of a parameter that must not be given twice.
    pub fn only(&self, name: &str) -> Result<Option<&str>, AwsError> {
        let mut values = self.0.iter().filter(|(key, _)| key == name);
        let value = values.next().map(|(_, value)| value.as_ref());
        match values.next() {
            None => Ok(value),
            Some(_) => Err(malformed(format!(
                "The parameter {name} is given more than once."
            ))),
        }
    }

    /// The value of `name`, which must be present and not empty.
    pub fn required(&self, name: &str) -> Result<&str, AwsError> {
        match self.get(name) {
            Some("") | None => Err(AwsError::missing(name)),
            Some(value) => Ok(value),
        }
    }

    /// The elements of a structured list in the order of their indices: of `P.2.A=x` under prefix `P`, the element
    /// 2 with parameter `A`. An element given as a plain value (`P.2=x`) has the empty name.
    pub fn elements(&self, prefix: &str) -> Result<Vec<Form<'_>>, AwsError> {
        let mut elements: BTreeMap<u32, Form<'_>> = BTreeMap::new();
        for (key, value) in &self.0 {
            let Some(rest) = key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('.')) else {
                continue;
            };
            let (index, name) = rest.split_once('.').unwrap_or((rest, ""));
            let index = index
                .parse()
                .map_err(|_| malformed(format!("The parameter {} has no valid index.", shorten(key))))?;
            let element = elements.entry(index).or_default();
            element.0.push((Cow::Borrowed(name), Cow::Borrowed(value)));
        }
        Ok(elements.into_values().collect())
    }

    /// A list of plain values in the order of their indices: `P.1=x`, `P.2=y` under prefix `P`.
    pub fn values(&self, prefix: &str) -> Result<Vec<String>, AwsError> {
        let elements = self.elements(prefix)?;
        elements
            .iter()
            .map(|element| {
                let value = element.get("");
                value
                    .map(str::to_owned)
                    .ok_or_else(|| malformed(format!("The elements of {prefix} must be plain values.")))
            })
            .collect()
    }

    /// A map in the order of its indices: `P.1.key=k`, `P.1.value=v` under prefix `P`. Values may be empty, not absent.
    pub fn map(&self, prefix: &str) -> Result<Vec<(String, String)>, AwsError> {
        let elements = self.elements(prefix)?;
        elements
            .iter()
            .map(|element| {
                let key = element
                    .required("key")
                    .map_err(|_| malformed(format!("An entry of {prefix} has no key.")))?;
                let value = element.get("value");
                let value = value.ok_or_else(|| {
                    malformed(format!("The entry {} of {prefix} has no value.", shorten(key)))
                })?;
                Ok((key.to_owned(), value.to_owned()))
            })
            .collect()
    }
}

fn malformed(message: String) -> AwsError {
    AwsError::bad_request("MalformedQueryString", message)
}

/// Decodes `+` and `%XX`. A `%` that starts no escape stands for itself, as browsers have it.
fn decode(text: &[u8]) -> Option<Cow<'_, str>> {
    if !text.iter().any(|b| matches!(b, b'+' | b'%')) {
        return std::str::from_utf8(text).ok().map(Cow::Borrowed);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let escape = || Some(hex(*text.get(at + 1)?)? * 16 + hex(*text.get(at + 2)?)?);
        match byte {
            b'+' => out.push(b' '),
            b'%' => match escape() {
                Some(byte) => {
                    out.push(byte);
                    at += 2;
                }
                None => out.push(b'%'),
            },
            other => out.push(other),
        }
        at += 1;
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Appends `text` percent-encoded for a query string.
pub fn encode_into(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~:".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lists_and_maps() {
        let form = Form::parse(
            b"Action=Publish&L.member.2=b&L.member.1=a+%26&M.entry.1.key=k&M.entry.1.value=v%3D&\
              A.entry.1.Name=n&A.entry.1.Value.DataType=String",
        )
        .unwrap();
        assert_eq!(form.get("Action"), Some("Publish"));
        assert_eq!(form.values("L.member").unwrap(), ["a &", "b"]);
        assert_eq!(form.map("M.entry").unwrap(), [("k".to_owned(), "v=".to_owned())]);
        let attributes = form.elements("A.entry").unwrap();
        assert_eq!(attributes[0].get("Value.DataType"), Some("String"));
        assert!(form.values("Absent").unwrap().is_empty());
    }

    #[test]
    fn hostile_indices_cost_nothing() {
        let form = Form::parse(b"A.999999999=x&A.1=y&B.x=1&C.99999999999999999999=1&D.1.Name=n").unwrap();
        assert_eq!(form.values("A").unwrap(), ["y", "x"]);
        for prefix in ["B", "C", "D"] {
            assert_eq!(
                form.values(prefix).unwrap_err().shape,
                "MalformedQueryString",
                "{prefix}"
            );
        }
    }

    #[test]
    fn bad_forms() {
        assert!(Form::parse(b"a=%ff").unwrap_err().message.contains("parameter a"));
        assert!(Form::parse(&b"a&".repeat(MAX_PARAMETERS + 1)).is_err());
        let odd = Form::parse(b"a=%&b=%4&&c").unwrap();
        assert_eq!(
            (odd.get("a"), odd.get("b"), odd.get("c")),
            (Some("%"), Some("%4"), Some(""))
        );
        let twice = Form::parse(b"a=1&b=2&a=1").unwrap();
        assert_eq!((twice.get("a"), twice.only("b")), (Some("1"), Ok(Some("2"))));
        assert!(twice.only("a").unwrap_err().message.contains("more than once"));
        assert_eq!(twice.only("c"), Ok(None));
        assert_eq!(odd.required("c").unwrap_err().query_code, "MissingParameter");
    }

    proptest! {
        #[test]
        fn garbage_never_panics(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(form) = Form::parse(&text) {
                let _ = form.elements("A");
                let _ = form.map("A");
            }
        }

        #[test]
        fn encoded_text_reads_back(text in any::<String>()) {
            let mut query = "t=".to_owned();
            encode_into(&mut query, &text);
            let form = Form::parse(query.as_bytes()).unwrap();
            prop_assert_eq!(form.get("t"), Some(text.as_str()));
        }
    }
}
