//! Leaving: an instance takes nothing new, finishes what it is doing, and goes.
//!
//! That it is leaving is durable. Whoever serves calls watches for [`Registry::leavers`] and says by
//! [`Registry::finish_leaving`] that nobody uses one any more; the end of its drain time removes it in any case. A
//! restart grants the full drain time anew, as it does with leases.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use tsugite_base::{Decision, Now, Timestamp};

use crate::command::{DeregisterInstance, InstanceName, LeaveInstance, Leaver, SetAdminHealth};
use crate::error::{AdminHealthError, InstanceError, NamedError};
use crate::instances::drain_of;
use crate::model::{InstanceKey, OperationId, ServiceId};
use crate::operations::Target;
use crate::record::{Record, Removal};
use crate::registry::{InstanceState, Registry};
use crate::validate;

/// How long a drain may be, in milliseconds.
pub(crate) const DRAIN_MS: RangeInclusive<i64> = 0..=3_600_000;

/// How an instance is leaving.
#[derive(Clone, Debug)]
pub(crate) struct Leaving {
    /// Who waits for the end of it.
    pub(crate) operation: Option<OperationId>,
    /// The drain time.
    pub(crate) drain_ms: u32,
    /// When it is removed in any case (steady).
    pub(crate) until: Timestamp,
}

impl Leaving {
    pub(crate) fn new(operation: Option<OperationId>, drain_ms: u32, from: Timestamp) -> Leaving {
        Leaving {
            operation,
            drain_ms,
            until: from + Duration::from_millis(drain_ms.into()),
        }
    }
}

impl Registry {
    /// Deregisters an instance, at once or after a drain, for which its attribute outranks the command. One that is leaving already goes on as it was, and the reply
    /// is the operation that waits for it.
    pub fn deregister_instance(
        &self,
        cmd: &DeregisterInstance,
        now: Now,
    ) -> Result<Decision<Record, OperationId>, InstanceError> {
        let state = self.instance_state(cmd.service, &cmd.instance)?;
        let own = drain_of(&state.instance.attributes);
        let drain_ms = cmd.drain_ms.map(|given| own.unwrap_or(given));
        let record = match (drain_ms, &state.leaving) {
            (Some(_), Some(leaving)) if leaving.operation.is_some() => {
                return Ok(Decision::unchanged(leaving.operation.unwrap_or(cmd.operation)));
            }
            (None | Some(0), _) => Record::InstanceRemoved {
                service: cmd.service,
                instance: state.instance.id.clone(),
                cause: Removal::Deregistered,
                operation: Some(cmd.operation),
                at: now.wall,
            },
            (Some(drain_ms), _) => leaving_record(cmd.service, state, Some(cmd.operation), drain_ms, now),
        };
        Ok(Decision::record(vec![record], cmd.operation))
    }

    /// Lets an instance leave. One that is leaving already goes on as it was.
    pub fn leave_instance(
        &self,
        cmd: &LeaveInstance,
        now: Now,
    ) -> Result<Decision<Record, InstanceKey>, NamedError> {
        let key = self.find_instance(&cmd.name)?;
        let state = &self.services[&key.service].instances[&key.instance];
        let records = match &state.leaving {
            Some(_) => Vec::new(),
            None => vec![leaving_record(key.service, state, None, cmd.drain_ms, now)],
        };
        Ok(Decision::record(records, key))
    }

    /// All instances that are leaving, and the number of the latest change ([`Registry::change`]).
    pub fn leavers(&self) -> (u64, Vec<Leaver>) {
        let leaver = |(service, instance): &(ServiceId, Arc<str>)| {
            let state = self.services.get(service)?;
            let namespace = self.namespaces.get(&state.service.namespace)?;
            Some(Leaver {
                generation: state.instances.get(instance)?.generation,
                name: InstanceName {
                    namespace: namespace.namespace.name.clone(),
                    service: state.service.name.clone(),
                    instance: instance.to_string(),
                },
                key: InstanceKey {
                    service: *service,
                    instance: instance.clone(),
                },
            })
        };
        (self.change(), self.leaving.iter().filter_map(leaver).collect())
    }

