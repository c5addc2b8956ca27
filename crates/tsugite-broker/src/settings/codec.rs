//! Settings as bytes, in records and snapshots.

use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::names::Scope;

use super::{
    DeduplicationScope, Fifo, QueueSettings, RedriveAllowPolicy, RedrivePermission, RedrivePolicy,
    ThroughputLimit,
};
use crate::keys::{QueueKey, TopicKey};

const WHAT: &str = "queue settings";

impl QueueSettings {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for n in [
            self.delay,
            self.max_size,
            self.retention,
            self.wait,
            self.visibility,
        ] {
            out.put_u32(n);
        }
        out.put_u8(u8::from(self.managed_sse));
        out.put_option(self.redrive.as_ref(), |out, p| {
            out.put_str(&p.text);
            put_queue(out, &p.target);
            out.put_u32(p.max_receives);
        });
        out.put_option(self.redrive_allow.as_ref(), |out, p| {
            out.put_str(&p.text);
            match &p.permission {
                RedrivePermission::All => out.put_u8(0),
                RedrivePermission::Nobody => out.put_u8(1),
                RedrivePermission::Queues(queues) => {
                    out.put_u8(2);
                    out.put_u16(queues.len() as u16);
                    queues.iter().for_each(|q| put_queue(out, q));
                }
            }
        });
        out.put_option(self.policy.as_deref(), |out, text| out.put_str(text));
        out.put_option(self.kms_key.as_deref(), |out, key| out.put_str(key));
        out.put_option(self.kms_reuse, |out, seconds| out.put_u32(seconds));
        out.put_option(self.fifo, |out, fifo| {
            out.put_u8(u8::from(fifo.content_based));
            out.put_u8(u8::from(fifo.scope == DeduplicationScope::MessageGroup));
            out.put_u8(u8::from(fifo.enforced == DeduplicationScope::MessageGroup));
            out.put_u8(u8::from(fifo.throughput == ThroughputLimit::PerMessageGroupId));
        });
    }

    pub(crate) fn decode(get: &mut Get<'_>) -> Result<QueueSettings, Malformed> {
        Ok(QueueSettings {
            delay: get.u32(WHAT)?,
            max_size: get.u32(WHAT)?,
            retention: get.u32(WHAT)?,
            wait: get.u32(WHAT)?,
            visibility: get.u32(WHAT)?,
            managed_sse: get.u8(WHAT)? != 0,
            redrive: get.option(WHAT, |get| {
                Ok(RedrivePolicy {
                    text: get.str(WHAT)?.to_owned(),
                    target: get_queue(get)?,
                    max_receives: get.u32(WHAT)?,
                })
            })?,
            redrive_allow: get.option(WHAT, |get| {
                let text = get.str(WHAT)?.to_owned();
                let permission = match get.u8(WHAT)? {
                    0 => RedrivePermission::All,
                    1 => RedrivePermission::Nobody,
                    2 => {
                        let n = get.u16(WHAT)?;
                        RedrivePermission::Queues((0..n).map(|_| get_queue(get)).collect::<Result<_, _>>()?)
                    }
                    _ => return Err(Malformed { what: WHAT }),
                };
                Ok(RedriveAllowPolicy { text, permission })
            })?,
            policy: get.option(WHAT, |get| Ok(get.str(WHAT)?.to_owned()))?,
            kms_key: get.option(WHAT, |get| Ok(get.str(WHAT)?.to_owned()))?,
            kms_reuse: get.option(WHAT, |get| get.u32(WHAT))?,
            fifo: get.option(WHAT, |get| {
                Ok(Fifo {
                    content_based: get.u8(WHAT)? != 0,
                    scope: get_dedup_scope(get)?,
                    enforced: get_dedup_scope(get)?,
                    throughput: match get.u8(WHAT)? {
                        0 => ThroughputLimit::PerQueue,
                        _ => ThroughputLimit::PerMessageGroupId,
                    },
                })
            })?,
        })
    }
}

fn get_dedup_scope(get: &mut Get<'_>) -> Result<DeduplicationScope, Malformed> {
    Ok(match get.u8(WHAT)? {
        0 => DeduplicationScope::Queue,
        _ => DeduplicationScope::MessageGroup,
    })
}

pub(crate) fn put_queue(out: &mut Vec<u8>, key: &QueueKey) {
    put_scope(out, &key.scope);
    out.put_str(&key.name);
}

pub(crate) fn get_queue(get: &mut Get<'_>) -> Result<QueueKey, Malformed> {
    Ok(QueueKey::new(get_scope(get)?, get.str("queue name")?))
}

pub(crate) fn put_scope(out: &mut Vec<u8>, scope: &Scope) {
    out.put_str(&scope.account);
    out.put_str(&scope.region);
}

pub(crate) fn get_scope(get: &mut Get<'_>) -> Result<Scope, Malformed> {
    Ok(Scope {
        account: get.str("account")?.to_owned(),
        region: get.str("region")?.to_owned(),
    })
}

pub(crate) fn put_topic(out: &mut Vec<u8>, topic: &TopicKey) {
    put_scope(out, &topic.scope);
    out.put_str(&topic.name);
}

pub(crate) fn get_topic(get: &mut Get<'_>) -> Result<TopicKey, Malformed> {
    Ok(TopicKey::new(get_scope(get)?, get.str("topic name")?))
}
