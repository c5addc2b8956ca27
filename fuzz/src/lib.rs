//! Fuzz targets: one module per codec, each a test that `BOLERO_RANDOM_TEST_TIME_MS` gives its time.
//!
//! `cargo xtask fuzz --seconds 60` runs all of them on stable Rust. Random bytes rarely get past the first check of
//! a format, so that most targets damage valid input: [`damage`] edits a few bytes of an example.
#![cfg(test)]

mod aws_auth;
mod aws_cbor;
mod aws_json;
mod aws_query;
mod broker_records;
mod dns;
mod filter;
mod grpc;
mod log_frames;
mod registry_records;
mod routes;

/// A few edits of an example: where, and what to put there. Beyond the end means appended.
type Edits = Vec<(u16, Edit)>;

/// One edit.
#[derive(Debug, Clone, Copy, bolero::TypeGenerator)]
enum Edit {
    Set(u8),
    Insert(u8),
    Remove,
    Truncate,
    /// Four bytes, most significant first: lengths and counts.
    Number(u32),
}

/// `example` with `edits` made in order.
fn damage(example: &[u8], edits: &Edits) -> Vec<u8> {
    let mut bytes = example.to_vec();
    for (at, edit) in edits.iter().take(8) {
        let at = usize::from(*at) % (bytes.len() + 1);
        match edit {
            Edit::Set(byte) => bytes.iter_mut().skip(at).take(1).for_each(|old| *old = *byte),
            Edit::Insert(byte) => bytes.insert(at, *byte),
            Edit::Remove if at < bytes.len() => drop(bytes.remove(at)),
            Edit::Remove => {}
            Edit::Truncate => bytes.truncate(at),
            Edit::Number(number) => {
                let places = bytes.iter_mut().skip(at);
                places.zip(number.to_be_bytes()).for_each(|(old, new)| *old = new);
            }
        }
    }
    bytes
}
