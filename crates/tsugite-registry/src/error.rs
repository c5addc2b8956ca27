//! Leaf errors, and one enum per operation made of them.
//!
//! Messages name the offending thing; the wire edge decides which protocol error each becomes.

use std::fmt;

use tsugite_base::Invalid;

use crate::model::{NamespaceId, OperationId, Resource, ServiceId};

macro_rules! leaf {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ty),* $(,)? } => $($format:tt)*) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $ty,)*
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let $name { $($field),* } = self;
                $(let _ = $field;)*
                write!(f, $($format)*)
            }
        }

        impl std::error::Error for $name {}
    };
}

leaf!(
    /// No namespace of that id or name.
    NamespaceNotFound {
        /// The id or name that was asked for.
        wanted: String,
    } => "no namespace {wanted}"
);
leaf!(
    /// A namespace of that name exists.
    NamespaceAlreadyExists {
        /// Its name.
        name: String,
        /// Its id.
        id: NamespaceId,
        /// The request that created it.
        creator_request_id: Option<String>,
    } => "namespace {name} exists already as {id}"
);
leaf!(
    /// No service of that id or name.
    ServiceNotFound {
        /// The id or name that was asked for.
        wanted: String,
    } => "no service {wanted}"
);
leaf!(
    /// A service of that name exists in the namespace.
    ServiceAlreadyExists {
        /// Its name.
        name: String,
        /// Its id.
        id: ServiceId,
        /// The request that created it.
        creator_request_id: Option<String>,
    } => "service {name} exists already as {id}"
);
leaf!(
    /// No such instance in the service.
    InstanceNotFound {
        /// The instance that was asked for.
        instance: String,
        /// The service.
        service: ServiceId,
    } => "service {service} has no instance {instance}"
);
leaf!(
    /// The service takes no pushed health.
    CustomHealthNotFound {
        /// The service.
        service: ServiceId,
    } => "service {service} was created without HealthCheckCustomConfig: it takes no pushed health status"
);
leaf!(
    /// What is to be deleted still holds something.
    ResourceInUse {
        /// What, and what it holds.
        what: String,
    } => "{what}"
);
leaf!(
    /// A limit of the registry is reached.
    ResourceLimitExceeded {
        /// What there is too much of.
        what: String,
    } => "{what}"
);
leaf!(
    /// The id of the request was used for a request that asked for something else.
    DuplicateRequest {
        /// The repeated id.
        request_id: String,
        /// What it was used for.
        what: String,
        /// The operation that it started.
        operation: Option<OperationId>,
    } => "the request id {request_id} was already used to {what}"
);
leaf!(
    /// Nothing of that id can have tags.
    ResourceNotFound {
        /// What was asked for.
        resource: Resource,
    } => "there is no {resource}"
);
leaf!(
    /// A resource can have no more tags.
    TooManyTags {
        /// What is tagged.
        resource: Resource,
        /// How many it would have.
        count: usize,
        /// How many it may have.
        limit: usize,
    } => "{resource} would have {count} tags, and may have {limit}"
);
leaf!(
    /// A service can have no more attributes.
    ServiceAttributesLimitExceeded {
        /// The service.
        service: ServiceId,
        /// How many it would have.
        count: usize,
        /// How many it may have.
        limit: usize,
    } => "service {service} would have {count} attributes, and may have {limit}"
);
leaf!(
    /// No operation of that id, or it has left the bounded history.
    OperationNotFound {
        /// The id that was asked for.
        wanted: String,
    } => "no operation {wanted}; the history keeps the latest ones only"
);

macro_rules! operation {
    ($(#[$doc:meta])* $name:ident { $($leaf:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $(
                #[doc = concat!("See [`", stringify!($leaf), "`].")]
                $leaf($leaf),
            )*
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $($name::$leaf(e) => e.fmt(f),)*
                }
            }
        }

        impl std::error::Error for $name {}

        $(
            impl From<$leaf> for $name {
                fn from(e: $leaf) -> $name {
                    $name::$leaf(e)
                }
            }
        )*
    };
}

operation!(
    /// Why a namespace cannot be created.
    CreateNamespaceError { Invalid, NamespaceAlreadyExists, ResourceLimitExceeded, DuplicateRequest, TooManyTags }
);
operation!(
    /// Why a namespace cannot be changed.
    UpdateNamespaceError { Invalid, NamespaceNotFound, DuplicateRequest }
);
operation!(
    /// Why a namespace cannot be deleted.
    DeleteNamespaceError { NamespaceNotFound, ResourceInUse }
);
operation!(
    /// Why a service cannot be created.
    CreateServiceError { Invalid, NamespaceNotFound, ServiceAlreadyExists, ResourceLimitExceeded, TooManyTags }
);
operation!(
    /// Why a service cannot be changed.
    UpdateServiceError { Invalid, ServiceNotFound }
);
operation!(
    /// Why attributes of a service cannot be changed.
    ServiceAttributesError { Invalid, ServiceNotFound, ServiceAttributesLimitExceeded }
);
operation!(
    /// Why tags cannot be changed.
    TagError { Invalid, ResourceNotFound, TooManyTags }
);
operation!(
    /// Why a service cannot be deleted.
    DeleteServiceError { ServiceNotFound, ResourceInUse }
);
operation!(
    /// Why an instance cannot be registered.
    RegisterError { Invalid, ServiceNotFound, DuplicateRequest, ResourceLimitExceeded }
);
operation!(
    /// Why an instance cannot be shown, removed or renewed.
    InstanceError { ServiceNotFound, InstanceNotFound }
);
operation!(
    /// Why a pushed health status is refused.
    CustomHealthError { ServiceNotFound, InstanceNotFound, CustomHealthNotFound }
);
operation!(
    /// Why nothing can be discovered.
    DiscoverError { Invalid, NamespaceNotFound, ServiceNotFound }
);
operation!(
    /// Why a service or instance cannot be put by name.
    PutError { Invalid, ServiceAlreadyExists, ResourceLimitExceeded }
);
operation!(
    /// Why a named instance cannot be removed or renewed.
    NamedError { NamespaceNotFound, ServiceNotFound, InstanceNotFound }
);
operation!(
    /// Why an instance cannot be put out of service, or back.
    AdminHealthError { Invalid, NamespaceNotFound, ServiceNotFound, InstanceNotFound }
);

impl From<NamedError> for AdminHealthError {
    fn from(error: NamedError) -> AdminHealthError {
        match error {
            NamedError::NamespaceNotFound(e) => e.into(),
            NamedError::ServiceNotFound(e) => e.into(),
            NamedError::InstanceNotFound(e) => e.into(),
        }
    }
}

operation!(
    /// Why a list cannot be shown.
    ListError { Invalid, ServiceNotFound }
);
