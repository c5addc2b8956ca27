//! How the demo speaks: a heading per joint, the command that a reader can repeat, and what came back.

use std::io::Write;

use super::client::Answer;

/// Longest piece of an answer that is printed.
const SHOWN_CHARS: usize = 240;

/// Writes the story to standard output.
///
/// A closed pipe (`tsugite demo | head`) must not fail the demo, so write errors are dropped.
pub(super) struct Narrator;

impl Narrator {
    fn line(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    }

    /// A numbered heading.
    pub(super) fn chapter(&self, title: &str) {
        self.line(&format!("\n== {title}"));
    }

    /// A sentence.
    pub(super) fn say(&self, text: &str) {
        self.line(&format!("   {text}"));
    }

    /// A command that the reader can repeat.
    pub(super) fn command(&self, text: &str) {
        self.line(&format!("   $ {text}"));
    }

    /// What came back, shortened.
    pub(super) fn result(&self, text: &str) {
        let text = text.trim();
        let shown: String = text.chars().take(SHOWN_CHARS).collect();
        let dots = if shown.len() < text.len() { "…" } else { "" };
        self.line(&format!("     -> {shown}{dots}"));
    }

    /// An HTTP answer, in one line.
    pub(super) fn answer(&self, answer: &Answer) {
        self.result(&format!(
            "{} in {:.1} ms: {}",
            answer.status.as_u16(),
            millis(answer.took),
            answer.text()
        ));
    }
}

/// A duration in milliseconds, for printing.
pub(super) fn millis(took: std::time::Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}
