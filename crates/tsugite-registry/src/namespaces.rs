//! Namespaces: create, delete, show, list.

use tsugite_base::{Decision, Invalid, Now};

use crate::command::{CreateNamespace, DeleteNamespace, Filter, Listed, NamespaceField, Page};
use crate::error::{
    CreateNamespaceError, DeleteNamespaceError, DuplicateRequest, ListError, NamespaceAlreadyExists,
    NamespaceNotFound, ResourceInUse, ResourceLimitExceeded,
};
use crate::model::{Namespace, NamespaceId, NamespaceKind, OperationId, Resource, Validation};
use crate::record::Record;
use crate::registry::{NamespaceState, Registry, Settings};
use crate::tags::first_tags;
use crate::validate;
use crate::views::NamespaceView;

impl Registry {
    /// Creates a namespace. The same `CreatorRequestId` for the same namespace answers as the first time did.
    pub fn create_namespace(
        &self,
        cmd: CreateNamespace,
        now: Now,
    ) -> Result<Decision<Record, OperationId>, CreateNamespaceError> {
        validate::namespace_name(&cmd.name, cmd.kind)?;
        validate::description(cmd.description.as_deref())?;
        validate::request_id("CreatorRequestId", cmd.creator_request_id.as_deref())?;
        validate::soa_ttl(cmd.soa_ttl)?;
        validate::tags(&cmd.tags)?;
        if self.settings.validation == Validation::Strict {
            cmd.lenient()?;
        }
        if let Ok(old) = self.namespace_named(&cmd.name) {
            let old = &old.namespace;
            let repeated = cmd.creator_request_id.is_some()
                && old.creator_request_id == cmd.creator_request_id
                && (&old.name, old.kind, &old.description) == (&cmd.name, cmd.kind, &cmd.description);
            return match old.operation {
                Some(operation) if repeated => Ok(Decision::unchanged(operation)),
                _ => Err(NamespaceAlreadyExists {
                    name: old.name.clone(),
                    id: old.id,
                    creator_request_id: old.creator_request_id.clone(),
                }
                .into()),
            };
        }
        self.check_creator(&cmd)?;
        self.check_namespace_limit()?;
        let tags = first_tags(Resource::Namespace(cmd.id), cmd.tags)?;
        let record = Record::NamespaceCreated(Namespace {
            id: cmd.id,
            name: cmd.name,
            kind: cmd.kind,
            description: cmd.description,
            creator_request_id: cmd.creator_request_id,
            soa_ttl: cmd.soa_ttl,
            operation: Some(cmd.operation),
            created: now.wall,
        });
        let records = std::iter::once(record).chain(tags).collect();
        Ok(Decision::record(records, cmd.operation))
    }

    /// A `CreatorRequestId` stands for one request. There are few namespaces, and they are seldom created.
    fn check_creator(&self, cmd: &CreateNamespace) -> Result<(), DuplicateRequest> {
        let Some(request) = &cmd.creator_request_id else {
            return Ok(());
        };
        let mut all = self.namespaces.values().map(|state| &state.namespace);
        match all.find(|other| other.creator_request_id.as_ref() == Some(request)) {
            None => Ok(()),
            Some(other) => Err(DuplicateRequest {
                request_id: request.clone(),
                what: format!("create namespace {}", other.name),
                operation: other.operation,
            }),
        }
    }

    pub(crate) fn check_namespace_limit(&self) -> Result<(), ResourceLimitExceeded> {
        let limit = self.settings.namespaces;
        if self.namespaces.len() < limit {
            return Ok(());
        }
        Err(ResourceLimitExceeded {
            what: format!("there are {limit} namespaces already, which is the limit"),
        })
    }

    /// Deletes a namespace that has no services.
    pub fn delete_namespace(
        &self,
        cmd: &DeleteNamespace,
        now: Now,
    ) -> Result<Decision<Record, OperationId>, DeleteNamespaceError> {
        let state = self.namespace_state(cmd.id)?;
        if state.services > 0 {
            let what = format!("namespace {} still has {} services", cmd.id, state.services);
            return Err(ResourceInUse { what }.into());
        }
        let record = Record::NamespaceDeleted {
            id: cmd.id,
            operation: cmd.operation,
            at: now.wall,
        };
        Ok(Decision::record(vec![record], cmd.operation))
    }

    /// How the services of a namespace can be found.
    pub(crate) fn kind_of(&self, id: NamespaceId) -> NamespaceKind {
        let state = self.namespaces.get(&id);
        state.map_or(NamespaceKind::Http, |state| state.namespace.kind)
    }

    pub(crate) fn namespace_state(&self, id: NamespaceId) -> Result<&NamespaceState, NamespaceNotFound> {
        self.namespaces.get(&id).ok_or_else(|| NamespaceNotFound {
            wanted: id.to_string(),
        })
    }

    /// One namespace.
    pub fn get_namespace(&self, id: NamespaceId) -> Result<NamespaceView, NamespaceNotFound> {
        self.namespace_state(id).map(|state| state.view(&self.settings))
    }

    /// Namespaces, by id.
    pub fn list_namespaces(
        &self,
        filters: &[Filter<NamespaceField>],
        page: &Page,
    ) -> Result<Listed<NamespaceView>, ListError> {
        let after = page.token::<NamespaceId>()?;
        let keeps = |namespace: &Namespace| {
            filters.iter().all(|filter| {
                let text = match filter.field {
                    NamespaceField::Type => namespace.kind.name(),
                    NamespaceField::Name => &namespace.name,
                };
                filter.condition.holds(&filter.values, text)
            })
        };
        let all = self.namespaces.values();
        let mut rest =
            all.filter(|s| after.is_none_or(|after| s.namespace.id > after) && keeps(&s.namespace));
        let entries: Vec<_> = rest
            .by_ref()
            .take(page.limit)
            .map(|state| state.view(&self.settings))
            .collect();
        let next = page.next(rest.next().and(entries.last()).map(|last| last.namespace.id));
        Ok(Listed { entries, next })
    }
}

impl NamespaceState {
    pub(crate) fn view(&self, settings: &Settings) -> NamespaceView {
        NamespaceView {
            namespace: self.namespace.clone(),
            soa_ttl: self.namespace.soa_ttl.unwrap_or(settings.dns_ttl),
            services: self.services,
        }
    }
}

impl CreateNamespace {
    /// What AWS would refuse although it does no harm here.
    pub fn lenient(&self) -> Result<(), Invalid> {
        match self.kind {
            NamespaceKind::DnsPublic => validate::public_name(&self.name),
            NamespaceKind::Http | NamespaceKind::DnsPrivate => Ok(()),
        }
    }
}

impl Page {
    /// The key after which this page starts.
    pub(crate) fn token<T: std::str::FromStr>(&self) -> Result<Option<T>, Invalid> {
        let parse = |token: &String| {
            token
                .parse()
                .map_err(|_| Invalid::new("NextToken", token, "must come from an earlier answer"))
        };
        self.after.as_ref().map(parse).transpose()
    }

    pub(crate) fn next(&self, last: Option<impl ToString>) -> Option<String> {
        last.map(|last| last.to_string())
    }
}
