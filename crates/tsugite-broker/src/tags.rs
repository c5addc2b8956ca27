//! Tags and permissions of queues, and which queues send their dead letters to one.

use std::collections::BTreeMap;

use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::{Decision, Invalid, Now, limits};

use crate::broker::Broker;
use crate::command::{AddPermission, DeadLetterSources, QueueNames, RemovePermission, TagQueue, UntagQueue};
use crate::error::{PermissionError, PolicyOverCap, QueueNotFound, TagError};
use crate::keys::{QueueId, QueueKey};
use crate::record::{Change, Record};
use crate::settings::policy::{self, AddError};

/// The tags of all queues that have some.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tags(BTreeMap<QueueId, BTreeMap<String, String>>);

const WHAT: &str = "tags of queues";

impl Tags {
    fn of(&self, queue: QueueId) -> Option<&BTreeMap<String, String>> {
        self.0.get(&queue)
    }

    pub(crate) fn change(&mut self, queue: QueueId, set: Vec<(String, String)>, removed: &[String]) {
        let tags = self.0.entry(queue).or_default();
        tags.extend(set);
        tags.retain(|key, _| !removed.contains(key));
        if tags.is_empty() {
            self.0.remove(&queue);
        }
    }

    pub(crate) fn forget(&mut self, queue: QueueId) {
        self.0.remove(&queue);
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(self.0.len() as u32);
        for (queue, tags) in &self.0 {
            out.put_u32(queue.0);
            out.put_u32(tags.len() as u32);
            for (key, value) in tags {
                out.put_str(key);
                out.put_str(value);
            }
        }
    }

    pub(crate) fn decode(get: &mut Get<'_>) -> Result<Tags, Malformed> {
        let mut read = Tags::default();
        for _ in 0..get.u32(WHAT)? {
            let queue = QueueId(get.u32(WHAT)?);
            let tags = read.0.entry(queue).or_default();
            for _ in 0..get.u32(WHAT)? {
                let key = get.str(WHAT)?.to_owned();
                tags.insert(key, get.str(WHAT)?.to_owned());
            }
        }
        Ok(read)
    }
}

impl Broker {
    /// Gives a queue tags; one of a key that it has is overwritten.
    pub fn tag_queue(&self, command: TagQueue, now: Now) -> Result<Decision<Record, ()>, TagError> {
        let (queue, _) = self.find(&command.queue)?;
        check_tags(&command.tags)?;
        let has = self.tags.of(queue);
        let new = command
            .tags
            .iter()
            .filter(|(key, _)| !has.is_some_and(|has| has.contains_key(key)));
        let mut new: Vec<&str> = new.map(|(key, _)| key.as_str()).collect();
        new.sort_unstable();
        new.dedup();
        check_count(&command.queue, has.map_or(0, BTreeMap::len) + new.len())?;
        let (set, removed) = (command.tags, Vec::new());
        Ok(self.decided(Change::TagQueue { queue, set, removed }, (), now))
    }

    /// Takes tags from a queue; keys that it has not are ignored.
    pub fn untag_queue(&self, command: UntagQueue, now: Now) -> Result<Decision<Record, ()>, QueueNotFound> {
        let (queue, _) = self.find(&command.queue)?;
        let (set, removed) = (Vec::new(), command.keys);
        Ok(self.decided(Change::TagQueue { queue, set, removed }, (), now))
    }

