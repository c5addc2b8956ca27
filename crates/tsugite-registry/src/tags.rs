//! Tags of namespaces and services, and attributes of services: pairs of text that say something of the whole.

use tsugite_base::{Decision, Invalid};

use crate::command::{ChangeServiceAttributes, ChangeTags};
use crate::error::{
    ResourceNotFound, ServiceAttributesError, ServiceAttributesLimitExceeded, ServiceNotFound, TagError,
    TooManyTags,
};
use crate::model::{Attributes, Resource, ServiceId, Tags};
use crate::record::Record;
use crate::registry::Registry;
use crate::validate;

/// Tags of one resource.
const TAGS: usize = 50;
/// Attributes of one service.
const SERVICE_ATTRIBUTES: usize = 30;

impl Registry {
    /// Sets and removes tags.
    pub fn change_tags(&self, cmd: ChangeTags) -> Result<Decision<Record, ()>, TagError> {
        validate::tags(&cmd.set)?;
        validate::tag_keys(&cmd.remove)?;
        let tags = self.tags(cmd.resource)?;
        let Some(count) = effect(tags, &cmd.set, &cmd.remove) else {
            return Ok(Decision::unchanged(()));
        };
        check_count(cmd.resource, count)?;
        let record = Record::TagsChanged {
            resource: cmd.resource,
            set: cmd.set,
            removed: cmd.remove,
        };
        Ok(Decision::record(vec![record], ()))
    }

    /// The tags of a namespace or a service.
    pub fn tags(&self, resource: Resource) -> Result<&Tags, ResourceNotFound> {
        let tags = match resource {
            Resource::Namespace(id) => self.namespaces.get(&id).map(|state| &state.tags),
            Resource::Service(id) => self.services.get(&id).map(|state| &state.tags),
        };
        tags.ok_or(ResourceNotFound { resource })
    }

    pub(crate) fn tags_mut(&mut self, resource: Resource) -> Option<&mut Tags> {
        match resource {
            Resource::Namespace(id) => self.namespaces.get_mut(&id).map(|state| &mut state.tags),
            Resource::Service(id) => self.services.get_mut(&id).map(|state| &mut state.tags),
        }
    }

    /// Sets and removes attributes of a service.
    pub fn change_service_attributes(
        &self,
        cmd: ChangeServiceAttributes,
    ) -> Result<Decision<Record, ()>, ServiceAttributesError> {
        let attributes = &self.service_state(cmd.id)?.attributes;
        if cmd.remove.len() > SERVICE_ATTRIBUTES {
            let rule = "must be at most 30 keys";
            return Err(Invalid::new("Attributes", cmd.remove.len(), rule).into());
        }
        validate::service_attributes(&cmd.set)?;
        let Some(count) = effect(attributes, &cmd.set, &cmd.remove) else {
            return Ok(Decision::unchanged(()));
        };
        if count > SERVICE_ATTRIBUTES && !cmd.set.is_empty() {
            return Err(ServiceAttributesLimitExceeded {
                service: cmd.id,
                count,
                limit: SERVICE_ATTRIBUTES,
            }
            .into());
        }
        let record = Record::ServiceAttributesChanged {
            id: cmd.id,
            set: cmd.set,
            removed: cmd.remove,
        };
        Ok(Decision::record(vec![record], ()))
    }

    /// The attributes of a service.
    pub fn service_attributes(&self, id: ServiceId) -> Result<&Attributes, ServiceNotFound> {
        self.service_state(id).map(|state| &state.attributes)
    }
}

/// The record that tags something new; none if there is nothing to say.
pub(crate) fn first_tags(resource: Resource, tags: Tags) -> Result<Option<Record>, TooManyTags> {
    check_count(resource, tags.len())?;
    Ok((!tags.is_empty()).then_some(Record::TagsChanged {
        resource,
        set: tags,
        removed: Vec::new(),
    }))
}

fn check_count(resource: Resource, count: usize) -> Result<(), TooManyTags> {
    if count <= TAGS {
        return Ok(());
    }
    Err(TooManyTags {
        resource,
        count,
        limit: TAGS,
    })
}

/// How many pairs there are after the change; `None` if it changes nothing.
fn effect(pairs: &Attributes, set: &Attributes, removed: &[String]) -> Option<usize> {
    let gone = removed.iter().any(|key| pairs.contains_key(key));
    let news = set.iter().any(|(key, value)| pairs.get(key) != Some(value));
    if !gone && !news {
        return None;
    }
    let stays = pairs
        .keys()
        .filter(|key| !removed.contains(key) && !set.contains_key(*key));
    Some(stays.count() + set.len())
}

/// Makes the change.
pub(crate) fn change(pairs: &mut Attributes, set: Attributes, removed: &[String]) {
    for key in removed {
        pairs.remove(key);
    }
    pairs.extend(set);
}
