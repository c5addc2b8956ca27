//! Passing a query for somebody else's name on, and the answer back.
//!
//! What protects against forged answers: a random id, the random case of the question (DNS 0x20), and the port, which
//! is the shell's affair.

use tsugite_base::rng::SplitMix64;

use super::query::{HEADER, Query};
use super::{Code, UDP_SIZE, kind};

/// What an answer is to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The answer to our question.
    Answer,
    /// It was cut, or the case of the question was not kept: to be asked again over TCP.
    AskOverTcp,
    /// Not an answer to our question: keep listening.
    Noise,
}

/// The query to send to the other server: recursive, under that id, its case drawn from `random`.
pub fn question(query: &Query<'_>, id: u16, random: &mut SplitMix64) -> Vec<u8> {
    let checking_disabled = query.message()[3] & 0x10;
    let mut out = Vec::with_capacity(HEADER + query.question().len() + 11);
    out.extend_from_slice(&id.to_be_bytes());
    out.extend_from_slice(&[1, checking_disabled, 0, 1, 0, 0, 0, 0, 0, 0]);
    out.extend_from_slice(query.name());
    let mut coins = 0;
    for (at, byte) in out[HEADER..].iter_mut().enumerate() {
        if at % 64 == 0 {
            coins = random.next_u64();
        }
        // Length bytes are no letters.
        if byte.is_ascii_lowercase() && coins >> (at % 64) & 1 == 1 {
            byte.make_ascii_uppercase();
        }
    }
    out.extend_from_slice(&query.question()[query.name().len()..]);
    opt(&mut out, query);
    out
}

/// An OPT record, if the client sent one.
fn opt(out: &mut Vec<u8>, query: &Query<'_>) {
    let Some(edns) = query.edns else { return };
    let [[k0, k1], [s0, s1]] = [kind::OPT.to_be_bytes(), UDP_SIZE.to_be_bytes()];
    let dnssec_ok = u8::from(edns.dnssec_ok) << 7;
    out.extend_from_slice(&[0, k0, k1, s0, s1, 0, 0, dnssec_ok, 0, 0, 0]);
    out[11] = 1;
}

/// What `heard` is to whoever sent `sent`, which [`question`] made for `query`.
pub fn judge(query: &Query<'_>, sent: &[u8], heard: &[u8], over_tcp: bool) -> Heard {
    let end = HEADER + query.question().len();
    let (Some(asked), Some(answered)) = (sent.get(HEADER..end), heard.get(HEADER..end)) else {
        return Heard::Noise;
    };
    let is_answer = heard[2] & 0xf8 == 0x80 && heard[4..6] == [0, 1];
    if heard[..2] != sent[..2] || !is_answer || !asked.eq_ignore_ascii_case(answered) {
        return Heard::Noise;
    }
    if !over_tcp && (asked != answered || heard[2] & 2 != 0) {
        return Heard::AskOverTcp;
    }
    Heard::Answer
}

/// Makes the other server's answer ours: the client's id and case, not authoritative, at most `limit` bytes.
pub fn deliver(query: &Query<'_>, answer: &mut Vec<u8>, limit: usize) {
    let end = HEADER + query.question().len();
    answer[..2].copy_from_slice(&query.message()[..2]);
    answer[HEADER..end].copy_from_slice(query.question());
    answer[2] = 0x80 | answer[2] & 2 | u8::from(query.recursion_desired());
    answer[3] = 0x80 | answer[3] & 0x3f;
    if answer.len() > limit {
        answer.truncate(end);
        answer[2] |= 2;
        answer[6..HEADER].fill(0);
        opt(answer, query);
    }
}

/// Turns an answer into an empty one that says to come back over TCP.
pub fn slip(answer: &mut Vec<u8>, query: &[u8]) {
    let Ok(query) = Query::parse(query) else {
        // There was no question to be asked again.
        answer.truncate(HEADER);
        return;
    };
    answer.truncate(HEADER + query.question().len());
    answer[2] |= 2;
    let [_, ok] = Code::NoError.number().to_be_bytes();
    answer[3] = answer[3] & 0xf0 | ok;
    answer[6..HEADER].fill(0);
    opt(answer, &query);
}
