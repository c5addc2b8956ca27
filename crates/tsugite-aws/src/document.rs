//! Documents in whichever encoding the client chose: one writer for the endpoints of a service that speaks two.

use crate::cbor::{self, CborWriter};
use crate::error::AwsError;
use crate::json::{Fields, JsonWriter};

/// How a service writes its structures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// AWS JSON.
    Json,
    /// Smithy's RPC v2 in CBOR.
    Cbor,
}

impl Encoding {
    /// Parses a request body, which must be one structure.
    pub fn parse(self, body: &[u8]) -> Result<Fields<'_>, AwsError> {
        match self {
            Encoding::Json => Fields::parse(body),
            Encoding::Cbor => cbor::parse(body),
        }
    }

    /// One structure, whose members `write` writes.
    pub fn document(self, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
        let mut out = Vec::with_capacity(1024);
        let mut writer = match self {
            Encoding::Json => Writer::Json(JsonWriter::new(&mut out)),
            Encoding::Cbor => Writer::Cbor(CborWriter::new(&mut out)),
        };
        writer.begin();
        write(&mut writer);
        writer.end();
        out
    }
}

/// Writes a document straight into a buffer. The caller pairs `begin` with `end`.
pub enum Writer<'o> {
    /// As JSON.
    Json(JsonWriter<'o>),
    /// As CBOR.
    Cbor(CborWriter<'o>),
}

impl Writer<'_> {
    /// Opens a structure or a map, as an entry of a list or after [`Writer::member`].
    pub fn begin(&mut self) {
        match self {
            Writer::Json(json) => json.begin(),
            Writer::Cbor(cbor) => cbor.begin(),
        }
    }

    /// Closes a structure or a map.
    pub fn end(&mut self) {
        match self {
            Writer::Json(json) => json.end(),
            Writer::Cbor(cbor) => cbor.end(),
        }
    }

    /// Opens a list, after [`Writer::member`].
    pub fn begin_list(&mut self) {
        match self {
            Writer::Json(json) => json.begin_list(),
            Writer::Cbor(cbor) => cbor.begin_list(),
        }
    }

    /// Closes a list.
    pub fn end_list(&mut self) {
        match self {
            Writer::Json(json) => json.end_list(),
            Writer::Cbor(cbor) => cbor.end(),
        }
    }

    /// Writes the name of a member; its value must follow.
    pub fn member(&mut self, name: &str) {
        match self {
            Writer::Json(json) => json.member(name),
            Writer::Cbor(cbor) => cbor.text(name),
        }
    }

    /// Writes a member with a text.
    pub fn text(&mut self, name: &str, value: &str) {
        match self {
            Writer::Json(json) => json.text(name, value),
            Writer::Cbor(cbor) => {
                cbor.text(name);
                cbor.text(value);
            }
        }
    }

    /// Writes a member with an integer.
    pub fn int(&mut self, name: &str, value: i64) {
        match self {
            Writer::Json(json) => json.int(name, value),
            Writer::Cbor(cbor) => {
                cbor.text(name);
                cbor.int(value);
            }
        }
    }

    /// Writes a member with a time, given in milliseconds since the epoch.
    pub fn time(&mut self, name: &str, millis: u64) {
        match self {
            Writer::Json(json) => {
                json.member(name);
                json.raw(&format!("{}.{:03}", millis / 1000, millis % 1000));
            }
            Writer::Cbor(cbor) => {
                cbor.text(name);
                cbor.time(millis);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Json;

    #[test]
    fn one_document_in_two_encodings() {
        for encoding in [Encoding::Json, Encoding::Cbor] {
            let body = encoding.document(|out| {
                out.text("Name", "x");
                out.int("Count", -3);
                out.time("At", 1_500);
                out.member("List");
                out.begin_list();
                out.begin();
                out.end();
                out.begin();
                out.text("k", "v");
                out.end();
                out.end_list();
            });
            let fields = encoding.parse(&body).unwrap();
            assert_eq!(fields.text("Name").unwrap(), Some("x"));
            assert_eq!(fields.int("Count").unwrap(), Some(-3));
            assert_eq!(fields.get("At"), Some(&Json::Float(1.5)));
            assert_eq!(fields.objects("List").unwrap()[1].text("k").unwrap(), Some("v"));
        }
    }
}
