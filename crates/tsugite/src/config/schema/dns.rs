//! The keys of the DNS port.

use serde_json::{Value, json};
use tsugite_discovery::dns::{PLAIN_UDP_SIZE, UDP_SIZE};

use super::{Keys, default, duration, integer, list, object, string};
use crate::config::dns::{MAX_ANSWERS_MOST, RATE, RATE_MOST, SLIP, UDP_SIZE_MOST};

pub(super) fn dns() -> Keys {
    let rate_limit = vec![
        (
            "answers",
            from_zero(
                "Answers of one kind that a network gets in a second; 0: any number.",
                RATE,
            ),
        ),
        (
            "slip",
            from_zero(
                "Of those above, every so-manyth says to come back over TCP; 0: none.",
                SLIP,
            ),
        ),
        (
            "exempt",
            list(
                "Networks without a limit; loopback by default.",
                string("A network, like 10.0.0.0/8."),
            ),
        ),
    ];
    vec![
        (
            "ttl",
            default(duration("How long an answer may be kept; whole seconds."), "1s"),
        ),
        (
            "max_answers",
            default(integer("Instances in one answer, at most.", MAX_ANSWERS_MOST), 8),
        ),
        (
            "udp_size",
            json!({
                "description": "Bytes of an answer over UDP, at most.", "type": "integer",
                "minimum": PLAIN_UDP_SIZE, "maximum": UDP_SIZE_MOST, "default": UDP_SIZE
            }),
        ),
        (
            "forward",
            list(
                "Servers that are asked for names that are not ours; without any, such names are refused.",
                string("An IP address, with a port if it is not 53."),
            ),
        ),
        (
            "rate_limit",
            object("Answers over UDP that one network gets.", &[], rate_limit),
        ),
    ]
}

fn from_zero(about: &str, value: u32) -> Value {
    json!({ "description": about, "type": "integer", "minimum": 0, "maximum": RATE_MOST, "default": value })
}
