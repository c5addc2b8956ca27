//! The registry over the log.

use std::convert::Infallible;
use std::net::SocketAddr;

use tokio::sync::watch;
use tsugite_base::{Decision, Timestamp};
use tsugite_engine::{Failure, RegistryStore, Unavailable};
use tsugite_registry::*;

use super::LogStore;

/// Leases that are renewed under one hold of the store's lock.
const HEARTBEATS_AT_ONCE: usize = 1_024;

/// The outcome of a command that no rule refuses.
fn unrefused<T>(outcome: Result<T, Failure<Infallible>>) -> Result<T, Unavailable> {
    outcome.map_err(|failure| match failure {
        Failure::Refused(never) => match never {},
        Failure::Unavailable(unavailable) => unavailable,
    })
}

impl LogStore {
    /// Looks at the registry; the answer waits until all that it may have seen is durable.
    async fn look<T, E>(&self, f: impl FnOnce(&Registry) -> Result<T, E> + Send) -> Result<T, Failure<E>> {
        let seen = self.read(|domains, _| f(&domains.registry)).await;
        seen.map_err(Failure::Refused)
    }
}

impl RegistryStore for LogStore {
    async fn create_namespace(
        &self,
        cmd: CreateNamespace,
    ) -> Result<OperationId, Failure<CreateNamespaceError>> {
        self.commit(|d, now| d.registry.create_namespace(cmd, now)).await
    }

    async fn update_namespace(
        &self,
        cmd: UpdateNamespace,
    ) -> Result<OperationId, Failure<UpdateNamespaceError>> {
        self.commit(|d, now| d.registry.update_namespace(cmd, now)).await
    }

    async fn delete_namespace(
        &self,
        cmd: DeleteNamespace,
    ) -> Result<OperationId, Failure<DeleteNamespaceError>> {
        self.commit(|d, now| d.registry.delete_namespace(&cmd, now)).await
    }

    async fn get_namespace(&self, id: NamespaceId) -> Result<NamespaceView, Failure<NamespaceNotFound>> {
        self.look(|registry| registry.get_namespace(id)).await
    }

    async fn list_namespaces(
        &self,
        filters: Vec<Filter<NamespaceField>>,
        page: Page,
    ) -> Result<Listed<NamespaceView>, Failure<ListError>> {
        self.look(|registry| registry.list_namespaces(&filters, &page))
            .await
    }

    async fn create_service(&self, cmd: CreateService) -> Result<ServiceView, Failure<CreateServiceError>> {
        self.commit(|d, now| d.registry.create_service(cmd, now)).await
    }

    async fn update_service(&self, cmd: UpdateService) -> Result<OperationId, Failure<UpdateServiceError>> {
        self.commit(|d, now| d.registry.update_service(cmd, now)).await
    }

    async fn change_service_attributes(
        &self,
        cmd: ChangeServiceAttributes,
    ) -> Result<(), Failure<ServiceAttributesError>> {
        self.commit(|d, _| d.registry.change_service_attributes(cmd))
            .await
    }

    async fn service_attributes(&self, id: ServiceId) -> Result<Attributes, Failure<ServiceNotFound>> {
        self.look(|registry| registry.service_attributes(id).cloned())
            .await
    }

    async fn change_tags(&self, cmd: ChangeTags) -> Result<(), Failure<TagError>> {
        self.commit(|d, _| d.registry.change_tags(cmd)).await
    }

    async fn tags(&self, resource: Resource) -> Result<Tags, Failure<ResourceNotFound>> {
        self.look(|registry| registry.tags(resource).cloned()).await
    }

    async fn delete_service(&self, id: ServiceId) -> Result<(), Failure<DeleteServiceError>> {
        self.commit(|d, _| d.registry.delete_service(id)).await
    }

    async fn get_service(&self, id: ServiceId) -> Result<ServiceView, Failure<ServiceNotFound>> {
        self.look(|registry| registry.get_service(id)).await
    }

    async fn list_services(
        &self,
        namespaces: Option<Vec<NamespaceId>>,
        page: Page,
    ) -> Result<Listed<ServiceView>, Failure<ListError>> {
        self.look(|registry| registry.list_services(namespaces.as_deref(), &page))
            .await
    }

    async fn register_instance(&self, cmd: RegisterInstance) -> Result<Registered, Failure<RegisterError>> {
        self.commit(|d, now| d.registry.register_instance(cmd, now)).await
    }

    async fn deregister_instance(
        &self,
        cmd: DeregisterInstance,
    ) -> Result<OperationId, Failure<InstanceError>> {
        self.commit(|d, now| d.registry.deregister_instance(&cmd, now))
            .await
    }

    async fn get_instance(
        &self,
        service: ServiceId,
        instance: String,
    ) -> Result<InstanceView, Failure<InstanceError>> {
        self.look(|registry| registry.get_instance(service, &instance))
            .await
    }

    async fn list_instances(
        &self,
        service: ServiceId,
        page: Page,
    ) -> Result<Listed<InstanceView>, Failure<ListError>> {
        self.look(|registry| registry.list_instances(service, &page))
            .await
    }

    async fn update_custom_health(&self, cmd: UpdateCustomHealth) -> Result<(), Failure<CustomHealthError>> {
        self.commit(|d, _| d.registry.update_custom_health(&cmd)).await
    }

    async fn discover_instances(&self, cmd: Discover) -> Result<Discovered, Failure<DiscoverError>> {
        self.look(|registry| registry.discover_instances(&cmd)).await
    }

