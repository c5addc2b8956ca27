//! Every reason of the broker as SQS says it: one exhaustive match per operation.

use tsugite_aws::AwsError;
use tsugite_base::Invalid;
use tsugite_broker::error::*;
use tsugite_engine::{Failure, Unavailable};

/// A domain error that has a name in SQS.
pub(super) trait IntoAws {
    /// The wire error.
    fn into_aws(self) -> AwsError;
}

/// An error whose Query code is the JSON shape behind `AWS.SimpleQueueService.`.
pub(super) fn prefixed(shape: &'static str, status: u16, message: impl Into<String>) -> AwsError {
    AwsError::sender(shape, format!("AWS.SimpleQueueService.{shape}"), status, message)
}

/// A request for something that SQS can do and Tsugite cannot yet.
pub(super) fn unsupported(message: impl Into<String>) -> AwsError {
    prefixed("UnsupportedOperation", 400, message)
}

/// A parameter value that breaks a rule.
pub(super) fn invalid_parameter(message: impl Into<String>) -> AwsError {
    AwsError::sender(
        "InvalidParameterValueException",
        "InvalidParameterValue",
        400,
        message,
    )
}

impl<E: IntoAws> IntoAws for Failure<E> {
    fn into_aws(self) -> AwsError {
        match self {
            Failure::Refused(refused) => refused.into_aws(),
            Failure::Unavailable(unavailable) => self::unavailable(&unavailable),
        }
    }
}

/// The store cannot serve now.
pub(in crate::aws) fn unavailable(unavailable: &Unavailable) -> AwsError {
    AwsError::unavailable(format!("The request cannot be served now: {unavailable}."))
}

impl IntoAws for Invalid {
    fn into_aws(self) -> AwsError {
        self.into()
    }
}

impl IntoAws for QueueNotFound {
    fn into_aws(self) -> AwsError {
        AwsError::sender(
            "QueueDoesNotExist",
            "AWS.SimpleQueueService.NonExistentQueue",
            400,
            self.to_string(),
        )
    }
}

impl IntoAws for HandleInvalid {
    fn into_aws(self) -> AwsError {
        AwsError::bad_request("ReceiptHandleIsInvalid", self.to_string())
    }
}

impl IntoAws for AttributeNameInvalid {
    fn into_aws(self) -> AwsError {
        AwsError::bad_request("InvalidAttributeName", self.to_string())
    }
}

impl IntoAws for AttributeValueInvalid {
    fn into_aws(self) -> AwsError {
        AwsError::bad_request("InvalidAttributeValue", self.to_string())
    }
}

impl IntoAws for CreateQueueError {
    fn into_aws(self) -> AwsError {
        match self {
            CreateQueueError::Invalid(e) => e.into_aws(),
            CreateQueueError::AttributeName(e) => e.into_aws(),
            CreateQueueError::AttributeValue(e) => e.into_aws(),
            CreateQueueError::DeletedRecently(e) => prefixed("QueueDeletedRecently", 400, e.to_string()),
            CreateQueueError::Exists(e) => {
                AwsError::sender("QueueNameExists", "QueueAlreadyExists", 400, e.to_string())
            }
        }
    }
}

impl IntoAws for SetQueueAttributesError {
    fn into_aws(self) -> AwsError {
        match self {
            SetQueueAttributesError::Queue(e) => e.into_aws(),
            SetQueueAttributesError::Invalid(e) => e.into_aws(),
            SetQueueAttributesError::AttributeName(e) => e.into_aws(),
            SetQueueAttributesError::AttributeValue(e) => e.into_aws(),
        }
    }
}

impl IntoAws for QueueAttributesError {
    fn into_aws(self) -> AwsError {
        match self {
            QueueAttributesError::Queue(e) => e.into_aws(),
            QueueAttributesError::AttributeName(e) => e.into_aws(),
        }
    }
}

impl IntoAws for TagError {
    fn into_aws(self) -> AwsError {
        match self {
            TagError::Queue(e) => e.into_aws(),
            TagError::Invalid(e) => e.into_aws(),
        }
    }
}

