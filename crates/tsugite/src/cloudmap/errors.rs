//! Every reason of the registry as Cloud Map says it: one exhaustive match per operation. All are status 400.

use tsugite_aws::AwsError;
use tsugite_base::Invalid;
use tsugite_engine::Failure;
use tsugite_registry::*;

/// A domain error that has a name in Cloud Map.
pub(super) trait IntoAws {
    /// The wire error.
    fn into_aws(self) -> AwsError;
}

impl<E: IntoAws> IntoAws for Failure<E> {
    fn into_aws(self) -> AwsError {
        match self {
            Failure::Refused(refused) => refused.into_aws(),
            Failure::Unavailable(unavailable) => {
                AwsError::unavailable(format!("The request cannot be served now: {unavailable}."))
            }
        }
    }
}

/// A parameter that is absent or breaks a rule.
pub(super) fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::bad_request("InvalidInput", message)
}

/// Something that Cloud Map can do and Tsugite cannot yet.
pub(super) fn unsupported(what: &str) -> AwsError {
    invalid(format!("{what} is not supported yet."))
}

impl IntoAws for Invalid {
    fn into_aws(self) -> AwsError {
        invalid(self.to_string())
    }
}

macro_rules! leaves {
    ($($leaf:ident => $shape:literal),* $(,)?) => {
        $(
            impl IntoAws for $leaf {
                fn into_aws(self) -> AwsError {
                    AwsError::bad_request($shape, sentence(&self))
                }
            }
        )*
    };
}

leaves!(
    NamespaceNotFound => "NamespaceNotFound",
    ServiceNotFound => "ServiceNotFound",
    InstanceNotFound => "InstanceNotFound",
    CustomHealthNotFound => "CustomHealthNotFound",
    ResourceInUse => "ResourceInUse",
    ResourceLimitExceeded => "ResourceLimitExceeded",
    OperationNotFound => "OperationNotFound",
);

/// Capitalised, with a full stop: messages of the domain are phrases.
fn sentence(error: &impl std::fmt::Display) -> String {
    let phrase = error.to_string();
    let mut chars = phrase.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).chain(['.']).collect()
}

impl IntoAws for NamespaceAlreadyExists {
    fn into_aws(self) -> AwsError {
        AwsError::bad_request("NamespaceAlreadyExists", sentence(&self))
            .with("NamespaceId", self.id.to_string())
            .with_some("CreatorRequestId", self.creator_request_id)
    }
}

impl IntoAws for ServiceAlreadyExists {
    fn into_aws(self) -> AwsError {
        AwsError::bad_request("ServiceAlreadyExists", sentence(&self))
            .with("ServiceId", self.id.to_string())
            .with_some("CreatorRequestId", self.creator_request_id)
    }
}

impl IntoAws for DuplicateRequest {
    fn into_aws(self) -> AwsError {
        AwsError::bad_request("DuplicateRequest", sentence(&self))
            .with_some("DuplicateOperationId", self.operation.map(|id| id.to_string()))
    }
}

macro_rules! operations {
    ($($error:ident { $($leaf:ident),* }),* $(,)?) => {
        $(
            impl IntoAws for $error {
                fn into_aws(self) -> AwsError {
                    match self {
                        $($error::$leaf(e) => e.into_aws(),)*
                    }
                }
            }
        )*
    };
}

operations!(
    CreateNamespaceError {
        Invalid,
        NamespaceAlreadyExists,
        ResourceLimitExceeded
    },
    DeleteNamespaceError {
        NamespaceNotFound,
        ResourceInUse
    },
    CreateServiceError {
        Invalid,
        NamespaceNotFound,
        ServiceAlreadyExists,
        ResourceLimitExceeded
    },
    DeleteServiceError {
        ServiceNotFound,
        ResourceInUse
    },
    RegisterError {
        Invalid,
        ServiceNotFound,
        DuplicateRequest,
        ResourceLimitExceeded
    },
    InstanceError {
        ServiceNotFound,
        InstanceNotFound
    },
    CustomHealthError {
        ServiceNotFound,
        InstanceNotFound,
        CustomHealthNotFound
    },
    DiscoverError {
        Invalid,
        NamespaceNotFound,
        ServiceNotFound
    },
    ListError {
        Invalid,
        ServiceNotFound
    },
);
