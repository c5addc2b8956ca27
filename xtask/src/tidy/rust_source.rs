//! A Rust file as the checks see it: comments and literals blanked out, test modules cut away.
//!
//! This is no parser. It knows comments, string and character literals and matching braces, which is
//! enough to find functions and `#[cfg(test)]` modules in code that rustfmt has laid out.

/// One file of the work tree.
pub(super) struct RustSource {
    /// Path from the root, with forward slashes.
    pub(super) path: String,
    /// What is in the file.
    pub(super) text: String,
    /// The same lines with comments and literals replaced by spaces.
    pub(super) code: String,
    /// `code` with the bodies of `#[cfg(test)]` modules blanked too.
    pub(super) shipped: String,
}

/// A function and how long it is.
pub(super) struct Function {
    pub(super) name: String,
    /// Lines from `fn` to the closing brace, both counted.
    pub(super) lines: usize,
}

impl RustSource {
    pub(super) fn new(path: String, text: String) -> RustSource {
        let code = blank_literals(&text);
        let shipped = blank_tests(&code);
        RustSource {
            path,
            text,
            code,
            shipped,
        }
    }

    /// Whether the whole file is test code by its place.
    pub(super) fn is_test(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        self.path.contains("/tests/") || name == "tests.rs" || name.ends_with("_tests.rs")
    }

    /// Lines of the file without those of its test modules.
    pub(super) fn lines_without_tests(&self) -> usize {
        let test_lines: usize = test_modules(&self.code)
            .map(|(start, end)| newlines(&self.code[start..end]) + 1)
            .sum();
        self.text.lines().count().saturating_sub(test_lines)
    }

    /// The functions outside test modules.
    pub(super) fn functions(&self) -> Vec<Function> {
        let code = &self.shipped;
        let mut found = Vec::new();
        let mut from = 0;
        while let Some(at) = code[from..].find("fn ").map(|at| at + from) {
            from = at + 3;
            let starts_word = at == 0 || !is_word(code.as_bytes()[at - 1]);
            let name: String = code[from..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if !starts_word || name.is_empty() {
                continue;
            }
            let Some(open) = code[from..].find(['{', ';']).map(|offset| offset + from) else {
                continue;
            };
            if code.as_bytes()[open] != b'{' {
                continue;
            }
            let end = closing_brace(code, open);
            found.push(Function {
                name,
                lines: newlines(&code[at..end]) + 1,
            });
        }
        found
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// Index of the brace that closes the one at `open`; the end of the text when there is none.
fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (index, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index;
                }
            }
            _ => {}
        }
    }
    code.len()
}

/// Byte ranges of `#[cfg(test)] mod … { … }`, from the attribute to the closing brace.
fn test_modules(code: &str) -> impl Iterator<Item = (usize, usize)> {
    code.match_indices("#[cfg(test)]")
        .filter_map(|(start, attribute)| {
            let rest = &code[start + attribute.len()..];
            let open = rest.find('{')? + start + attribute.len();
            let head = &code[start + attribute.len()..open];
            (head.contains("mod ") && !head.contains(';')).then(|| (start, closing_brace(code, open)))
        })
}

fn blank_tests(code: &str) -> String {
    let mut bytes = code.as_bytes().to_vec();
    for (start, end) in test_modules(code) {
        blank(&mut bytes[start..end]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn blank(bytes: &mut [u8]) {
    for byte in bytes {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn blank_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => end_of_line(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => end_of_block_comment(bytes, at),
            b'"' => end_of_string(bytes, at),
            b'r' | b'b' if at == 0 || !is_word(bytes[at - 1]) => {
                end_of_prefixed_string(bytes, at).unwrap_or(at)
            }
            b'\'' => end_of_char(bytes, at).unwrap_or(at),
            _ => at,
        };
        if end > at {
            blank(&mut out[at..end]);
            at = end;
        } else {
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn end_of_line(bytes: &[u8], at: usize) -> usize {
    bytes[at..]
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(bytes.len(), |offset| at + offset)
}

fn end_of_block_comment(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn end_of_string(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br"…"`; `None` when a word merely begins with these letters.
fn end_of_prefixed_string(bytes: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    if bytes.get(at) == Some(&b'b') {
        at += 1;
    }
    let raw = bytes.get(at) == Some(&b'r');
    if raw {
        at += 1;
    }
    let hashes = if raw {
        bytes[at..].iter().take_while(|byte| **byte == b'#').count()
    } else {
        0
    };
    at += hashes;
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    if !raw {
        return Some(end_of_string(bytes, at));
    }
    let closing: Vec<u8> = std::iter::once(b'"')
        .chain(std::iter::repeat_n(b'#', hashes))
        .collect();
    let body = &bytes[at + 1..];
    let length = body.windows(closing.len()).position(|window| window == closing)?;
    Some(at + 1 + length + closing.len())
}

/// A character literal, told from a lifetime by its closing quote.
fn end_of_char(bytes: &[u8], open: usize) -> Option<usize> {
    if bytes.get(open + 1) == Some(&b'\\') {
        let close = bytes[open + 3..].iter().position(|byte| *byte == b'\'')?;
        return Some(open + 3 + close + 1);
    }
    // One character of up to four bytes.
    let close = bytes[open + 1..].iter().take(5).position(|byte| *byte == b'\'')?;
    let inner = std::str::from_utf8(&bytes[open + 1..open + 1 + close]).ok()?;
    (inner.chars().count() == 1).then_some(open + close + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> RustSource {
        RustSource::new("crates/x/src/lib.rs".into(), text.into())
    }

    #[track_caller]
    fn check_code(text: &str, expected: &str) {
        assert_eq!(
            source(text).code.split_whitespace().collect::<Vec<_>>().join(" "),
            expected
        );
    }

    #[test]
    fn literals_and_comments_are_blank() {
        check_code("a // todo!()\nb /* x /* y */ z */ c", "a b c");
        check_code(r#"f("a \" {", '{', '\'', 'ü') g"#, "f( , , , ) g");
        check_code(r##"r#"a " {"# br"{" bar r.x"##, "bar r.x");
        check_code("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}");
    }

    #[test]
    fn functions_are_measured_and_tests_are_not() {
        let text =
            "fn a() {\n    1;\n}\ntrait T {\n    fn b();\n}\n#[cfg(test)]\nmod tests {\n    fn c() {}\n}\n";
        let source = source(text);
        let found: Vec<_> = source
            .functions()
            .iter()
            .map(|f| (f.name.clone(), f.lines))
            .collect();
        assert_eq!(found, [("a".to_owned(), 3)]);
        assert_eq!(source.lines_without_tests(), 6);
    }

    #[test]
    fn a_test_module_in_its_own_file_cuts_nothing() {
        assert_eq!(
            source("#[cfg(test)]\nmod tests;\nfn a() {\n}\n")
                .functions()
                .len(),
            1
        );
    }
}
