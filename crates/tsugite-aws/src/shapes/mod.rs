//! Shapes of operations: what carries a request of the Query protocol over to JSON, and a JSON answer back to XML.
//!
//! SQS speaks both protocols with the same content. Endpoints are written once, for JSON; a table of shapes
//! ([`sqs::OPERATIONS`]) says how each member is spelled in a form and in XML. So both protocols answer the same by
//! construction, and a new operation needs one row here.

mod input;
mod output;
pub mod sqs;

pub use input::fields;
pub use output::result;

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// For example `SendMessage`.
    pub name: &'static str,
    /// Members of the request.
    pub input: &'static [Member],
    /// Members of the answer; `None` if it has no result element at all.
    pub output: Option<&'static [Member]>,
}

impl Operation {
    /// Whether the request has a member of this JSON name.
    pub fn takes(&self, name: &str) -> bool {
        self.input.iter().any(|member| member.name == name)
    }
}

/// A member of a structure.
#[derive(Debug)]
pub struct Member {
    /// Its name in JSON.
    pub name: &'static str,
    /// Its name in forms and XML. Lists and maps are flattened: this is the name of one element.
    pub wire: &'static str,
    /// What it holds.
    pub kind: Kind,
}

/// What a member or element holds.
#[derive(Debug)]
pub enum Kind {
    /// A string; also a blob, which is base64 in both protocols.
    Text,
    /// An integer.
    Int,
    /// `true` or `false`.
    Bool,
    /// A structure.
    Struct(&'static [Member]),
    /// A flattened list: `Wire.1`, `Wire.2`.
    List(&'static Kind),
    /// A flattened map: `Wire.1.<key>`, `Wire.1.Value`.
    Map {
        /// Name of the key, `Name` or `Key`.
        key: &'static str,
        /// What a value holds.
        value: &'static Kind,
    },
}

/// Name of a map's value in forms and XML.
const VALUE: &str = "Value";
