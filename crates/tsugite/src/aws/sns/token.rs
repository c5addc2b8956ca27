//! Tokens that confirm subscriptions: the region and 256 random bits, in hexadecimal. AWS tells a token of another
//! region from one that it does not know, so a token says where it is from.

use std::fmt::Write as _;

use tsugite_base::World;

/// A token that only the endpoint gets to know, for a subscription in `region`.
pub(super) fn new(world: &World, region: &str) -> String {
    let mut token = String::with_capacity(128);
    let mut put = |bytes: &[u8]| {
        for byte in bytes {
            // Writing to a text does not fail.
            let _ = write!(token, "{byte:02x}");
        }
    };
    put(&[region.len() as u8]);
    put(region.as_bytes());
    put(&world.uuid().0);
    put(&world.uuid().0);
    token
}

/// The region of a token that was made here.
pub(super) fn region(token: &str) -> Option<String> {
    let byte = |at: usize| u8::from_str_radix(token.get(2 * at..2 * at + 2)?, 16).ok();
    let len = usize::from(byte(0)?);
    let bytes = (1..=len).map(byte).collect::<Option<Vec<u8>>>()?;
    let whole = token.len() == 2 * (1 + len + 32);
    String::from_utf8(bytes).ok().filter(|_| whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_say_where_they_are_from() {
        let (world, _) = crate::world::host();
        let (one, other) = (new(&world, "eu-west-1"), new(&world, "eu-west-1"));
        assert_ne!(one, other);
        assert_eq!(region(&one).as_deref(), Some("eu-west-1"));
        for strange in ["", "randomtoken", "51b2ff3edb475b7d", "日本", &one[2..]] {
            assert_eq!(region(strange), None, "{strange}");
        }
    }
}
