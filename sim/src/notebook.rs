//! What a client may believe, from replies alone.

use std::collections::BTreeMap;

/// A message as a client knows it: the queue that it was meant for, and its text.
pub(crate) type Known = (String, String);

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Sent; no reply yet, or none ever.
    Perhaps,
    /// Acknowledged or seen: it is there.
    There,
    /// A delete was given; no reply yet, or none ever.
    PerhapsGone,
    /// A delete was acknowledged: it is gone.
    Gone,
}

/// The notes.
#[derive(Debug, Default)]
pub(crate) struct Notebook {
    messages: BTreeMap<Known, Fate>,
    /// Instance to the versions that it may have; 0 is absent. The first is what was acknowledged.
    instances: BTreeMap<String, Vec<u32>>,
}

impl Notebook {
    pub(crate) fn sending(&mut self, message: Known) {
        self.messages.insert(message, Fate::Perhaps);
    }

    pub(crate) fn sent(&mut self, message: &Known) {
        if let Some(fate @ Fate::Perhaps) = self.messages.get_mut(message) {
            *fate = Fate::There;
        }
    }

    pub(crate) fn deleting(&mut self, message: &Known) {
        if let Some(fate) = self.messages.get_mut(message) {
            *fate = Fate::PerhapsGone;
        }
    }

    pub(crate) fn deleted(&mut self, message: &Known) {
        if let Some(fate) = self.messages.get_mut(message) {
            *fate = Fate::Gone;
        }
    }

    /// A message was delivered.
    pub(crate) fn seen(&mut self, message: &Known) -> Result<(), String> {
        match self.messages.get_mut(message) {
            None => Err(format!("{message:?} was delivered and never sent")),
            Some(Fate::Gone) => Err(format!(
                "{message:?} was delivered after its deletion was acknowledged"
            )),
            // While its deletion is under way a delivery decided before it may still arrive.
            Some(Fate::PerhapsGone) => Ok(()),
            Some(fate) => {
                *fate = Fate::There;
                Ok(())
            }
        }
    }

    /// After a crash a message that is delivered was not deleted: the reply will never come.
    pub(crate) fn crashed(&mut self) {
        for fate in self.messages.values_mut() {
            if *fate == Fate::PerhapsGone {
                *fate = Fate::Perhaps;
            }
        }
    }

    /// A message that must be there and was not delivered although everything was.
    pub(crate) fn lost(&self) -> Option<&Known> {
        let there = self.messages.iter().find(|(_, fate)| **fate == Fate::There);
        there.map(|(message, _)| message)
    }

    pub(crate) fn putting(&mut self, instance: &str, version: u32) {
        self.versions(instance).push(version);
    }

    pub(crate) fn put(&mut self, instance: &str, version: u32) {
        let versions = self.versions(instance);
        // Replies come in order: what was possible before this one is not any more.
        if let Some(at) = versions.iter().position(|&v| v == version) {
            versions.drain(..at);
        }
    }

    fn versions(&mut self, instance: &str) -> &mut Vec<u32> {
        self.instances
            .entry(instance.to_owned())
            .or_insert_with(|| vec![0])
    }

    pub(crate) fn instances(&self) -> impl Iterator<Item = &String> {
        self.instances.keys()
    }

    /// After a restart an instance was found in this version.
    pub(crate) fn found(&mut self, instance: &str, version: u32) -> Result<(), String> {
        let versions = self.versions(instance);
        if !versions.contains(&version) {
            return Err(format!(
                "instance {instance} has version {version}, acknowledged or possible are {versions:?}"
            ));
        }
        *versions = vec![version];
        Ok(())
    }
}
