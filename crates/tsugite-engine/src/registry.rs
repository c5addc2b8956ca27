//! Namespaces, services and instances as a store offers them.

use std::future::Future;

use tokio::sync::watch;
use tsugite_base::Timestamp;
use tsugite_registry::{
    AdminHealthError, Attributes, Bounds, ChangeServiceAttributes, ChangeTags, Changes, CreateNamespace,
    CreateNamespaceError, CreateService, CreateServiceError, CustomHealthError, DeleteNamespace,
    DeleteNamespaceError, DeleteServiceError, DeregisterInstance, Discover, DiscoverError, Discovered,
    Filter, Heartbeats, InstanceError, InstanceKey, InstanceName, InstanceView, LeaveInstance, Leaver,
    ListError, Listed, NamedError, NamespaceField, NamespaceId, NamespaceNotFound, NamespaceView, News,
    Operation, OperationField, OperationId, OperationNotFound, Page, Probe, ProbeResult, PutError,
    PutInstance, PutOutcome, PutService, RegisterError, RegisterInstance, Registered, Renewal, Resource,
    ResourceNotFound, Scope, Seen, ServiceAttributesError, ServiceId, ServiceName, ServiceNotFound,
    ServiceView, SetAdminHealth, Sight, TagError, Tags, Touched, UpdateCustomHealth, UpdateNamespace,
    UpdateNamespaceError, UpdateService, UpdateServiceError,
};

use crate::failure::{Failure, Unavailable};

