//! The bounded history of operations, and the reads on it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tsugite_base::{Invalid, Timestamp};

use crate::command::{Condition, Filter, Listed, OperationField, Page};
use crate::error::{ListError, OperationNotFound};
use crate::model::{NamespaceId, Operation, OperationId, OperationKind, OperationStatus, ServiceId};
use crate::registry::Registry;

/// What an operation touched.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    Namespace(NamespaceId),
    Service(ServiceId),
    Instance(ServiceId, Arc<str>),
}

/// The latest operations, oldest first.
#[derive(Debug)]
pub(crate) struct Operations {
    limit: usize,
    /// Number of the first entry of `entries`; grows as old ones are forgotten.
    first: u64,
    entries: VecDeque<Operation>,
    by_id: HashMap<OperationId, u64>,
}

impl Operations {
    pub(crate) fn new(limit: usize) -> Operations {
        Operations {
            limit,
            first: 0,
            entries: VecDeque::new(),
            by_id: HashMap::new(),
        }
    }

    /// Notes an operation that is done.
    pub(crate) fn push(&mut self, id: OperationId, kind: OperationKind, at: Timestamp, target: Target) {
        self.note(id, kind, OperationStatus::Success, at, target);
    }

    /// Notes the deregistration of an instance that is still leaving.
    pub(crate) fn begin(&mut self, id: OperationId, at: Timestamp, target: Target) {
        let kind = OperationKind::DeregisterInstance;
        self.note(id, kind, OperationStatus::Pending, at, target);
    }

    pub(crate) fn knows(&self, id: OperationId) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Notes that the operation that [`Operations::begin`] began is done.
    pub(crate) fn finish(&mut self, id: OperationId, at: Timestamp) {
        let place = self.by_id.get(&id).map(|number| number - self.first);
        let place = place.and_then(|place| usize::try_from(place).ok());
        if let Some(operation) = place.and_then(|place| self.entries.get_mut(place)) {
            operation.status = OperationStatus::Success;
            operation.updated = at;
        }
    }

    fn note(
        &mut self,
        id: OperationId,
        kind: OperationKind,
        status: OperationStatus,
        at: Timestamp,
        target: Target,
    ) {
        let (namespace, service, instance) = match target {
            Target::Namespace(id) => (Some(id), None, None),
            Target::Service(id) => (None, Some(id), None),
            Target::Instance(id, instance) => (None, Some(id), Some(instance)),
        };
        self.insert(Operation {
            id,
            kind,
            status,
            at,
            updated: at,
            namespace,
            service,
            instance,
        });
    }

    pub(crate) fn insert(&mut self, operation: Operation) {
        let number = self.first + self.entries.len() as u64;
        self.by_id.insert(operation.id, number);
        self.entries.push_back(operation);
        if self.entries.len() > self.limit {
            if let Some(old) = self.entries.pop_front() {
                self.by_id.remove(&old.id);
            }
            self.first += 1;
        }
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Operation> + ExactSizeIterator {
        self.entries.iter()
    }
}

impl Registry {
    /// One operation.
    pub fn get_operation(&self, id: OperationId) -> Result<Operation, OperationNotFound> {
        let history = &self.operations;
        let entry = history
            .by_id
            .get(&id)
            .and_then(|number| usize::try_from(number - history.first).ok())
            .and_then(|at| history.entries.get(at));
        entry.cloned().ok_or_else(|| OperationNotFound {
            wanted: id.to_string(),
        })
    }

    /// Operations, latest first.
    pub fn list_operations(
        &self,
        filters: &[Filter<OperationField>],
        page: &Page,
    ) -> Result<Listed<Operation>, ListError> {
        let history = &self.operations;
        let before = match &page.after {
            None => u64::MAX,
            Some(token) => token
                .parse()
                .map_err(|_| Invalid::new("NextToken", token, "must come from an earlier answer"))?,
        };
        let keep = usize::try_from(before.saturating_sub(history.first)).unwrap_or(usize::MAX);
        let mut next = None;
        let mut entries = Vec::new();
        for (at, operation) in history.entries.iter().enumerate().take(keep).rev() {
            if !filters.iter().all(|filter| self.matches(filter, operation)) {
                continue;
            }
            if entries.len() == page.limit {
                next = Some((history.first + at as u64 + 1).to_string());
                break;
            }
            entries.push(operation.clone());
        }
        Ok(Listed { entries, next })
    }
}

impl Registry {
    fn matches(&self, filter: &Filter<OperationField>, operation: &Operation) -> bool {
        let text = match filter.field {
            OperationField::NamespaceId => self.namespace_of(operation).map(|id| id.to_string()),
            OperationField::ServiceId => operation.service.map(|id| id.to_string()),
            OperationField::Status => Some(operation.status.name().to_owned()),
            OperationField::Type => Some(operation.kind.name().to_owned()),
            OperationField::UpdateDate => return date_matches(filter, operation.updated),
        };
        text.is_some_and(|text| filter.condition.holds(&filter.values, &text))
    }

    /// The namespace that an operation touched, itself or as the place of a service that is still there.
    fn namespace_of(&self, operation: &Operation) -> Option<NamespaceId> {
        let of_service = || Some(self.services.get(&operation.service?)?.service.namespace);
        operation.namespace.or_else(of_service)
    }
}

fn date_matches(filter: &Filter<OperationField>, at: Timestamp) -> bool {
    let at = at.millis() as f64 / 1000.0;
    let bound = |i: usize| filter.values.get(i).and_then(|v| v.parse::<f64>().ok());
    match (filter.condition, bound(0), bound(1)) {
        (Condition::Between, Some(from), Some(to)) => (from..=to).contains(&at),
        _ => false,
    }
}

impl Condition {
    /// Whether `text` compares to `values` as this condition says.
    pub fn holds(self, values: &[String], text: &str) -> bool {
        match self {
            Condition::Eq | Condition::In => values.iter().any(|v| v == text),
            Condition::BeginsWith => values.iter().any(|v| text.starts_with(v.as_str())),
            Condition::Between => match values {
                [from, to] => (from.as_str()..=to.as_str()).contains(&text),
                _ => false,
            },
        }
    }
}
