//! Snapshot and restore: the whole durable state as bytes. Leases are granted anew, checks start anew.

use std::sync::Arc;
use std::time::Duration;

use tsugite_base::codec::{Get, Malformed, Put};
use tsugite_base::{Now, Uuid};

use crate::codec::{
    get_attributes, get_instance, get_namespace, get_service, get_text, get_uuid, malformed, put_attributes,
    put_instance, put_namespace, put_service, put_text, put_uuid,
};
use crate::leaving::Leaving;
use crate::model::{NamespaceId, Operation, OperationId, OperationKind, OperationStatus, ServiceId};
use crate::registry::{Registry, Settings};

/// First byte of a snapshot.
const FORMAT: u8 = 3;
/// The format before instances could be out of service or leaving, and operations pending.
const SECOND_FORMAT: u8 = 2;
/// The format before namespaces and services had tags and could be changed.
const FIRST_FORMAT: u8 = 1;

impl Registry {
    /// Appends the state to `out`; [`Registry::restore`] reads it back.
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        out.put_u8(FORMAT);
        out.put_u64(self.revision);
        out.put_u64(self.namespaces.len() as u64);
        for state in self.namespaces.values() {
            put_namespace(out, &state.namespace);
            put_attributes(out, &state.tags);
            out.put_option(state.updater.as_ref(), |out, (request, operation)| {
                out.put_str(request);
                put_uuid(out, *operation);
            });
        }
        out.put_u64(self.services.len() as u64);
        for state in self.services.values() {
            put_service(out, &state.service);
            put_attributes(out, &state.tags);
            put_attributes(out, &state.attributes);
            out.put_u64(state.revision);
            out.put_u64(state.instances.len() as u64);
            for instance in state.instances.values() {
                put_instance(out, &instance.instance);
                put_text(out, instance.out.as_deref());
                out.put_option(instance.leaving.as_deref(), |out, leaving| {
                    out.put_option(leaving.operation, put_uuid);
                    out.put_u32(leaving.drain_ms);
                });
            }
        }
        out.put_u64(self.operations.iter().len() as u64);
        for operation in self.operations.iter() {
            put_operation(out, operation);
        }
    }

    /// The registry as it was when the snapshot was taken, with every lease granted from `now`.
    pub fn restore(bytes: &[u8], settings: Settings, now: Now) -> Result<Registry, Malformed> {
        let mut from = Get::new(bytes);
        let format = from.u8("registry snapshot format")?;
        if !(FIRST_FORMAT..=FORMAT).contains(&format) {
            return Err(Malformed {
                what: "registry snapshot format",
            });
        }
        let mut registry = Registry::new(settings);
        registry.revision = from.u64("revision")?;
        for _ in 0..from.u64("namespaces")? {
            let mut namespace = get_namespace(&mut from)?;
            // Its operation is restored with the others, in their order.
            let operation = namespace.operation.take();
            let id = namespace.id;
            registry.namespace_created(namespace);
            let (tags, updater) = match format {
                FIRST_FORMAT => Default::default(),
                _ => (get_attributes(&mut from)?, from.option("updater", get_updater)?),
            };
            if let Some(state) = registry.namespaces.get_mut(&id) {
                state.namespace.operation = operation;
                (state.tags, state.updater) = (tags, updater);
            }
        }
        for _ in 0..from.u64("services")? {
            registry.restore_service(&mut from, format, now)?;
        }
        for _ in 0..from.u64("operations")? {
            let operation = get_operation(&mut from, format)?;
            registry.operations.insert(operation);
        }
        from.end("registry snapshot")?;
        Ok(registry)
    }

    fn restore_service(&mut self, from: &mut Get<'_>, format: u8, now: Now) -> Result<(), Malformed> {
        let service = get_service(from)?;
        let id = service.id;
        self.service_created(service);
        let (tags, attributes) = match format {
            FIRST_FORMAT => Default::default(),
            _ => (get_attributes(from)?, get_attributes(from)?),
        };
        let revision = from.u64("revision")?;
        for _ in 0..from.u64("instances")? {
            let instance = get_instance(from)?;
            let until = instance
                .lease_ms
                .map(|ms| now.steady + Duration::from_millis(ms.into()));
            let name = instance.id.clone();
            self.insert_instance(id, instance, until, now.steady);
            if format > SECOND_FORMAT {
                self.restore_instance(from, id, &name, now)?;
            }
        }
        if let Some(state) = self.services.get_mut(&id) {
            (state.revision, state.revision_seen) = (revision, revision);
            (state.tags, state.attributes) = (tags, attributes);
        }
        Ok(())
    }
}

