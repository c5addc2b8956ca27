//! The text of a message for each protocol (`MessageStructure`).

use serde_json::Value;

use super::command::PublishEntry;
use super::error::ParameterInvalid;
use super::subscription::Protocol;

/// The texts of a message: one for all, or some for single protocols.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Texts {
    /// The first is the default.
    texts: Vec<String>,
    /// Which text a protocol gets, if not the default.
    of: Vec<(Protocol, u8)>,
}

impl Texts {
    /// The texts of a message. Members that are no texts are ignored, as are those of unknown protocols.
    pub(super) fn of(entry: &PublishEntry) -> Result<Texts, ParameterInvalid> {
        let message = &entry.message;
        if !entry.structured {
            return Ok(Texts {
                texts: vec![message.clone()],
                of: Vec::new(),
            });
        }
        let bad = |why: &str| ParameterInvalid::new(format!("Message Structure - {why}"), "");
        let Ok(Value::Object(members)) = serde_json::from_str(message) else {
            return Err(bad("JSON message body failed to parse"));
        };
        let text = |name: &str| match members.get(name) {
            Some(Value::String(text)) => Some(text.clone()),
            _ => None,
        };
        let default = text("default").ok_or_else(|| bad("No default entry in JSON message body"))?;
        let mut read = Texts {
            texts: vec![default],
            of: Vec::new(),
        };
        for protocol in Protocol::ALL {
            if let Some(text) = text(protocol.name()).filter(|text| *text != read.texts[0]) {
                read.of.push((protocol, read.texts.len() as u8));
                read.texts.push(text);
            }
        }
        Ok(read)
    }

    /// The text for protocols that have none of their own.
    pub(crate) fn default(&self) -> &str {
        &self.texts[0]
    }

    /// The number of the text that a protocol gets.
    pub(crate) fn number(&self, protocol: Protocol) -> u8 {
        let own = self.of.iter().find(|(of, _)| *of == protocol);
        own.map_or(0, |(_, number)| *number)
    }

    /// The text that a protocol gets.
    pub(crate) fn of_protocol(&self, protocol: Protocol) -> &str {
        &self.texts[usize::from(self.number(protocol))]
    }

    /// The protocols with a text of their own, and its number.
    pub(crate) fn own(&self) -> &[(Protocol, u8)] {
        &self.of
    }

    /// All texts, by number.
    pub(crate) fn all(&self) -> &[String] {
        &self.texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structured_messages() {
        let texts = |message: &str| {
            Texts::of(&PublishEntry {
                message: message.into(),
                structured: true,
                ..PublishEntry::default()
            })
        };
        for (message, expected) in [
            (r#"{"default":"d","sqs":"s"}"#, Some("s")),
            (r#"{"default":"d","http":"h"}"#, Some("d")),
            (r#"{"default":"d","sqs":5}"#, Some("d")),
            (r#"{"sqs":"s"}"#, None),
            (r#"{"default":5}"#, None),
            ("plain", None),
            ("", None),
        ] {
            let texts = texts(message);
            let text = texts.as_ref().ok().map(|texts| texts.of_protocol(Protocol::Sqs));
            assert_eq!(text, expected, "{message}");
        }
        let many = texts(r#"{"default":"d","sqs":"s","http":"h","https":"d"}"#).unwrap();
        assert_eq!(many.all(), ["d", "s", "h"]);
        assert_eq!(many.of_protocol(Protocol::Https), "d");
    }
}