impl IntoAws for PermissionError {
    fn into_aws(self) -> AwsError {
        match self {
            PermissionError::Queue(e) => e.into_aws(),
            PermissionError::Invalid(e) => e.into_aws(),
            PermissionError::OverCap(e) => AwsError::sender("OverLimit", "OverLimit", 403, e.to_string()),
        }
    }
}

impl IntoAws for PurgeQueueError {
    fn into_aws(self) -> AwsError {
        match self {
            PurgeQueueError::Queue(e) => e.into_aws(),
            PurgeQueueError::InProgress(e) => prefixed("PurgeQueueInProgress", 403, e.to_string()),
        }
    }
}

/// What move tasks say of a queue or a task that does not exist.
fn resource_not_found(message: impl Into<String>) -> AwsError {
    let name = "ResourceNotFoundException";
    AwsError::sender(name, name, 404, message)
}

impl IntoAws for StartMoveTaskError {
    fn into_aws(self) -> AwsError {
        match self {
            StartMoveTaskError::Queue(e) => resource_not_found(e.to_string()),
            StartMoveTaskError::Invalid(e) => e.into_aws(),
            StartMoveTaskError::Busy(e) => e.invalid.into_aws(),
        }
    }
}

impl IntoAws for CancelMoveTaskError {
    fn into_aws(self) -> AwsError {
        match self {
            CancelMoveTaskError::Queue(e) => resource_not_found(e.to_string()),
            CancelMoveTaskError::Task(e) => resource_not_found(e.to_string()),
            CancelMoveTaskError::Invalid(e) => e.into_aws(),
        }
    }
}

impl IntoAws for ListMoveTasksError {
    fn into_aws(self) -> AwsError {
        match self {
            ListMoveTasksError::Queue(e) => resource_not_found(e.to_string()),
            ListMoveTasksError::Invalid(e) => e.into_aws(),
        }
    }
}

impl IntoAws for SendError {
    fn into_aws(self) -> AwsError {
        match self {
            SendError::Queue(e) => e.into_aws(),
            SendError::Invalid(e) => e.into_aws(),
            SendError::TooLong(e) => prefixed("BatchRequestTooLong", 400, e.to_string()),
            SendError::Missing(e) => AwsError::missing(e.name),
        }
    }
}

impl IntoAws for SendEntryError {
    fn into_aws(self) -> AwsError {
        match self {
            SendEntryError::Missing(_) => AwsError::missing("MessageBody"),
            SendEntryError::Body(e) => AwsError::bad_request("InvalidMessageContents", e.to_string()),
            SendEntryError::Invalid(e) => e.into_aws(),
        }
    }
}

impl IntoAws for ReceiveError {
    fn into_aws(self) -> AwsError {
        match self {
            ReceiveError::Queue(e) => e.into_aws(),
            ReceiveError::Invalid(e) => e.into_aws(),
            ReceiveError::OverLimit(e) => AwsError::sender("OverLimit", "OverLimit", 403, e.to_string()),
        }
    }
}

impl IntoAws for DeleteError {
    fn into_aws(self) -> AwsError {
        match self {
            DeleteError::Queue(e) => e.into_aws(),
            DeleteError::Invalid(e) => e.into_aws(),
        }
    }
}

impl IntoAws for DeleteEntryError {
    fn into_aws(self) -> AwsError {
        match self {
            DeleteEntryError::Handle(e) => e.into_aws(),
            DeleteEntryError::Invalid(e) => e.into_aws(),
        }
    }
}

impl IntoAws for ChangeVisibilityError {
    fn into_aws(self) -> AwsError {
        match self {
            ChangeVisibilityError::Queue(e) => e.into_aws(),
            ChangeVisibilityError::Invalid(e) => e.into_aws(),
        }
    }
}

impl IntoAws for ChangeVisibilityEntryError {
    fn into_aws(self) -> AwsError {
        match self {
            ChangeVisibilityEntryError::Handle(e) => e.into_aws(),
            ChangeVisibilityEntryError::Invalid(e) => e.into_aws(),
        }
    }
}
