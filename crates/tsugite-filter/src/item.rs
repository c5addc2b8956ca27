//! The text of a policy as JSON items that remember their places.

use std::borrow::Cow;

use crate::json::{Malformed, Reader, Token};
use crate::parse::{Fault, MAX_COMPLEXITY};

/// Deeper text is refused unread. Each level of keys and each `$or`, which takes two levels of JSON, adds one to the
/// complexity at least; a rule adds four levels at most. So whatever is deeper is too complex.
const MAX_DEPTH: usize = 2 * MAX_COMPLEXITY as usize + 4;

/// A value in the text.
#[derive(Debug)]
pub(crate) struct Item<'a> {
    pub(crate) kind: Kind<'a>,
    /// Where AWS's reader stands once it knows what comes: behind the opening quote, brace or bracket, or behind a
    /// number or word.
    pub(crate) at: usize,
    /// Behind the item.
    pub(crate) end: usize,
}

/// What an item is.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    Object(Vec<(Cow<'a, str>, Item<'a>)>),
    Array(Vec<Item<'a>>),
    Text(Cow<'a, str>),
    /// As written.
    Number(&'a str),
    Bool(bool),
    Null,
}

impl<'a> Item<'a> {
    /// Reads a whole document.
    pub(crate) fn read(text: &'a str) -> Result<Item<'a>, Fault> {
        let mut reader = Reader::new(text);
        let token = next(&mut reader)?;
        let item = read(&mut reader, token)?;
        reader.token().map_err(malformed)?;
        Ok(item)
    }
}

fn malformed(error: Malformed) -> Fault {
    Fault::at(error.at, format!("failed to parse JSON. {}", error.reason))
}

/// The next token of a document that is not at its end.
fn next<'a>(reader: &mut Reader<'a>) -> Result<(usize, Token<'a>), Fault> {
    let token = reader.token().map_err(malformed)?;
    let start = reader.token_start();
    token.map(|token| (start, token)).ok_or_else(|| {
        let at = reader.at();
        Fault::at(at, "failed to parse JSON. unexpected end of text")
    })
}

fn read<'a>(reader: &mut Reader<'a>, (start, token): (usize, Token<'a>)) -> Result<Item<'a>, Fault> {
    if reader.depth() > MAX_DEPTH {
        return Err(Fault::whole("Filter policy is too complex"));
    }
    let mut at = reader.at();
    let kind = match token {
        Token::BeginObject => Kind::Object(read_members(reader)?),
        Token::BeginArray => Kind::Array(read_items(reader)?),
        Token::Text(text) => {
            at = start + 1;
            Kind::Text(text)
        }
        Token::Number(text) => Kind::Number(text),
        Token::Bool(value) => Kind::Bool(value),
        // The reader gives keys and ends only where `read_members` and `read_items` expect them.
        Token::Null | Token::Key(_) | Token::EndObject | Token::EndArray => Kind::Null,
    };
    Ok(Item {
        kind,
        at,
        end: reader.at(),
    })
}

fn read_members<'a>(reader: &mut Reader<'a>) -> Result<Vec<(Cow<'a, str>, Item<'a>)>, Fault> {
    let mut members = Vec::new();
    while let (_, Token::Key(name)) = next(reader)? {
        let value = next(reader)?;
        members.push((name, read(reader, value)?));
    }
    Ok(members)
}

fn read_items<'a>(reader: &mut Reader<'a>) -> Result<Vec<Item<'a>>, Fault> {
    let mut items = Vec::new();
    loop {
        match next(reader)? {
            (_, Token::EndArray) => return Ok(items),
            token => items.push(read(reader, token)?),
        }
    }
}