/// The operations of the registry. A reply means that what it says is durable, except for leases and the results of
/// active checks, which are never stored. All of them are safe to drop at any point.
pub trait RegistryStore: Clone + Send + Sync + 'static {
    /// Creates a namespace.
    fn create_namespace(
        &self,
        cmd: CreateNamespace,
    ) -> impl Future<Output = Result<OperationId, Failure<CreateNamespaceError>>> + Send;

    /// Changes a namespace.
    fn update_namespace(
        &self,
        cmd: UpdateNamespace,
    ) -> impl Future<Output = Result<OperationId, Failure<UpdateNamespaceError>>> + Send;

    /// Deletes an empty namespace.
    fn delete_namespace(
        &self,
        cmd: DeleteNamespace,
    ) -> impl Future<Output = Result<OperationId, Failure<DeleteNamespaceError>>> + Send;

    /// One namespace.
    fn get_namespace(
        &self,
        id: NamespaceId,
    ) -> impl Future<Output = Result<NamespaceView, Failure<NamespaceNotFound>>> + Send;

    /// Namespaces, by id.
    fn list_namespaces(
        &self,
        filters: Vec<Filter<NamespaceField>>,
        page: Page,
    ) -> impl Future<Output = Result<Listed<NamespaceView>, Failure<ListError>>> + Send;

    /// Creates a service.
    fn create_service(
        &self,
        cmd: CreateService,
    ) -> impl Future<Output = Result<ServiceView, Failure<CreateServiceError>>> + Send;

    /// Changes a service.
    fn update_service(
        &self,
        cmd: UpdateService,
    ) -> impl Future<Output = Result<OperationId, Failure<UpdateServiceError>>> + Send;

    /// Sets and removes attributes of a service.
    fn change_service_attributes(
        &self,
        cmd: ChangeServiceAttributes,
    ) -> impl Future<Output = Result<(), Failure<ServiceAttributesError>>> + Send;

    /// The attributes of a service.
    fn service_attributes(
        &self,
        id: ServiceId,
    ) -> impl Future<Output = Result<Attributes, Failure<ServiceNotFound>>> + Send;

    /// Sets and removes tags of a namespace or a service.
    fn change_tags(&self, cmd: ChangeTags) -> impl Future<Output = Result<(), Failure<TagError>>> + Send;

    /// The tags of a namespace or a service.
    fn tags(
        &self,
        resource: Resource,
    ) -> impl Future<Output = Result<Tags, Failure<ResourceNotFound>>> + Send;

    /// Deletes a service without instances.
    fn delete_service(
        &self,
        id: ServiceId,
    ) -> impl Future<Output = Result<(), Failure<DeleteServiceError>>> + Send;

    /// One service.
    fn get_service(
        &self,
        id: ServiceId,
    ) -> impl Future<Output = Result<ServiceView, Failure<ServiceNotFound>>> + Send;

    /// Services, by id, of all namespaces or of those named.
    fn list_services(
        &self,
        namespaces: Option<Vec<NamespaceId>>,
        page: Page,
    ) -> impl Future<Output = Result<Listed<ServiceView>, Failure<ListError>>> + Send;

    /// Registers an instance or replaces one.
    fn register_instance(
        &self,
        cmd: RegisterInstance,
    ) -> impl Future<Output = Result<Registered, Failure<RegisterError>>> + Send;

    /// Deregisters an instance.
    fn deregister_instance(
        &self,
        cmd: DeregisterInstance,
    ) -> impl Future<Output = Result<OperationId, Failure<InstanceError>>> + Send;

    /// One instance.
    fn get_instance(
        &self,
        service: ServiceId,
        instance: String,
    ) -> impl Future<Output = Result<InstanceView, Failure<InstanceError>>> + Send;

    /// Instances of a service, by id, whatever their health.
    fn list_instances(
        &self,
        service: ServiceId,
        page: Page,
    ) -> impl Future<Output = Result<Listed<InstanceView>, Failure<ListError>>> + Send;

    /// Sets the pushed health of an instance.
    fn update_custom_health(
        &self,
        cmd: UpdateCustomHealth,
    ) -> impl Future<Output = Result<(), Failure<CustomHealthError>>> + Send;

    /// Finds instances by name, attributes and health.
    fn discover_instances(
        &self,
        cmd: Discover,
    ) -> impl Future<Output = Result<Discovered, Failure<DiscoverError>>> + Send;

    /// The revision that [`RegistryStore::discover_instances`] would answer with.
    fn discover_revision(
        &self,
        namespace: String,
        service: String,
    ) -> impl Future<Output = Result<u64, Failure<DiscoverError>>> + Send;

    /// One operation.
    fn get_operation(
        &self,
        id: OperationId,
    ) -> impl Future<Output = Result<Operation, Failure<OperationNotFound>>> + Send;

    /// Operations, latest first.
    fn list_operations(
        &self,
        filters: Vec<Filter<OperationField>>,
        page: Page,
    ) -> impl Future<Output = Result<Listed<Operation>, Failure<ListError>>> + Send;

    /// Creates a service by name, with its namespace if need be.
    fn put_service(
        &self,
        cmd: PutService,
    ) -> impl Future<Output = Result<ServiceId, Failure<PutError>>> + Send;

    /// Registers, changes or renews an instance by names, creating what is missing. A renewal is not logged.
    fn put_instance(
        &self,
        cmd: PutInstance,
    ) -> impl Future<Output = Result<PutOutcome, Failure<PutError>>> + Send;

    /// Removes an instance by names.
    fn delete_instance(
        &self,
        name: InstanceName,
    ) -> impl Future<Output = Result<(), Failure<NamedError>>> + Send;

    /// Lets an instance leave: it takes nothing new, and goes by [`RegistryStore::finish_leaving`] or when its time is
    /// over.
    fn leave_instance(
        &self,
        cmd: LeaveInstance,
    ) -> impl Future<Output = Result<InstanceKey, Failure<NamedError>>> + Send;

    /// All instances that are leaving, and the number of the latest change, which [`Changes::seen`] reaches with it.
    /// Resolves once that is durable.
    fn leavers(&self) -> impl Future<Output = (u64, Vec<Leaver>)> + Send;

    /// Removes an instance that is leaving; nothing happens if it is gone.
    fn finish_leaving(&self, leaver: Leaver) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// Takes an instance out of service, or puts it back.
    fn set_admin_health(
        &self,
        cmd: SetAdminHealth,
    ) -> impl Future<Output = Result<(), Failure<AdminHealthError>>> + Send;

    /// Renews the leases of many instances of a service; answers which of them are not registered. Not logged.
    fn heartbeats(
        &self,
        cmd: Heartbeats,
    ) -> impl Future<Output = Result<Vec<String>, Failure<DiscoverError>>> + Send;

    /// Takes the word of callers that nobody accepts connections at an instance's address: it is probed at once, and not
    /// used as long as it does not answer. Says whether that is news. Not logged.
    fn report_unreachable(&self, who: &InstanceName, address: std::net::SocketAddr) -> bool;

    /// Renews the lease of an instance. Not logged.
    fn heartbeat(
        &self,
        name: InstanceName,
    ) -> impl Future<Output = Result<Renewal, Failure<NamedError>>> + Send;

    /// A service and its instances by names, for people.
    fn show_service(
        &self,
        namespace: String,
        service: String,
    ) -> impl Future<Output = Result<(ServiceView, Vec<InstanceView>), Failure<DiscoverError>>> + Send;

    /// Drops every namespace, service, instance and operation.
    fn reset_registry(&self) -> impl Future<Output = Result<(), Unavailable>> + Send;

    /// Fires after every change of instances or their health.
    fn registry_changes(&self) -> watch::Receiver<u64>;

    /// What changed after `seen` (0: everything). Resolves once all of it is durable.
    fn changes_since(&self, seen: u64) -> impl Future<Output = Changes> + Send;

    /// The latest change of a service, of its instances or their health; 0 if there is none of that name. Grows over
    /// restarts.
    fn service_index(&self, name: &ServiceName) -> impl Future<Output = u64> + Send;

    /// A service and a page of its instances, by id.
    fn sight(
        &self,
        name: ServiceName,
        page: Page,
    ) -> impl Future<Output = Result<Sight, Failure<DiscoverError>>> + Send;

    /// What changed within `scope` after the index `seen`, and everything if that is too long ago.
    fn news(&self, scope: &Scope, seen: Seen, bounds: Bounds) -> impl Future<Output = News> + Send;

    /// Which services changed after the index `seen`, for those who wake watchers. It need not be durable yet: whoever
    /// is woken looks for himself.
    fn touched_since(&self, seen: u64) -> Touched;

    /// Hands out at most `limit` active probes that are due, and says when the next one is (steady clock).
    fn due_probes(&self, limit: usize, seed: u64) -> (Vec<Probe>, Option<Timestamp>);

    /// Reports the result of a probe; answers whether it changed the verdict on the instance.
    fn probe_result(&self, result: ProbeResult) -> bool;
}