impl Registry {
    /// Restores what is beside the instance itself.
    fn restore_instance(
        &mut self,
        from: &mut Get<'_>,
        service: ServiceId,
        instance: &Arc<str>,
        now: Now,
    ) -> Result<(), Malformed> {
        let out = get_text(from, "reason")?;
        let leaving = from.option("leaving", |from| {
            let operation = from.option("operation", get_uuid)?;
            Ok(Leaving::new(operation, from.u32("drain time")?, now.steady))
        })?;
        self.admin_health_set(service, instance, out);
        if let Some(leaving) = leaving {
            self.begin_leaving(service, instance, leaving);
        }
        Ok(())
    }
}

fn get_updater(from: &mut Get<'_>) -> Result<(String, OperationId), Malformed> {
    Ok((from.str("updater request")?.to_owned(), get_uuid(from)?))
}

fn put_operation(out: &mut Vec<u8>, operation: &Operation) {
    out.extend_from_slice(&operation.id.0);
    out.put_u8(match operation.kind {
        OperationKind::CreateNamespace => 0,
        OperationKind::DeleteNamespace => 1,
        OperationKind::RegisterInstance => 2,
        OperationKind::DeregisterInstance => 3,
        OperationKind::UpdateNamespace => 4,
        OperationKind::UpdateService => 5,
    });
    out.put_u8(match operation.status {
        OperationStatus::Pending => 0,
        OperationStatus::Success => 1,
    });
    out.put_time(operation.at);
    out.put_time(operation.updated);
    out.put_option(operation.namespace, |out, id| out.put_u64(id.0));
    out.put_option(operation.service, |out, id| out.put_u64(id.0));
    out.put_option(operation.instance.as_deref(), |out, id| out.put_str(id));
}

fn get_operation(from: &mut Get<'_>, format: u8) -> Result<Operation, Malformed> {
    let id = Uuid(from.bytes16("operation")?);
    let kind = get_kind(from)?;
    let status = match format {
        FIRST_FORMAT | SECOND_FORMAT => OperationStatus::Success,
        _ => match from.u8("operation status")? {
            0 => OperationStatus::Pending,
            1 => OperationStatus::Success,
            _ => return Err(malformed("operation status")),
        },
    };
    let at = from.time("time")?;
    let updated = match format {
        FIRST_FORMAT | SECOND_FORMAT => at,
        _ => from.time("time")?,
    };
    Ok(Operation {
        id,
        kind,
        status,
        at,
        updated,
        namespace: from.option("namespace", |from| from.u64("namespace").map(NamespaceId))?,
        service: from.option("service", |from| from.u64("service").map(ServiceId))?,
        instance: from.option("instance", |from| from.str("instance").map(Into::into))?,
    })
}

fn get_kind(from: &mut Get<'_>) -> Result<OperationKind, Malformed> {
    Ok(match from.u8("operation kind")? {
        0 => OperationKind::CreateNamespace,
        1 => OperationKind::DeleteNamespace,
        2 => OperationKind::RegisterInstance,
        3 => OperationKind::DeregisterInstance,
        4 => OperationKind::UpdateNamespace,
        5 => OperationKind::UpdateService,
        _ => return Err(malformed("operation kind")),
    })
}
