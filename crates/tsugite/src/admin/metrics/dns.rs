//! What `/metrics` says of the DNS port.

use super::Page;
use crate::dns::stats::{CODES, Reading};

pub(super) fn text(page: &mut Page, read: &Reading) {
    let name = "tsugite_dns_answers_total";
    page.family(name, "counter", "Answers by response code.");
    for (code, count) in CODES.iter().zip(read.answers) {
        page.sample(name, &[("code", code)], count);
    }
    for (name, help, count) in [
        (
            "tsugite_dns_truncated_total",
            "Answers that said to come back over TCP.",
            read.truncated,
        ),
        (
            "tsugite_dns_withheld_total",
            "Answers that the rate limit kept back.",
            read.withheld,
        ),
        (
            "tsugite_dns_forwarded_total",
            "Queries that were passed on to other servers.",
            read.forwarded,
        ),
        (
            "tsugite_dns_tcp_queries_total",
            "Queries over TCP.",
            read.over_tcp,
        ),
    ] {
        page.single(name, "counter", help, count);
    }
}
