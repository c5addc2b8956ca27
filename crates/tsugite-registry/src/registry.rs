//! The registry's state, and `apply`: the only durable mutation.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use tsugite_base::{Now, Place, Timestamp};

use crate::changes::Trail;
use crate::check::Check;
use crate::doubts::Doubt;
use crate::error::{NamespaceNotFound, ServiceNotFound};
use crate::health::Usable;
use crate::history::History;
use crate::leases::Lease;
use crate::leaving::Leaving;
use crate::model::{
    Attributes, Instance, Namespace, NamespaceId, OperationId, OperationKind, Service, ServiceId, Tags,
    Validation,
};
use crate::operations::{Operations, Target};
use crate::record::Record;
use crate::tags::change;
use crate::views::{HealthStatus, ServiceView};
use crate::watch::ServiceName;

/// Bounds and defaults of a registry.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Finished operations that `GetOperation` still knows; older ones are forgotten.
    pub operations: usize,
    /// Namespaces at most.
    pub namespaces: usize,
    /// Services at most, over all namespaces.
    pub services: usize,
    /// Instances at most, over all services.
    pub instances: usize,
    /// TTL in seconds of SOA and other records that name none. May differ from one start to the next.
    pub dns_ttl: u32,
    /// How much of what AWS refuses is refused. May differ from one start to the next.
    pub validation: Validation,
    /// Percent of a service's instances below which those that seem unhealthy are used as well. May differ from one
    /// start to the next; a service's attribute [`crate::MIN_AVAILABLE`] outranks it.
    pub min_available_percent: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            operations: 10_000,
            namespaces: 1_000,
            services: 100_000,
            instances: 2_000_000,
            dns_ttl: 1,
            validation: Validation::Lenient,
            min_available_percent: 50,
        }
    }
}

#[derive(Debug)]
pub(crate) struct NamespaceState {
    pub(crate) namespace: Namespace,
    pub(crate) services: usize,
    pub(crate) tags: Tags,
    /// The id of the latest change that had one, and its operation.
    pub(crate) updater: Option<(String, OperationId)>,
}

#[derive(Debug)]
pub(crate) struct ServiceState {
    pub(crate) service: Service,
    pub(crate) attributes: Attributes,
    pub(crate) tags: Tags,
    pub(crate) revision: u64,
    pub(crate) touched: u64,
    /// The latest change that was about health.
    pub(crate) health_touched: u64,
    /// The revision when it was touched last.
    pub(crate) revision_seen: u64,
    pub(crate) instances: BTreeMap<Arc<str>, InstanceState>,
    /// Their ids in no order: any of them can be picked at once.
    pub(crate) order: Vec<Arc<str>>,
    /// Which of them are used, and the change at which that was found out.
    pub(crate) judged: Cell<Option<(u64, Usable)>>,
    pub(crate) history: Option<History>,
}

#[derive(Debug)]
pub(crate) struct InstanceState {
    pub(crate) instance: Instance,
    /// Where it stands in the service's `order`.
    pub(crate) place: u32,
    /// The verdict that was noted last.
    pub(crate) noted: HealthStatus,
    pub(crate) generation: u64,
    pub(crate) lease: Option<Lease>,
    pub(crate) check: Option<Check>,
    pub(crate) doubt: Option<Box<Doubt>>,
    /// Why an operator took it out of service, if one did.
    pub(crate) out: Option<Box<str>>,
    pub(crate) leaving: Option<Box<Leaving>>,
}

/// An entry of the timers: when, and which instance.
pub(crate) type Timer = (Timestamp, ServiceId, Arc<str>);

/// The registry. See the crate's documentation for how it is driven.
#[derive(Debug)]
pub struct Registry {
    pub(crate) settings: Settings,
    pub(crate) namespaces: BTreeMap<NamespaceId, NamespaceState>,
    pub(crate) namespace_names: HashMap<String, NamespaceId>,
    pub(crate) services: BTreeMap<ServiceId, ServiceState>,
    /// By namespace and lower-case name; more than one only where names differ by case alone.
    pub(crate) service_names: BTreeMap<(NamespaceId, String), Vec<ServiceId>>,
    pub(crate) operations: Operations,
    pub(crate) instances: usize,
    generation: u64,
    /// Counts changes of instances: the source of every service's revision, so that none ever repeats.
    pub(crate) revision: u64,
    /// Of leases, and of the drains of instances that are leaving.
    pub(crate) lease_timers: BTreeSet<Timer>,
    pub(crate) leaving: BTreeSet<(ServiceId, Arc<str>)>,
    pub(crate) doubt_timers: BTreeSet<Timer>,
    pub(crate) overdue: BTreeSet<(ServiceId, Arc<str>)>,
    pub(crate) probe_timers: BTreeSet<Timer>,
    pub(crate) trail: Trail,
    /// Services whose health may have changed since it was noted.
    pub(crate) unnoted: BTreeSet<ServiceId>,
}

