//! Policies and messages of a shop: what subscriptions of one large topic look like.

use tsugite_filter::{Attribute, Message, Policy, Scope};

/// Which policies a topic has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mix {
    /// Every kind of rule, most with another key beside.
    Realistic,
    /// The same text for all.
    Same,
    /// A key that all share and one of their own.
    RareSecond,
    /// Narrow ranges with a common event.
    Ranges,
    /// What nearly every message satisfies, each a little different.
    AnythingBut,
    /// From a number upwards.
    HalfOpen,
}

/// A generator of numbers (xorshift): the same ones every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) as usize % limit
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }
}

const EVENTS: [&str; 20] = [
    "order_placed",
    "order_paid",
    "order_packed",
    "order_shipped",
    "order_delivered",
    "order_returned",
    "order_cancelled",
    "cart_changed",
    "cart_abandoned",
    "user_created",
    "user_changed",
    "user_deleted",
    "invoice_sent",
    "invoice_paid",
    "refund_made",
    "stock_low",
    "stock_changed",
    "price_changed",
    "review_written",
    "heartbeat",
];
const REGIONS: [&str; 8] = [
    "eu-north", "eu-west", "eu-south", "us-east", "us-west", "ap-north", "ap-south", "sa-east",
];
const CUSTOMERS: usize = 5000;
const TENANTS: usize = 500;

/// A message, kept as it would arrive.
pub(crate) struct Published {
    attributes: Vec<(&'static str, &'static str, String)>,
    body: String,
}

impl Published {
    /// As the broker reads it, with the body if a policy looks at one.
    pub(crate) fn read(&self, body: bool) -> Message<'_> {
        let attributes = self.attributes.iter().map(|(name, data_type, text)| Attribute {
            name,
            data_type,
            text: Some(text),
        });
        Message::new(attributes, body.then_some(&self.body))
    }
}

pub(crate) fn messages(count: usize) -> Vec<Published> {
    let mut numbers = Numbers(0x5eed_0001);
    (0..count).map(|_| message(&mut numbers)).collect()
}

fn message(numbers: &mut Numbers) -> Published {
    let customer = numbers.below(CUSTOMERS);
    let tenant = numbers.below(TENANTS);
    let event = numbers.pick(&EVENTS);
    let mut attributes = vec![
        ("event", "String", event.to_owned()),
        ("customer", "String", format!("customer-{customer}")),
        ("tenant", "String", format!("tenant-{tenant}")),
        ("region", "String", numbers.pick(&REGIONS).to_owned()),
        (
            "price",
            "Number",
            format!("{}.{:02}", numbers.below(10_000), numbers.below(100)),
        ),
        (
            "source",
            "String",
            format!("/shop/{tenant}/{event}/{customer}.json"),
        ),
        (
            "tags",
            "String.Array",
            format!("[\"tag-{}\",\"tag-{}\"]", numbers.below(500), numbers.below(500)),
        ),
    ];
    if numbers.below(10) == 0 {
        attributes.push(("trace", "String", format!("{:x}", numbers.below(usize::MAX))));
    }
    let body = format!(
        "{{\"version\":\"0\",\"time\":\"2026-03-01T12:00:00Z\",\"detail\":{{\"type\":\"{event}\",\
         \"account\":{{\"id\":\"customer-{customer}\",\"vip\":{}}},\"amount\":{},\
         \"items\":[{{\"sku\":\"sku-{}\",\"count\":1}},{{\"sku\":\"sku-{}\",\"count\":2}}]}}}}",
        numbers.below(2) == 0,
        numbers.below(10_000),
        numbers.below(2000),
        numbers.below(2000)
    );
    Published { attributes, body }
}

