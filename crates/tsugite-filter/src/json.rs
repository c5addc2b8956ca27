//! A strict JSON reader that gives one token after the other.
//!
//! It is our own for three reasons: numbers keep their text, so that they compare exactly; places in the text are
//! known, so that a refusal can point at one; and what is open is a list and not the stack, so that text nested a
//! hundred thousand deep is read like any other. It takes linear time and copies only strings with escapes.

use std::borrow::Cow;

/// A piece of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    BeginObject,
    EndObject,
    BeginArray,
    EndArray,
    /// The name of a member, with its colon.
    Key(Cow<'a, str>),
    /// A lone surrogate escape has become U+FFFD.
    Text(Cow<'a, str>),
    /// As written.
    Number(&'a str),
    Bool(bool),
    Null,
}

/// Why a text is not JSON, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) reason: &'static str,
    /// In bytes from the start.
    pub(crate) at: usize,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Value,
    /// After `[`.
    ValueOrEnd,
    /// After a comma in an object.
    Key,
    /// After `{`.
    KeyOrEnd,
    CommaOrEnd,
    Nothing,
}

/// A position in a document.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Of the last token.
    start: usize,
    /// What is open, the innermost last: true for an object.
    open: Vec<bool>,
    next: Next,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str) -> Reader<'a> {
        Reader {
            text,
            at: 0,
            start: 0,
            open: Vec::new(),
            next: Next::Value,
        }
    }

    /// The byte after the last token.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The first byte of the last token.
    pub(crate) fn token_start(&self) -> usize {
        self.start
    }

    /// How many objects and arrays are open.
    pub(crate) fn depth(&self) -> usize {
        self.open.len()
    }

    /// The next token; `None` after a whole document.
    pub(crate) fn token(&mut self) -> Result<Option<Token<'a>>, Malformed> {
        self.skip_space();
        if self.next == Next::CommaOrEnd && self.peek() == Some(b',') {
            self.at += 1;
            self.next = if self.in_object() { Next::Key } else { Next::Value };
            self.skip_space();
        }
        self.start = self.at;
        let Some(byte) = self.peek() else {
            return match self.next {
                Next::Nothing => Ok(None),
                _ => Err(self.malformed("unexpected end of text")),
            };
        };
        match (self.next, byte) {
            (Next::Nothing, _) => Err(self.malformed("more text after the value")),
            (Next::KeyOrEnd | Next::CommaOrEnd, b'}') if self.in_object() => {
                Ok(Some(self.close(Token::EndObject)))
            }
            (Next::ValueOrEnd | Next::CommaOrEnd, b']') if !self.in_object() => {
                Ok(Some(self.close(Token::EndArray)))
            }
            (Next::Key | Next::KeyOrEnd, b'"') => self.key().map(Some),
            (Next::Key | Next::KeyOrEnd, _) => Err(self.malformed("expected a name in double quotes")),
            (Next::CommaOrEnd, _) => {
                Err(self.malformed("expected a comma or the end of the object or array"))
            }
            (Next::Value | Next::ValueOrEnd, _) => self.value(byte).map(Some),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn in_object(&self) -> bool {
        self.open.last() == Some(&true)
    }

    fn malformed(&self, reason: &'static str) -> Malformed {
        Malformed { reason, at: self.at }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn after_value(&mut self) {
        self.next = match self.open.is_empty() {
            true => Next::Nothing,
            false => Next::CommaOrEnd,
        };
    }

    fn begin(&mut self, object: bool, next: Next, token: Token<'a>) -> Token<'a> {
        self.at += 1;
        self.open.push(object);
        self.next = next;
        token
    }

    fn close(&mut self, token: Token<'a>) -> Token<'a> {
        self.at += 1;
        self.open.pop();
        self.after_value();
        token
    }

    fn key(&mut self) -> Result<Token<'a>, Malformed> {
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.malformed("expected a colon after the name"));
        }
        self.at += 1;
        self.next = Next::Value;
        Ok(Token::Key(key))
    }

    fn value(&mut self, first: u8) -> Result<Token<'a>, Malformed> {
        let token = match first {
            b'{' => return Ok(self.begin(true, Next::KeyOrEnd, Token::BeginObject)),
            b'[' => return Ok(self.begin(false, Next::ValueOrEnd, Token::BeginArray)),
            b'"' => Token::Text(self.string()?),
            b't' => self.word("true", Token::Bool(true))?,
            b'f' => self.word("false", Token::Bool(false))?,
            b'n' => self.word("null", Token::Null)?,
            b'-' | b'0'..=b'9' => Token::Number(self.number()?),
            _ => return Err(self.malformed("expected a value")),
        };
        self.after_value();
        Ok(token)
    }

    fn word(&mut self, word: &str, token: Token<'a>) -> Result<Token<'a>, Malformed> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.malformed("expected a value"));
        }
        self.at += word.len();
        Ok(token)
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    fn number(&mut self) -> Result<&'a str, Malformed> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let zero = self.peek() == Some(b'0');
        let whole = self.digits();
        if whole == 0 || (zero && whole > 1) {
            return Err(self.malformed("a number begins with one digit, and with 0 only before a point"));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.malformed("expected a digit after the point"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.malformed("expected a digit in the exponent"));
            }
        }
        Ok(&self.text[start..self.at])
    }

    /// A string from its opening to behind its closing quote.
    fn string(&mut self) -> Result<Cow<'a, str>, Malformed> {
        self.at += 1;
        let start = self.at;
        self.plain()?;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.text[start..self.at - 1]));
        }
        let mut owned = self.text[start..self.at].to_owned();
        loop {
            // At a quote or a backslash: `plain` stops nowhere else.
            if self.peek() == Some(b'"') {
                self.at += 1;
                return Ok(Cow::Owned(owned));
            }
            owned.push(self.escape()?);
            let start = self.at;
            self.plain()?;
            owned.push_str(&self.text[start..self.at]);
        }
    }

    /// Goes on to the next quote or backslash.
    fn plain(&mut self) -> Result<(), Malformed> {
        let rest = &self.text.as_bytes()[self.at..];
        let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
        let length = rest.iter().position(special);
        self.at += length.unwrap_or(rest.len());
        match self.peek() {
            None => Err(self.malformed("unexpected end of text in a string")),
            Some(b'"' | b'\\') => Ok(()),
            Some(_) => Err(self.malformed("a control character in a string must be escaped")),
        }
    }

    fn escape(&mut self) -> Result<char, Malformed> {
        let escaped = self.text.as_bytes().get(self.at + 1).copied();
        let char = match escaped {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.malformed("unknown escape in a string")),
        };
        self.at += 2;
        Ok(char)
    }

    fn unicode_escape(&mut self) -> Result<char, Malformed> {
        let Some(unit) = self.unit_at(self.at) else {
            return Err(self.malformed("expected four hexadecimal digits after \\u"));
        };
        self.at += 6;
        if let Some(char) = char::from_u32(unit) {
            return Ok(char);
        }
        if (0xD800..0xDC00).contains(&unit)
            && let Some(low @ 0xDC00..=0xDFFF) = self.unit_at(self.at)
        {
            self.at += 6;
            let code = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        Ok(char::REPLACEMENT_CHARACTER)
    }

    /// The code unit of the `\uXXXX` at `at`, if there is one.
    fn unit_at(&self, at: usize) -> Option<u32> {
        match self.text.as_bytes().get(at..at + 6)? {
            [b'\\', b'u', digits @ ..] => digits.iter().try_fold(0, |unit, digit| {
                char::from(*digit).to_digit(16).map(|digit| unit << 4 | digit)
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<Vec<Token<'_>>, Malformed> {
        let mut reader = Reader::new(text);
        let mut tokens = Vec::new();
        while let Some(token) = reader.token()? {
            tokens.push(token);
        }
        Ok(tokens)
    }

    #[test]
    fn a_document_is_read_token_by_token() {
        let text = " {\"a\" : [1, -2.50e+3, true, false , null],\"b\\n\":{\"\":\"\"} } ";
        let key = |key: &'static str| Token::Key(key.into());
        assert_eq!(
            tokens(text).expect("JSON"),
            [
                Token::BeginObject,
                key("a"),
                Token::BeginArray,
                Token::Number("1"),
                Token::Number("-2.50e+3"),
                Token::Bool(true),
                Token::Bool(false),
                Token::Null,
                Token::EndArray,
                key("b\n"),
                Token::BeginObject,
                key(""),
                Token::Text("".into()),
                Token::EndObject,
                Token::EndObject,
            ]
        );
    }

    #[test]
    fn strings_are_unescaped() {
        for (text, meant) in [
            (r#""plain é""#, "plain é"),
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t"),
            (r#""\u00e9\u0041x""#, "éAx"),
            (r#""\ud83d\ude00!""#, "😀!"),
            (r#""\ud83d!""#, "\u{fffd}!"),
            (r#""\ude00\ud83d""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\u0041""#, "\u{fffd}A"),
            (r#""\ud83d\n""#, "\u{fffd}\n"),
        ] {
            assert_eq!(tokens(text), Ok(vec![Token::Text(meant.into())]), "{text}");
        }
    }

    #[test]
    fn what_is_not_json_is_refused_at_its_place() {
        for (text, at) in [
            ("", 0),
            ("  ", 2),
            ("{", 1),
            ("[1", 2),
            ("[1,", 3),
            ("[1,]", 3),
            ("[,1]", 1),
            ("[1 2]", 3),
            ("{\"a\"}", 4),
            ("{\"a\":}", 5),
            ("{\"a\":1,}", 7),
            ("{a:1}", 1),
            ("{'a':1}", 1),
            ("[1}", 2),
            ("{\"a\":1]", 6),
            ("1 1", 2),
            ("nul", 0),
            ("01", 2),
            ("-", 1),
            ("1.", 2),
            ("1e", 2),
            ("+1", 0),
            (".5", 0),
            ("NaN", 0),
            ("\"a", 2),
            ("\"\\x\"", 1),
            ("\"\\u12g4\"", 1),
            ("\"\\u123", 1),
            ("\"a\tb\"", 2),
            ("\u{feff}1", 0),
        ] {
            let found = tokens(text).expect_err(text);
            assert_eq!(found.at, at, "{text}: {found:?}");
        }
    }

    #[test]
    fn deep_nesting_is_read_like_any_other() {
        let depth = 100_000;
        let text = "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(tokens(&text).map(|tokens| tokens.len()), Ok(2 * depth));
        assert_eq!(tokens(&text[..depth]).map_err(|error| error.at), Err(depth));
    }
}
