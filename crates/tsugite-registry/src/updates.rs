//! Changes of namespaces and services: what may be changed, and how.

use tsugite_base::{Decision, Invalid, Now, Timestamp};

use crate::check::Check;
use crate::command::{UpdateNamespace, UpdateService};
use crate::error::{DuplicateRequest, NamespaceNotFound, UpdateNamespaceError, UpdateServiceError};
use crate::model::{
    DnsConfig, DnsRecord, HealthCheck, HealthSource, NamespaceKind, OperationId, OperationKind,
    RoutingPolicy, Service, ServiceId, Validation,
};
use crate::operations::Target;
use crate::record::Record;
use crate::registry::Registry;
use crate::validate;

impl Registry {
    /// Changes a namespace. The same `UpdaterRequestId` with the same change answers as the first time did.
    pub fn update_namespace(
        &self,
        cmd: UpdateNamespace,
        now: Now,
    ) -> Result<Decision<Record, OperationId>, UpdateNamespaceError> {
        validate::description(cmd.description.as_deref())?;
        validate::request_id("UpdaterRequestId", cmd.updater_request_id.as_deref())?;
        validate::soa_ttl(cmd.soa_ttl)?;
        let state = self.namespace_state(cmd.id)?;
        let namespace = &state.namespace;
        if namespace.kind != cmd.kind {
            // Each kind has an operation of its own, which knows nothing of the others.
            let wanted = format!(
                "{} of type {}; its type is {}",
                cmd.id,
                cmd.kind.name(),
                namespace.kind.name()
            );
            return Err(NamespaceNotFound { wanted }.into());
        }
        let description = cmd.description.or_else(|| namespace.description.clone());
        let soa_ttl = cmd.soa_ttl.or(namespace.soa_ttl);
        if let (Some((before, operation)), Some(request)) = (&state.updater, &cmd.updater_request_id)
            && before == request
        {
            if (&description, soa_ttl) == (&namespace.description, namespace.soa_ttl) {
                return Ok(Decision::unchanged(*operation));
            }
            return Err(DuplicateRequest {
                request_id: request.clone(),
                what: format!("change namespace {} in another way", cmd.id),
                operation: Some(*operation),
            }
            .into());
        }
        let record = Record::NamespaceUpdated {
            id: cmd.id,
            description,
            soa_ttl,
            updater_request_id: cmd.updater_request_id,
            operation: cmd.operation,
            at: now.wall,
        };
        Ok(Decision::record(vec![record], cmd.operation))
    }

    /// Changes a service.
    pub fn update_service(
        &self,
        cmd: UpdateService,
        now: Now,
    ) -> Result<Decision<Record, OperationId>, UpdateServiceError> {
        validate::description(cmd.description.as_deref())?;
        let service = &self.service_state(cmd.id)?.service;
        let kind = self.kind_of(service.namespace);
        let strict = self.settings.validation == Validation::Strict;
        if strict && kind == NamespaceKind::Http {
            let rule = "is in an HTTP namespace, whose services cannot be changed";
            return Err(Invalid::new("Id", cmd.id.to_string(), rule).into());
        }
        let dns = cmd.records.map(|records| new_dns(service, records)).transpose()?;
        let health = new_health(service, cmd.check)?;
        validate::dns(dns.as_ref(), &health)?;
        validate::health(&health)?;
        if strict {
            validate::strict_service(&service.name, dns.as_ref(), &health, kind)?;
        }
        let record = Record::ServiceUpdated {
            id: cmd.id,
            description: cmd.description.or_else(|| service.description.clone()),
            dns,
            health,
            operation: cmd.operation,
            at: now.wall,
            steady: now.steady,
        };
        Ok(Decision::record(vec![record], cmd.operation))
    }

    pub(crate) fn namespace_updated(&mut self, record: Record) {
        let Record::NamespaceUpdated {
            id,
            description,
            soa_ttl,
            updater_request_id,
            operation,
            at,
        } = record
        else {
            return;
        };
        let target = Target::Namespace(id);
        self.operations
            .push(operation, OperationKind::UpdateNamespace, at, target);
        let Some(state) = self.namespaces.get_mut(&id) else {
            return;
        };
        state.namespace.description = description;
        state.namespace.soa_ttl = soa_ttl;
        if let Some(request) = updater_request_id {
            state.updater = Some((request, operation));
        }
        self.trail.namespaces();
    }

    pub(crate) fn service_updated(&mut self, record: Record) {
        let Record::ServiceUpdated {
            id,
            description,
            dns,
            health,
            operation,
            at,
            steady,
        } = record
        else {
            return;
        };
        self.operations
            .push(operation, OperationKind::UpdateService, at, Target::Service(id));
        self.service_changed(id, description, dns, health, steady);
        self.touch(id);
    }

    fn service_changed(
        &mut self,
        id: ServiceId,
        description: Option<String>,
        dns: Option<DnsConfig>,
        health: HealthSource,
        steady: Timestamp,
    ) {
        let Some(state) = self.services.get_mut(&id) else {
            return;
        };
        state.service.description = description;
        state.service.dns = dns;
        if state.service.health == health {
            return;
        }
        // Whoever was checked is checked anew by the new check, and keeps its verdict until that says otherwise.
        let checked = matches!(health, HealthSource::Active(_));
        state.service.health = health;
        for (instance, state) in &mut state.instances {
            let old = state.check.take();
            if let Some(old) = &old {
                self.probe_timers.remove(&(old.next, id, instance.clone()));
            }
            if !checked || state.instance.address().is_none() {
                continue;
            }
            let check = old.map_or_else(|| Check::new(steady), |old| old.probed_at(steady));
            self.probe_timers.insert((check.next, id, instance.clone()));
            state.check = Some(check);
        }
    }
}

/// The records with their new TTLs. What instances publish cannot change its type under those who ask for it.
fn new_dns(service: &Service, records: Vec<DnsRecord>) -> Result<DnsConfig, Invalid> {
    let kinds = |records: &[DnsRecord]| {
        let mut names: Vec<_> = records.iter().map(|record| record.kind.name()).collect();
        names.sort_unstable();
        names.join(", ")
    };
    match &service.dns {
        Some(old) if kinds(&old.records) != kinds(&records) => Err(Invalid::new(
            "DnsRecords",
            kinds(&records),
            format!(
                "must have the types of the service, which are {}",
                kinds(&old.records)
            ),
        )),
        old => Ok(DnsConfig {
            routing: old.as_ref().map_or(RoutingPolicy::Multivalue, |old| old.routing),
            records,
        }),
    }
}

/// The active check as it is from now on; pushed health is neither added nor removed.
fn new_health(service: &Service, check: Option<HealthCheck>) -> Result<HealthSource, Invalid> {
    match (&service.health, check) {
        (HealthSource::Custom, None) => Ok(HealthSource::Custom),
        (HealthSource::Custom, Some(check)) => Err(Invalid::new(
            "HealthCheckConfig",
            check.kind.name(),
            "cannot be added to a service with a HealthCheckCustomConfig",
        )),
        (HealthSource::Active(old), Some(check)) if old.kind.name() != check.kind.name() => {
            Err(Invalid::new(
                "HealthCheckConfig type",
                check.kind.name(),
                format!("must be that of the service, which is {}", old.kind.name()),
            ))
        }
        (_, Some(check)) => Ok(HealthSource::Active(check)),
        (_, None) => Ok(HealthSource::None),
    }
}
