//! The attributes of an instance as they are kept: a million instances have them, so they are one text each.

use std::fmt;
use std::sync::Arc;

use crate::model::Attributes;

/// Attributes in one allocation that is shared by all who show them: for each its key and its value, sorted by key, each
/// as its length in bytes, a colon, and the text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Packed(Arc<str>);

impl Packed {
    /// The value of that key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter()
            .find(|(known, _)| *known == key)
            .map(|(_, value)| value)
    }

    /// Keys with their values, sorted by key.
    pub fn iter(&self) -> Pairs<'_> {
        Pairs { rest: &self.0 }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&Attributes> for Packed {
    fn from(attributes: &Attributes) -> Packed {
        let mut text = String::with_capacity(
            attributes
                .iter()
                .map(|(key, value)| key.len() + value.len() + 6)
                .sum(),
        );
        for part in attributes.iter().flat_map(|(key, value)| [key, value]) {
            text.push_str(&part.len().to_string());
            text.push(':');
            text.push_str(part);
        }
        Packed(text.into())
    }
}

impl From<Attributes> for Packed {
    fn from(attributes: Attributes) -> Packed {
        Packed::from(&attributes)
    }
}

impl PartialEq<Attributes> for Packed {
    fn eq(&self, other: &Attributes) -> bool {
        let other = other.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        self.iter().eq(other)
    }
}

impl<'a> IntoIterator for &'a Packed {
    type Item = (&'a str, &'a str);
    type IntoIter = Pairs<'a>;

    fn into_iter(self) -> Pairs<'a> {
        self.iter()
    }
}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

/// Goes through attributes.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a str,
}

impl<'a> Pairs<'a> {
    fn part(&mut self) -> Option<&'a str> {
        let mut length = 0;
        for (at, byte) in self.rest.bytes().enumerate() {
            match byte {
                b'0'..=b'9' => length = length * 10 + usize::from(byte - b'0'),
                _ => {
                    let (part, rest) = self.rest.get(at + 1..)?.split_at_checked(length)?;
                    self.rest = rest;
                    return Some(part);
                }
            }
        }
        None
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        Some((self.part()?, self.part()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn nothing_is_lost(attributes in proptest::collection::btree_map(any::<String>(), any::<String>(), 0..8)) {
            let packed = Packed::from(&attributes);
            prop_assert_eq!(&packed, &attributes);
            prop_assert_eq!((packed.len(), packed.is_empty()), (attributes.len(), attributes.is_empty()));
            for (key, value) in &attributes {
                prop_assert_eq!(packed.get(key), Some(value.as_str()));
            }
            let back: Attributes = packed.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            prop_assert_eq!(back, attributes);
        }
    }

    #[test]
    fn what_looks_like_a_length_is_none() {
        let attributes = Attributes::from([("3:a".into(), "5:".into()), ("é".into(), String::new())]);
        let packed = Packed::from(attributes.clone());
        assert_eq!(packed, attributes);
        assert_eq!(packed.get("a"), None);
        assert_eq!(format!("{packed:?}"), r#"{"3:a": "5:", "é": ""}"#);
    }
}