pub(crate) fn policies(mix: Mix, count: usize) -> Vec<Policy> {
    let mut numbers = Numbers(0x5eed_0002);
    (0..count)
        .map(|number| {
            let (text, scope) = match mix {
                Mix::Realistic => realistic(&mut numbers),
                Mix::Same => (r#"{"event":["order_paid"]}"#.to_owned(), Scope::MessageAttributes),
                Mix::RareSecond => attributes(format!(
                    "\"event\":[{{\"anything-but\":\"heartbeat\"}}],\"customer\":[\"customer-{number}\"]"
                )),
                Mix::Ranges => attributes(ranges(&mut numbers)),
                Mix::AnythingBut => {
                    attributes(format!("\"event\":[{{\"anything-but\":\"event-{number}\"}}]"))
                }
                Mix::HalfOpen => attributes(format!("\"price\":[{{\"numeric\":[\">=\",{number}]}}]")),
            };
            match Policy::parse(&text, scope, false) {
                Ok(policy) => policy,
                Err(error) => panic!("{text}: {error}"),
            }
        })
        .collect()
}

fn attributes(members: String) -> (String, Scope) {
    (format!("{{{members}}}"), Scope::MessageAttributes)
}

fn ranges(numbers: &mut Numbers) -> String {
    let (low, width) = (numbers.below(10_000), 1 + numbers.below(100));
    let event = numbers.pick(&EVENTS);
    format!(
        "\"event\":[\"{event}\"],\"price\":[{{\"numeric\":[\">=\",{low},\"<\",{}.5]}}]",
        low + width
    )
}

/// Of a hundred: 30 exact, 10 beginnings, 15 ranges, 10 anything-but, 10 exists, 10 `$or`, 15 on the body.
fn realistic(numbers: &mut Numbers) -> (String, Scope) {
    let event = numbers.pick(&EVENTS);
    let other = numbers.pick(&EVENTS);
    let customer = numbers.below(CUSTOMERS);
    let tenant = numbers.below(TENANTS);
    let region = numbers.pick(&REGIONS);
    match numbers.below(20) {
        0..=3 => attributes(format!(
            "\"event\":[\"{event}\",\"{other}\"],\"customer\":[\"customer-{customer}\"]"
        )),
        4..=5 => attributes(format!(
            "\"tenant\":[\"tenant-{tenant}\"],\"tags\":[\"tag-{}\"]",
            customer % 500
        )),
        6 => attributes(format!(
            "\"source\":[{{\"prefix\":\"/shop/{tenant}/\"}}],\"event\":[\"{event}\"]"
        )),
        7 => attributes(format!(
            "\"source\":[{{\"suffix\":\"/{customer}.json\"}}],\"region\":[\"{region}\"]"
        )),
        8..=10 => attributes(ranges(numbers)),
        11..=12 => attributes(format!(
            "\"event\":[{{\"anything-but\":[\"{event}\",\"heartbeat\"]}}],\"tenant\":[\"tenant-{tenant}\"]"
        )),
        13 => attributes(format!(
            "\"trace\":[{{\"exists\":true}}],\"tenant\":[\"tenant-{tenant}\"]"
        )),
        14 => attributes(format!(
            "\"trace\":[{{\"exists\":false}}],\"customer\":[\"customer-{customer}\"]"
        )),
        15..=16 => attributes(format!(
            "\"region\":[\"{region}\"],\"$or\":[{{\"customer\":[\"customer-{customer}\"]}},\
             {{\"tenant\":[\"tenant-{tenant}\"],\"event\":[\"{event}\"]}}]"
        )),
        17..=18 => (
            format!(
                "{{\"detail\":{{\"account\":{{\"id\":[\"customer-{customer}\"]}},\"type\":[\"{event}\",\"{other}\"]}}}}"
            ),
            Scope::MessageBody,
        ),
        _ => (
            format!(
                "{{\"detail\":{{\"items\":{{\"sku\":[\"sku-{}\"]}},\"amount\":[{{\"numeric\":[\">\",5000]}}]}}}}",
                customer % 2000
            ),
            Scope::MessageBody,
        ),
    }
}
