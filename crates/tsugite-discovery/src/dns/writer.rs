//! Writing messages: records with their limit, compression by known offsets, and the header at the end.
//!
//! Every name that we point at lies in the question or in data that was just written, so that its offset is known and
//! nothing is searched.

use super::query::{HEADER, Query};
use super::{CLASS_IN, Code, MESSAGE_BYTES, kind};

/// Bytes of an OPT record without options.
const OPT_BYTES: usize = 11;
/// Pointers reach this far.
const POINTED: usize = 0x4000;

/// A reply that is being written.
pub(super) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    limit: usize,
    /// Records of the answer, authority and additional sections.
    counts: [u16; 3],
    /// Whether something that was asked for did not fit.
    truncated: bool,
}

/// A section after the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Answer,
    Authority,
    Additional,
}

/// What the header says.
pub(super) struct Verdict {
    pub(super) code: Code,
    pub(super) authoritative: bool,
    pub(super) recursion_available: bool,
}

impl<'o> Writer<'o> {
    /// Begins a reply of at most `limit` bytes in place of whatever `out` holds; a limit below 512 is too small for every
    /// question.
    pub(super) fn new(out: &'o mut Vec<u8>, query: &Query<'_>, limit: usize) -> Writer<'o> {
        let reserved = query.edns.map_or(0, |_| OPT_BYTES);
        out.clear();
        out.extend_from_slice(&query.message()[..HEADER]);
        out.extend_from_slice(query.question());
        Writer {
            out,
            limit: limit.min(MESSAGE_BYTES).saturating_sub(reserved),
            counts: [0; 3],
            truncated: false,
        }
    }

    /// The position of what is written next.
    pub(super) fn position(&self) -> usize {
        self.out.len()
    }

    /// Bytes that are left.
    pub(super) fn room(&self) -> usize {
        self.limit.saturating_sub(self.out.len())
    }

    /// Records that were written into the answer section.
    pub(super) const fn answers(&self) -> u16 {
        self.counts[0]
    }

    /// Whether something that was asked for did not fit.
    pub(super) const fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// Writes a record whose owner's name lies at `owner`; answers whether it fits. What does not is not written: in the
    /// additional section in silence (RFC 2181 section 9), elsewhere the reply is marked as truncated.
    pub(super) fn record(
        &mut self,
        section: Section,
        owner: usize,
        kind: u16,
        ttl: u32,
        data: impl FnOnce(&mut Writer<'o>),
    ) -> bool {
        let before = self.out.len();
        if owner >= POINTED || self.truncated && section == Section::Additional {
            return false;
        }
        let [o0, o1] = pointer(owner);
        let ([k0, k1], [c0, c1]) = (kind.to_be_bytes(), CLASS_IN.to_be_bytes());
        let [t0, t1, t2, t3] = ttl.to_be_bytes();
        self.out
            .extend_from_slice(&[o0, o1, k0, k1, c0, c1, t0, t1, t2, t3, 0, 0]);
        let begin = self.out.len();
        data(self);
        let length = u16::try_from(self.out.len() - begin);
        let (Ok(length), true) = (length, self.out.len() <= self.limit) else {
            self.out.truncate(before);
            self.truncated |= section != Section::Additional;
            return false;
        };
        self.out[begin - 2..begin].copy_from_slice(&length.to_be_bytes());
        self.counts[section as usize] += 1;
        true
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    pub(super) fn u16(&mut self, number: u16) {
        self.bytes(&number.to_be_bytes());
    }

    pub(super) fn u32(&mut self, number: u32) {
        self.bytes(&number.to_be_bytes());
    }

    /// A label of at most 63 bytes, or a character string of at most 255; longer ones are cut.
    pub(super) fn counted(&mut self, text: &[u8]) {
        let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
        self.bytes(&[length]);
        self.bytes(&text[..usize::from(length)]);
    }

    /// The rest of a name: what lies at `at`, which must be in the question or just behind it.
    pub(super) fn pointer(&mut self, at: usize) {
        self.bytes(&pointer(at));
    }

    /// Ends the reply: OPT record and header.
    pub(super) fn finish(self, query: &Query<'_>, udp_size: u16, verdict: &Verdict) {
        let Writer {
            out,
            mut counts,
            truncated,
            ..
        } = self;
        let code = verdict.code.number();
        if let Some(edns) = query.edns {
            let extended = u8::try_from(code >> 4).unwrap_or_default();
            let [[k0, k1], [s0, s1]] = [kind::OPT.to_be_bytes(), udp_size.to_be_bytes()];
            let dnssec_ok = u8::from(edns.dnssec_ok) << 7;
            out.extend_from_slice(&[0, k0, k1, s0, s1, extended, 0, dnssec_ok, 0, 0, 0]);
            counts[2] += 1;
        }
        // The operation is 0, and RD is the client's.
        out[2] = 0x80 | u8::from(verdict.authoritative) << 2 | u8::from(truncated) << 1 | out[2] & 1;
        out[3] = u8::from(verdict.recursion_available) << 7 | code.to_be_bytes()[1] & 0x0f;
        for (at, count) in [(6, counts[0]), (8, counts[1]), (10, counts[2])] {
            out[at..at + 2].copy_from_slice(&count.to_be_bytes());
        }
    }
}

fn pointer(at: usize) -> [u8; 2] {
    // `record` refuses owners out of reach, and everything else points at the question.
    (0xc000 | u16::try_from(at).unwrap_or_default()).to_be_bytes()
}
