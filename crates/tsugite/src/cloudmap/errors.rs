//! Every reason of the registry as Cloud Map says it: one exhaustive match per operation. All are status 400.

use tsugite_aws::AwsError;
use tsugite_base::Invalid;
use tsugite_base::names::{Arn, Scope};
use tsugite_engine::Failure;
use tsugite_registry::*;

use super::Call;
use super::output::operation_text;

/// A domain error that has a name in Cloud Map.
pub(super) trait IntoAws {
    /// The wire error; what it names by ARN belongs to this account and region.
    fn into_aws(self, scope: &Scope) -> AwsError;
}

impl<S> Call<'_, S> {
    /// What the answer to a refused command says.
    pub(super) fn refusal(&self, refused: impl IntoAws) -> AwsError {
        refused.into_aws(&self.context.scope)
    }
}

/// An error of the domain under its name in Cloud Map.
pub(super) fn named(shape: &'static str, error: &impl std::fmt::Display) -> AwsError {
    AwsError::bad_request(shape, sentence(error))
}

/// A parameter that is absent, empty or null.
pub(super) fn missing(parameter: &str) -> AwsError {
    invalid(format!("The request must contain the parameter {parameter}."))
}

impl<E: IntoAws> IntoAws for Failure<E> {
    fn into_aws(self, scope: &Scope) -> AwsError {
        match self {
            Failure::Refused(refused) => refused.into_aws(scope),
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

impl IntoAws for Invalid {
    fn into_aws(self, _: &Scope) -> AwsError {
        invalid(self.to_string())
    }
}

macro_rules! leaves {
    ($($leaf:ident => $shape:literal),* $(,)?) => {
        $(
            impl IntoAws for $leaf {
                fn into_aws(self, _: &Scope) -> AwsError {
                    named($shape, &self)
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
    ResourceNotFound => "ResourceNotFoundException",
    ServiceAttributesLimitExceeded => "ServiceAttributesLimitExceededException",
);

/// Capitalised, with a full stop: messages of the domain are phrases.
fn sentence(error: &impl std::fmt::Display) -> String {
    let phrase = error.to_string();
    let mut chars = phrase.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).chain(['.']).collect()
}

impl IntoAws for NamespaceAlreadyExists {
    fn into_aws(self, _: &Scope) -> AwsError {
        named("NamespaceAlreadyExists", &self)
            .with("NamespaceId", self.id.to_string())
            .with_some("CreatorRequestId", self.creator_request_id)
    }
}

impl IntoAws for ServiceAlreadyExists {
    fn into_aws(self, scope: &Scope) -> AwsError {
        named("ServiceAlreadyExists", &self)
            .with("ServiceId", self.id.to_string())
            .with("ServiceArn", arn(scope, Resource::Service(self.id)))
            .with_some("CreatorRequestId", self.creator_request_id)
    }
}

impl IntoAws for TooManyTags {
    fn into_aws(self, scope: &Scope) -> AwsError {
        named("TooManyTagsException", &self).with("ResourceName", arn(scope, self.resource))
    }
}

/// The ARN of a namespace or a service.
pub(super) fn arn(scope: &Scope, resource: Resource) -> String {
    let path = match resource {
        Resource::Namespace(id) => format!("namespace/{id}"),
        Resource::Service(id) => format!("service/{id}"),
    };
    Arn::new("servicediscovery", scope, path).to_string()
}

impl IntoAws for DuplicateRequest {
    fn into_aws(self, _: &Scope) -> AwsError {
        named("DuplicateRequest", &self).with_some("DuplicateOperationId", self.operation.map(operation_text))
    }
}

macro_rules! operations {
    ($($error:ident { $($leaf:ident),* }),* $(,)?) => {
        $(
            impl IntoAws for $error {
                fn into_aws(self, scope: &Scope) -> AwsError {
                    match self {
                        $($error::$leaf(e) => e.into_aws(scope),)*
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
        ResourceLimitExceeded,
        DuplicateRequest,
        TooManyTags
    },
    UpdateNamespaceError {
        Invalid,
        NamespaceNotFound,
        DuplicateRequest
    },
    DeleteNamespaceError {
        NamespaceNotFound,
        ResourceInUse
    },
    CreateServiceError {
        Invalid,
        NamespaceNotFound,
        ServiceAlreadyExists,
        ResourceLimitExceeded,
        TooManyTags
    },
    UpdateServiceError {
        Invalid,
        ServiceNotFound
    },
    ServiceAttributesError {
        Invalid,
        ServiceNotFound,
        ServiceAttributesLimitExceeded
    },
    TagError {
        Invalid,
        ResourceNotFound,
        TooManyTags
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