impl Registry {
    /// An empty registry.
    pub fn new(settings: Settings) -> Registry {
        Registry {
            operations: Operations::new(settings.operations),
            settings,
            namespaces: BTreeMap::new(),
            namespace_names: HashMap::new(),
            services: BTreeMap::new(),
            service_names: BTreeMap::new(),
            instances: 0,
            generation: 0,
            revision: 0,
            lease_timers: BTreeSet::new(),
            leaving: BTreeSet::new(),
            doubt_timers: BTreeSet::new(),
            overdue: BTreeSet::new(),
            probe_timers: BTreeSet::new(),
            trail: Trail::default(),
            unnoted: BTreeSet::new(),
        }
    }

    /// Applies a record: during operation right after it was decided, and again when the log is replayed.
    ///
    /// `place` is part of the machines' common shape; the registry keeps everything in memory and never reads back.
    pub fn apply(&mut self, record: Record, _place: Place) {
        match record {
            Record::NamespaceCreated(namespace) => self.namespace_created(namespace),
            Record::NamespaceDeleted { id, operation, at } => {
                if let Some(gone) = self.namespaces.remove(&id) {
                    self.namespace_names.remove(&lower(&gone.namespace.name));
                    self.trail.namespaces();
                }
                let target = Target::Namespace(id);
                self.operations
                    .push(operation, OperationKind::DeleteNamespace, at, target);
            }
            Record::ServiceCreated(service) => self.service_created(service),
            Record::ServiceDeleted { id } => self.service_deleted(id),
            Record::InstanceRegistered {
                service,
                instance,
                steady,
            } => self.instance_registered(service, instance, steady),
            Record::InstanceRemoved {
                service,
                instance,
                operation,
                at,
                cause: _,
            } => self.instance_removed(service, &instance, operation, at),
            Record::CustomHealthSet {
                service,
                instance,
                healthy,
            } => {
                if let Some(state) = self.instance_mut(service, &instance) {
                    state.instance.custom = Some(healthy);
                    self.touch(service);
                }
            }
            Record::Reset => self.reset_applied(),
            Record::NamespaceUpdated { .. } => self.namespace_updated(record),
            Record::ServiceUpdated { .. } => self.service_updated(record),
            Record::ServiceAttributesChanged { id, set, removed } => {
                if let Some(state) = self.services.get_mut(&id) {
                    change(&mut state.attributes, set, &removed);
                    // One of them says which instances are used.
                    self.touch(id);
                }
            }
            Record::TagsChanged {
                resource,
                set,
                removed,
            } => {
                if let Some(tags) = self.tags_mut(resource) {
                    change(tags, set, &removed);
                }
            }
            Record::InstanceLeaving { .. } => self.instance_leaving(record),
            Record::AdminHealthSet {
                service,
                instance,
                out,
            } => self.admin_health_set(service, &instance, out),
        }
    }

    /// The registry needs no record's bytes again.
    pub const fn oldest_needed(&self) -> Option<u64> {
        None
    }

    /// Drops everything: `POST /v1/reset`.
    pub fn reset(&self, _now: Now) -> Record {
        Record::Reset
    }

    fn reset_applied(&mut self) {
        let (trail, revision, generation) = (self.trail.dropped(), self.revision, self.generation);
        *self = Registry::new(self.settings.clone());
        self.trail = trail;
        self.revision = revision;
        self.generation = generation;
    }

    pub(crate) fn namespace_created(&mut self, namespace: Namespace) {
        if let Some(operation) = namespace.operation {
            let (kind, target) = (OperationKind::CreateNamespace, Target::Namespace(namespace.id));
            self.operations.push(operation, kind, namespace.created, target);
        }
        self.namespace_names.insert(lower(&namespace.name), namespace.id);
        let state = NamespaceState {
            namespace,
            services: 0,
            tags: Tags::new(),
            updater: None,
        };
        self.namespaces.insert(state.namespace.id, state);
        self.trail.namespaces();
    }

    pub(crate) fn service_created(&mut self, service: Service) {
        let id = service.id;
        if let Some(namespace) = self.namespaces.get_mut(&service.namespace) {
            namespace.services += 1;
        }
        self.service_names
            .entry((service.namespace, lower(&service.name)))
            .or_default()
            .push(id);
        let state = ServiceState {
            service,
            attributes: Attributes::new(),
            tags: Tags::new(),
            revision: self.revision,
            touched: 0,
            health_touched: 0,
            revision_seen: self.revision,
            instances: BTreeMap::new(),
            order: Vec::new(),
            judged: Cell::new(None),
            history: None,
        };
        self.services.insert(id, state);
        self.touch(id);
    }