    async fn discover_revision(
        &self,
        namespace: String,
        service: String,
    ) -> Result<u64, Failure<DiscoverError>> {
        self.look(|registry| registry.discover_revision(&namespace, &service))
            .await
    }

    async fn get_operation(&self, id: OperationId) -> Result<Operation, Failure<OperationNotFound>> {
        self.look(|registry| registry.get_operation(id)).await
    }

    async fn list_operations(
        &self,
        filters: Vec<Filter<OperationField>>,
        page: Page,
    ) -> Result<Listed<Operation>, Failure<ListError>> {
        self.look(|registry| registry.list_operations(&filters, &page))
            .await
    }

    async fn put_service(&self, cmd: PutService) -> Result<ServiceId, Failure<PutError>> {
        self.commit(|d, now| d.registry.put_service(&cmd, now)).await
    }

    async fn put_instance(&self, cmd: PutInstance) -> Result<PutOutcome, Failure<PutError>> {
        let name = InstanceName {
            namespace: cmd.namespace.clone(),
            service: cmd.service.clone(),
            instance: cmd.instance.clone(),
        };
        loop {
            let put = cmd.clone();
            let outcome = self.commit(|d, now| d.registry.put_instance(put, now)).await?;
            // Between the decision and the renewal the lease may have run out: then it is a new registration.
            let renewed = outcome == PutOutcome::Renewed;
            if !renewed || self.heartbeat(name.clone()).await.is_ok() {
                return Ok(outcome);
            }
        }
    }

    async fn delete_instance(&self, name: InstanceName) -> Result<(), Failure<NamedError>> {
        self.commit(|d, now| d.registry.delete_instance(&name, now)).await
    }

    async fn leave_instance(&self, cmd: LeaveInstance) -> Result<InstanceKey, Failure<NamedError>> {
        self.commit(|d, now| d.registry.leave_instance(&cmd, now)).await
    }

    async fn leavers(&self) -> (u64, Vec<Leaver>) {
        self.read(|d, _| d.registry.leavers()).await
    }

    async fn finish_leaving(&self, leaver: Leaver) -> Result<(), Unavailable> {
        unrefused(
            self.commit(|d, now| Ok(d.registry.finish_leaving(&leaver, now)))
                .await,
        )
    }

    async fn set_admin_health(&self, cmd: SetAdminHealth) -> Result<(), Failure<AdminHealthError>> {
        self.commit(|d, _| d.registry.set_admin_health(cmd)).await
    }

    async fn heartbeats(&self, cmd: Heartbeats) -> Result<Vec<String>, Failure<DiscoverError>> {
        let mut unknown = Vec::new();
        // Some at a time, so that nobody waits long for the store.
        for instances in cmd.instances.chunks(HEARTBEATS_AT_ONCE) {
            let some = Heartbeats {
                namespace: cmd.namespace.clone(),
                service: cmd.service.clone(),
                instances: instances.to_vec(),
            };
            let missing = self.volatile(|d, now| d.registry.heartbeats(&some, now));
            unknown.extend(missing.map_err(Failure::Refused)?);
        }
        Ok(unknown)
    }

    fn report_unreachable(&self, who: &InstanceName, address: SocketAddr) -> bool {
        self.volatile(|d, now| d.registry.report_unreachable(who, address, now))
    }

    async fn heartbeat(&self, name: InstanceName) -> Result<Renewal, Failure<NamedError>> {
        let renewed = self.volatile(|d, now| d.registry.heartbeat(&name, now));
        renewed.map_err(Failure::Refused)
    }

    async fn show_service(
        &self,
        namespace: String,
        service: String,
    ) -> Result<(ServiceView, Vec<InstanceView>), Failure<DiscoverError>> {
        self.look(|registry| registry.show_service(&namespace, &service))
            .await
    }

    async fn reset_registry(&self) -> Result<(), Unavailable> {
        let reset = |registry: &Registry, now| Decision::record(vec![registry.reset(now)], ());
        unrefused(self.commit(|d, now| Ok(reset(&d.registry, now))).await)
    }

    fn registry_changes(&self) -> watch::Receiver<u64> {
        LogStore::registry_changes(self)
    }

    async fn changes_since(&self, seen: u64) -> Changes {
        self.read(|d, _| d.registry.changes_since(seen)).await
    }

    async fn service_index(&self, name: &ServiceName) -> u64 {
        self.read(|d, _| d.registry.service_index(name)).await
    }

    async fn sight(&self, name: ServiceName, page: Page) -> Result<Sight, Failure<DiscoverError>> {
        self.look(|registry| registry.sight(&name, &page)).await
    }

    async fn news(&self, scope: &Scope, seen: Seen, bounds: Bounds) -> News {
        self.read(|d, _| d.registry.news(scope, seen, bounds)).await
    }

    fn touched_since(&self, seen: u64) -> Touched {
        self.peek(|d, _| d.registry.touched_since(seen))
    }

    fn due_probes(&self, limit: usize, seed: u64) -> (Vec<Probe>, Option<Timestamp>) {
        self.volatile(|d, now| {
            let probes = d.registry.due_probes(limit, seed, now);
            (probes, d.registry.next_probe())
        })
    }

    fn probe_result(&self, result: ProbeResult) -> bool {
        self.volatile(|d, now| d.registry.probe_result(&result, now))
    }
}