    /// The tags of a queue, by key.
    pub fn queue_tags(&self, key: &QueueKey) -> Result<Vec<(String, String)>, QueueNotFound> {
        let (queue, _) = self.find(key)?;
        let tags = self.tags.of(queue).into_iter().flatten();
        Ok(tags.map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    /// Adds a statement to a queue's policy.
    pub fn add_permission(
        &self,
        command: &AddPermission,
        now: Now,
    ) -> Result<Decision<Record, ()>, PermissionError> {
        let (_, queue) = self.find(&command.queue)?;
        let old = queue.settings.policy.as_deref();
        let arn = command.queue.arn();
        let text = policy::add(
            &policy::SQS,
            old,
            &arn,
            &command.label,
            &command.accounts,
            &command.actions,
        );
        let text = text.map_err(|e| match e {
            AddError::Invalid(invalid) => PermissionError::Invalid(invalid),
            AddError::OverCap(cap) => PolicyOverCap { cap }.into(),
        })?;
        self.set_policy(&command.queue, Some(text), now)
    }

    /// Takes a statement out of a queue's policy.
    pub fn remove_permission(
        &self,
        command: &RemovePermission,
        now: Now,
    ) -> Result<Decision<Record, ()>, PermissionError> {
        let (_, queue) = self.find(&command.queue)?;
        let text = policy::remove(queue.settings.policy.as_deref(), &command.label)?;
        self.set_policy(&command.queue, text, now)
    }

    fn set_policy(
        &self,
        key: &QueueKey,
        policy: Option<String>,
        now: Now,
    ) -> Result<Decision<Record, ()>, PermissionError> {
        let (id, queue) = self.find(key)?;
        let mut settings = Box::new(queue.settings.clone());
        settings.policy = policy;
        let change = Change::SetQueueAttributes {
            queue: id,
            changed: now.wall,
            settings,
        };
        Ok(self.decided(change, (), now))
    }

    /// One page of the queues whose dead letters go to this one.
    pub fn dead_letter_sources(&self, query: &DeadLetterSources) -> Result<QueueNames, QueueNotFound> {
        self.find(&query.queue)?;
        let all = self.names.get(&query.queue.scope).into_iter().flatten();
        let is_source = |id: &QueueId| {
            let policy = self.queues.get(id).and_then(|q| q.settings.redrive.as_ref());
            policy.is_some_and(|policy| policy.target == query.queue)
        };
        let after = |name: &String| query.after.as_ref().is_none_or(|after| name > after);
        let mut found = all
            .filter(|(name, id)| after(name) && is_source(id))
            .map(|(name, _)| name);
        let names: Vec<String> = found.by_ref().take(query.limit).cloned().collect();
        let next = found.next().and(names.last().cloned());
        Ok(QueueNames { names, next })
    }
}

/// Checks the tags of a new queue.
pub(crate) fn check_new_tags(queue: &QueueKey, tags: &[(String, String)]) -> Result<(), Invalid> {
    check_tags(tags)?;
    let mut keys: Vec<&str> = tags.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    check_count(queue, keys.len())
}

fn check_count(queue: &QueueKey, count: usize) -> Result<(), Invalid> {
    if count <= limits::QUEUE_TAGS {
        return Ok(());
    }
    let rule = format!(
        "the queue {} can have {} tags, and this would make {count}",
        queue.name,
        limits::QUEUE_TAGS
    );
    Err(Invalid::new("Tags", count, rule))
}

fn check_tags(tags: &[(String, String)]) -> Result<(), Invalid> {
    let known = |c: char| c.is_alphanumeric() || c.is_whitespace() || "_.:/=+-@".contains(c);
    let fits = |text: &str, most: usize| text.chars().count() <= most && text.chars().all(known);
    for (key, value) in tags {
        if key.is_empty() || !fits(key, limits::TAG_KEY_CHARS) {
            let rule = "must be 1 to 128 letters, digits, spaces or any of _ . : / = + - @";
            return Err(Invalid::new("Tag.Key", key, rule));
        }
        if key.to_ascii_lowercase().starts_with("aws:") {
            return Err(Invalid::new("Tag.Key", key, "the prefix aws: is reserved"));
        }
        if !fits(value, limits::TAG_VALUE_CHARS) {
            let rule = "must be at most 256 letters, digits, spaces or any of _ . : / = + - @";
            return Err(Invalid::new("Tag.Value", value, rule));
        }
    }
    Ok(())
}