    fn service_deleted(&mut self, id: ServiceId) {
        let Some(gone) = self.services.remove(&id) else {
            return;
        };
        let mut name = ServiceName::default();
        if let Some(namespace) = self.namespaces.get_mut(&gone.service.namespace) {
            namespace.services = namespace.services.saturating_sub(1);
            name.namespace.clone_from(&namespace.namespace.name);
        }
        let key = (gone.service.namespace, lower(&gone.service.name));
        if let Some(ids) = self.service_names.get_mut(&key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.service_names.remove(&key);
            }
        }
        name.service = gone.service.name;
        self.bury(id, gone.touched, name);
    }

    fn instance_registered(&mut self, service: ServiceId, instance: Instance, steady: Timestamp) {
        let id = instance.id.clone();
        if let Some(operation) = instance.operation {
            let target = Target::Instance(service, instance.id.clone());
            let kind = OperationKind::RegisterInstance;
            self.operations.push(operation, kind, instance.registered, target);
        }
        // Whoever was leaving has left: this is another.
        self.settle_leaving(service, &id, instance.registered);
        let old = self.instance(service, &id);
        let before = old.map(|old| (old.instance.lease_ms, old.health()));
        let same = old.is_some_and(|old| old.instance.attributes == instance.attributes);
        let until = instance
            .lease_ms
            .map(|ms| steady + std::time::Duration::from_millis(ms.into()));
        self.insert_instance(service, instance, until, steady);
        if !same {
            self.revised(service);
        }
        let now = self
            .instance(service, &id)
            .map(|now| (now.instance.lease_ms, now.health()));
        // A registration that is repeated as a renewal must not wake those who watch.
        if same && before == now {
            self.trail.stir();
        } else {
            self.touch(service);
        }
    }

    /// The operation that waits until the instance has left is done.
    fn settle_leaving(&mut self, service: ServiceId, instance: &str, at: Timestamp) {
        let state = self.instance_mut(service, instance);
        let leaving = state.and_then(|state| state.leaving.as_ref());
        if let Some(operation) = leaving.and_then(|leaving| leaving.operation) {
            self.operations.finish(operation, at);
        }
    }

    /// What `DiscoverInstances` may answer for a service is another set from now on.
    pub(crate) fn revised(&mut self, service: ServiceId) {
        self.revision += 1;
        let revision = self.revision;
        if let Some(state) = self.services.get_mut(&service) {
            state.revision = revision;
        }
    }

    /// A number that no registration of an instance had before in this process.
    pub(crate) fn next_generation(&mut self) -> u64 {
        self.generation += 1;
        self.generation
    }

    fn instance_removed(
        &mut self,
        service: ServiceId,
        instance: &Arc<str>,
        operation: Option<OperationId>,
        at: Timestamp,
    ) {
        self.settle_leaving(service, instance, at);
        if let Some(operation) = operation.filter(|id| !self.operations.knows(*id)) {
            let (kind, target) = (
                OperationKind::DeregisterInstance,
                Target::Instance(service, instance.clone()),
            );
            self.operations.push(operation, kind, at, target);
        }
        if self.detach(service, instance).is_none() {
            return;
        }
        self.revised(service);
        self.touch(service);
    }

    fn instance(&self, service: ServiceId, instance: &str) -> Option<&InstanceState> {
        self.services.get(&service)?.instances.get(instance)
    }

    pub(crate) fn instance_mut(&mut self, service: ServiceId, instance: &str) -> Option<&mut InstanceState> {
        self.services.get_mut(&service)?.instances.get_mut(instance)
    }

    pub(crate) fn namespace_named(&self, name: &str) -> Result<&NamespaceState, NamespaceNotFound> {
        self.namespace_names
            .get(&lower(name))
            .and_then(|id| self.namespaces.get(id))
            .ok_or_else(|| NamespaceNotFound {
                wanted: name.to_owned(),
            })
    }

    /// The service of that name; in a namespace with several that differ by case, the one that matches exactly.
    pub(crate) fn service_named(
        &self,
        namespace: NamespaceId,
        name: &str,
    ) -> Result<&ServiceState, ServiceNotFound> {
        let ids = self.service_names.get(&(namespace, lower(name)));
        let mut states = ids.into_iter().flatten().filter_map(|id| self.services.get(id));
        let first = states.next();
        first
            .filter(|state| state.service.name == name)
            .or_else(|| states.find(|state| state.service.name == name))
            .or(first)
            .ok_or_else(|| ServiceNotFound {
                wanted: name.to_owned(),
            })
    }

    pub(crate) fn service_state(&self, id: ServiceId) -> Result<&ServiceState, ServiceNotFound> {
        self.services.get(&id).ok_or_else(|| ServiceNotFound {
            wanted: id.to_string(),
        })
    }

    pub(crate) fn view(&self, state: &ServiceState) -> Option<ServiceView> {
        let namespace = &self.namespaces.get(&state.service.namespace)?.namespace;
        Some(ServiceView {
            service: state.service.clone(),
            namespace_name: namespace.name.clone(),
            namespace_kind: namespace.kind,
            soa_ttl: namespace.soa_ttl.unwrap_or(self.settings.dns_ttl),
            default_ttl: self.settings.dns_ttl,
            instances: state.instances.len(),
            revision: state.revision,
        })
    }
}

/// Names are compared in lower case, as DNS does.
pub(crate) fn lower(name: &str) -> String {
    name.to_ascii_lowercase()
}
