//! Services: create, delete, show, list.

use tsugite_base::{Decision, Invalid, Now};

use crate::command::{CreateService, Listed, Page};
use crate::error::{
    CreateServiceError, DeleteServiceError, ListError, NamespaceNotFound, ResourceInUse,
    ResourceLimitExceeded, ServiceAlreadyExists, ServiceNotFound,
};
use crate::model::{NamespaceId, NamespaceKind, Resource, Service, ServiceId, Validation};
use crate::record::Record;
use crate::registry::Registry;
use crate::tags::first_tags;
use crate::validate;
use crate::views::ServiceView;

impl Registry {
    /// Creates a service. The same `CreatorRequestId` for the same service answers as the first time did.
    pub fn create_service(
        &self,
        cmd: CreateService,
        now: Now,
    ) -> Result<Decision<Record, ServiceView>, CreateServiceError> {
        validate::service_name(&cmd.name)?;
        validate::description(cmd.description.as_deref())?;
        validate::request_id("CreatorRequestId", cmd.creator_request_id.as_deref())?;
        validate::health(&cmd.health)?;
        let Some(namespace) = self.namespaces.get(&cmd.namespace) else {
            let wanted = cmd.namespace.to_string();
            return Err(NamespaceNotFound { wanted }.into());
        };
        let namespace = &namespace.namespace;
        validate::dns(cmd.dns.as_ref(), &cmd.health)?;
        validate::tags(&cmd.tags)?;
        if self.settings.validation == Validation::Strict {
            validate::strict_service(&cmd.name, cmd.dns.as_ref(), &cmd.health, namespace.kind)?;
        }
        if let Some(decision) = self.existing_service(&cmd, namespace.kind)? {
            return Ok(decision);
        }
        self.check_service_limit()?;
        let tags = first_tags(Resource::Service(cmd.id), cmd.tags)?;
        let service = Service {
            id: cmd.id,
            namespace: cmd.namespace,
            name: cmd.name,
            description: cmd.description,
            creator_request_id: cmd.creator_request_id,
            dns: cmd.dns,
            health: cmd.health,
            created: now.wall,
        };
        let view = ServiceView {
            service: service.clone(),
            namespace_name: namespace.name.clone(),
            namespace_kind: namespace.kind,
            soa_ttl: namespace.soa_ttl.unwrap_or(self.settings.dns_ttl),
            default_ttl: self.settings.dns_ttl,
            instances: 0,
            revision: self.revision,
        };
        let record = Record::ServiceCreated(service);
        let records = std::iter::once(record).chain(tags).collect();
        Ok(Decision::record(records, view))
    }

    /// Names that differ by case alone are the same name in DNS, and two names in HTTP namespaces.
    fn existing_service(
        &self,
        cmd: &CreateService,
        kind: NamespaceKind,
    ) -> Result<Option<Decision<Record, ServiceView>>, ServiceAlreadyExists> {
        let Ok(old) = self.service_named(cmd.namespace, &cmd.name) else {
            return Ok(None);
        };
        let service = &old.service;
        if kind == NamespaceKind::Http && service.name != cmd.name {
            return Ok(None);
        }
        let repeated = cmd.creator_request_id.is_some()
            && service.creator_request_id == cmd.creator_request_id
            && (&service.name, &service.description) == (&cmd.name, &cmd.description)
            && (&service.dns, &service.health) == (&cmd.dns, &cmd.health);
        match self.view(old) {
            Some(view) if repeated => Ok(Some(Decision::unchanged(view))),
            _ => Err(ServiceAlreadyExists {
                name: service.name.clone(),
                id: service.id,
                creator_request_id: service.creator_request_id.clone(),
            }),
        }
    }

    pub(crate) fn check_service_limit(&self) -> Result<(), ResourceLimitExceeded> {
        let limit = self.settings.services;
        if self.services.len() < limit {
            return Ok(());
        }
        Err(ResourceLimitExceeded {
            what: format!("there are {limit} services already, which is the limit"),
        })
    }

    /// Deletes a service that has no instances.
    pub fn delete_service(&self, id: ServiceId) -> Result<Decision<Record, ()>, DeleteServiceError> {
        let state = self.service_state(id)?;
        let count = state.instances.len();
        if count > 0 {
            let what = format!("service {id} still has {count} instances");
            return Err(ResourceInUse { what }.into());
        }
        Ok(Decision::record(vec![Record::ServiceDeleted { id }], ()))
    }

    /// One service.
    pub fn get_service(&self, id: ServiceId) -> Result<ServiceView, ServiceNotFound> {
        let state = self.service_state(id)?;
        self.view(state).ok_or_else(|| ServiceNotFound {
            wanted: id.to_string(),
        })
    }

    /// Services by id, of all namespaces or of those named (none if the list is empty).
    pub fn list_services(
        &self,
        namespaces: Option<&[NamespaceId]>,
        page: &Page,
    ) -> Result<Listed<ServiceView>, ListError> {
        let after = page.token::<ServiceId>()?;
        let mut rest = self.services.values().filter(|state| {
            after.is_none_or(|after| state.service.id > after)
                && namespaces.is_none_or(|ids| ids.contains(&state.service.namespace))
        });
        let entries: Vec<_> = rest
            .by_ref()
            .filter_map(|state| self.view(state))
            .take(page.limit)
            .collect();
        let next = page.next(rest.next().and(entries.last()).map(|last| last.service.id));
        Ok(Listed { entries, next })
    }
}

impl ServiceView {
    /// What AWS would have refused of this service although it does no harm here.
    pub fn lenient(&self) -> Result<(), Invalid> {
        let service = &self.service;
        validate::strict_service(
            &service.name,
            service.dns.as_ref(),
            &service.health,
            self.namespace_kind,
        )
    }
}