    /// Removes an instance that is leaving, as nobody uses it any more. Nothing happens if it is gone, or was registered
    /// anew.
    pub fn finish_leaving(&self, leaver: &Leaver, now: Now) -> Decision<Record, ()> {
        let state = self.services.get(&leaver.key.service);
        let state = state.and_then(|state| state.instances.get(&leaver.key.instance));
        let record = state
            .filter(|state| state.generation == leaver.generation)
            .and_then(|state| state.left_record(leaver.key.service, now));
        Decision::record(record.into_iter().collect(), ())
    }

    /// Takes an instance out of service, or puts it back. That is durable, and a new registration does not overrule it.
    pub fn set_admin_health(&self, cmd: SetAdminHealth) -> Result<Decision<Record, ()>, AdminHealthError> {
        validate::note(cmd.out.as_deref())?;
        let key = self.find_instance(&cmd.name).map_err(AdminHealthError::from)?;
        let state = &self.services[&key.service].instances[&key.instance];
        if state.out.as_deref() == cmd.out.as_deref() {
            return Ok(Decision::unchanged(()));
        }
        let record = Record::AdminHealthSet {
            service: key.service,
            instance: key.instance,
            out: cmd.out,
        };
        Ok(Decision::record(vec![record], ()))
    }

    pub(crate) fn instance_leaving(&mut self, record: Record) {
        let Record::InstanceLeaving {
            service,
            instance,
            operation,
            drain_ms,
            at,
            steady,
        } = record
        else {
            return;
        };
        if let Some(operation) = operation {
            let target = Target::Instance(service, instance.clone());
            self.operations.begin(operation, at, target);
        }
        let leaving = Leaving::new(operation, drain_ms, steady);
        if self.begin_leaving(service, &instance, leaving) {
            self.revised(service);
            self.touch(service);
        }
    }

    /// Puts an instance on its way out; `false` if there is none. It has no lease and no doubts any more.
    pub(crate) fn begin_leaving(
        &mut self,
        service: ServiceId,
        instance: &Arc<str>,
        mut leaving: Leaving,
    ) -> bool {
        self.trust(service, instance);
        let generation = self.next_generation();
        let Some(state) = self.instance_mut(service, instance) else {
            return false;
        };
        state.generation = generation;
        let old = state.leaving.take();
        if let Some(old) = &old {
            leaving.until = leaving.until.min(old.until);
        }
        let until = leaving.until;
        state.leaving = Some(Box::new(leaving));
        let lease = state.lease.take().map(|lease| lease.timer);
        for timer in old.map(|old| old.until).into_iter().chain(lease) {
            self.lease_timers.remove(&(timer, service, instance.clone()));
        }
        self.overdue.remove(&(service, instance.clone()));
        self.leaving.insert((service, instance.clone()));
        self.lease_timers.insert((until, service, instance.clone()));
        true
    }

    pub(crate) fn admin_health_set(&mut self, service: ServiceId, instance: &str, out: Option<String>) {
        if let Some(state) = self.instance_mut(service, instance) {
            state.out = out.map(Into::into);
            self.touch(service);
        }
    }
}

impl InstanceState {
    /// The record that removes it because it has left, or `None` if it is not leaving.
    pub(crate) fn left_record(&self, service: ServiceId, now: Now) -> Option<Record> {
        let leaving = self.leaving.as_ref()?;
        Some(Record::InstanceRemoved {
            service,
            instance: self.instance.id.clone(),
            cause: Removal::Left,
            operation: leaving.operation,
            at: now.wall,
        })
    }
}

fn leaving_record(
    service: ServiceId,
    state: &InstanceState,
    operation: Option<OperationId>,
    drain_ms: u32,
    now: Now,
) -> Record {
    Record::InstanceLeaving {
        service,
        instance: state.instance.id.clone(),
        operation,
        drain_ms,
        at: now.wall,
        steady: now.steady,
    }
}
