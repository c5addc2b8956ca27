//! XML answers of the Query protocol: escaping and the response frame.

use tsugite_base::Uuid;

/// Appends `text` with markup escaped. `"` and CR are escaped too, so that message bodies survive a parser's
/// normalisation; characters that XML 1.0 cannot carry become U+FFFD.
pub fn escape_into(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\r' => out.push_str("&#xD;"),
            '\n' | '\t' => out.push(c),
            c if c < ' ' || c == '\u{fffe}' || c == '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}

/// Appends `<name>text</name>`.
pub fn element(out: &mut String, name: &str, text: &str) {
    open(out, name);
    escape_into(out, text);
    close(out, name);
}

/// Appends `<name>`.
pub fn open(out: &mut String, name: &str) {
    out.push('<');
    out.push_str(name);
    out.push('>');
}

/// Appends `</name>`.
pub fn close(out: &mut String, name: &str) {
    out.push_str("</");
    out.push_str(name);
    out.push('>');
}

/// A whole answer: `<ActionResponse><ActionResult>…</ActionResult><ResponseMetadata>…`. `result` is the inner
/// XML of the result element, or `None` for actions without output.
pub fn response(action: &str, namespace: &str, result: Option<&str>, request_id: Uuid) -> String {
    let mut out = String::with_capacity(256 + result.map_or(0, str::len));
    out.push_str("<?xml version=\"1.0\"?><");
    out.push_str(action);
    out.push_str("Response xmlns=\"");
    out.push_str(namespace);
    out.push_str("\">");
    match result {
        None => {}
        Some("") => out.extend(["<", action, "Result/>"]),
        Some(result) => out.extend(["<", action, "Result>", result, "</", action, "Result>"]),
    }
    out.push_str("<ResponseMetadata>");
    element(&mut out, "RequestId", &request_id.to_string());
    out.push_str("</ResponseMetadata></");
    out.push_str(action);
    out.push_str("Response>");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        let mut out = String::new();
        escape_into(&mut out, "a<b>&\"c\"\r\n\u{1}日");
        assert_eq!(out, "a&lt;b&gt;&amp;&quot;c&quot;&#xD;\n\u{fffd}日");
    }

    #[test]
    fn frames() {
        let id = Uuid([0x11; 16]);
        assert_eq!(
            response("Unsubscribe", "http://n/", None, id),
            "<?xml version=\"1.0\"?><UnsubscribeResponse xmlns=\"http://n/\"><ResponseMetadata>\
             <RequestId>11111111-1111-1111-1111-111111111111</RequestId></ResponseMetadata></UnsubscribeResponse>"
        );
        assert!(response("A", "n", Some("<B>1</B>"), id).contains("<AResult><B>1</B></AResult>"));
        assert!(response("A", "n", Some(""), id).contains("<AResult/>"));
    }
}
