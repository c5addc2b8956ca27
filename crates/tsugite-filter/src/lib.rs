//! stub
#![allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Scope {
    #[default]
    MessageAttributes,
    MessageBody,
}
#[derive(Clone, Debug)]
pub struct Policy;
#[derive(Debug)]
pub struct PolicyError {
    pub message: String,
}
impl Policy {
    pub fn parse(_t: &str, _s: Scope, _e: bool) -> Result<Policy, PolicyError> {
        Ok(Policy)
    }
    pub fn explain(&self, _m: &Message<'_>) -> Vec<String> {
        vec![]
    }
}
pub struct Message<'a>(&'a str);
pub struct Attribute<'a> {
    pub name: &'a str,
    pub data_type: &'a str,
    pub text: Option<&'a str>,
}
impl<'a> Message<'a> {
    pub fn new(_a: impl Iterator<Item = Attribute<'a>>, b: Option<&'a str>) -> Message<'a> {
        Message(b.unwrap_or(""))
    }
}
#[derive(Clone, Debug)]
pub struct Index<K>(std::collections::BTreeSet<K>);
impl<K: Copy + Ord> Default for Index<K> {
    fn default() -> Self {
        Index(Default::default())
    }
}
impl<K: Copy + Ord> Index<K> {
    pub fn insert(&mut self, k: K, _p: &Policy) {
        self.0.insert(k);
    }
    pub fn remove(&mut self, k: K) {
        self.0.remove(&k);
    }
    pub fn len(&self) -> usize {
        self.0.len()
    }
    pub fn matching(&self, _m: &Message<'_>, out: &mut Vec<K>) {
        out.extend(&self.0)
    }
}
