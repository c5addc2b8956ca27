//! What a client may believe of the registry, from replies alone. Of queues the checker of histories knows more.

use std::collections::BTreeMap;

/// The notes.
#[derive(Debug, Default)]
pub(crate) struct Notebook {
    /// Instance to the versions that it may have; 0 is absent. The first is what was acknowledged.
    instances: BTreeMap<String, Vec<u32>>,
}

impl Notebook {
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
