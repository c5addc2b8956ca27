//! What each operation can refuse: leaf facts, and one enum per operation made of them.
//!
//! Nothing here knows a status code or a wire name of an error; the endpoints map each enum exhaustively.

use std::fmt;

use tsugite_base::{Invalid, Uuid};

use crate::keys::QueueKey;

/// Declares a leaf error with its message.
macro_rules! leaf {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $ty:ty),* $(,)? }, |$e:ident, $f:ident| $body:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name { $($(#[$field_doc])* pub $field: $ty),* }
        impl fmt::Display for $name {
            fn fmt(&self, $f: &mut fmt::Formatter<'_>) -> fmt::Result { let $e = self; $body }
        }
        impl std::error::Error for $name {}
    };
}

/// Declares an operation's error: each variant wraps a leaf, converts from it and shows its message.
macro_rules! operation {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident($leaf:ty)),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant($leaf)),* }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $($name::$variant(e) => e.fmt(f)),* }
            }
        }
        impl std::error::Error for $name {}
        $(impl From<$leaf> for $name {
            fn from(e: $leaf) -> $name { $name::$variant(e) }
        })*
    };
}

pub(crate) use {leaf, operation};

leaf!(
    /// No queue of that name in that scope.
    QueueNotFound { /** The queue asked for. */ queue: QueueKey },
    |e, f| write!(f, "The specified queue does not exist. Looked for: {} (account {}, region {}).", e.queue.name, e.queue.scope.account, e.queue.scope.region)
);
leaf!(
    /// The queue exists with another value of an attribute that the request states.
    QueueExists { /** The queue's name. */ name: String, /** The first attribute that differs. */ attribute: String },
    |e, f| write!(f, "A queue already exists with the same name and a different value for attribute {}", e.attribute)
);
leaf!(
    /// An attribute name that is unknown, read-only, or of another type of queue.
    AttributeNameInvalid { /** The name as given. */ name: String, /** What is known of it nevertheless, as a sentence; else empty. */ reason: &'static str },
    |e, f| write!(f, "Unknown Attribute {}.{}{}", e.name, if e.reason.is_empty() { "" } else { " " }, e.reason)
);
leaf!(
    /// An attribute value out of range or not well-formed.
    AttributeValueInvalid { /** The attribute, the value, the rule. */ invalid: Invalid },
    |e, f| e.invalid.fmt(f)
);
leaf!(
    /// A purge less than the guard time after the last one.
    PurgeInProgress { /** The queue's name. */ name: String, /** Seconds of the guard. */ seconds: u64 },
    |e, f| write!(f, "Only one PurgeQueue operation on {} is allowed every {} seconds.", e.name, e.seconds)
);
leaf!(
    /// A body that holds no character.
    BodyMissing {},
    |_e, f| f.write_str("The request must contain the parameter MessageBody.")
);
leaf!(
    /// A body with a character outside the allowed set (XML 1.0 without surrogates).
    BodyInvalid { /** The first such character. */ character: char, /** Its byte offset. */ offset: usize },
    |e, f| write!(f, "Invalid character U+{:04X} at byte {} of the message body; allowed are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF.", u32::from(e.character), e.offset)
);
leaf!(
    /// A batch larger than a batch may be.
    BatchTooLong { /** Bytes of all entries. */ bytes: usize, /** Bytes allowed. */ limit: usize },
    |e, f| write!(f, "Batch requests cannot be longer than {} bytes. You have sent {} bytes.", e.limit, e.bytes)
);
leaf!(
    /// Too many messages of the queue are in flight.
    OverLimit { /** The queue's name. */ name: String, /** The cap. */ limit: usize },
    |e, f| write!(f, "Queue {} has {} messages in flight, which is the limit; delete or release some.", e.name, e.limit)
);
leaf!(
    /// Text that is no receipt handle, or one of another queue.
    HandleInvalid { /** The handle as given, shortened. */ handle: String },
    |e, f| write!(f, "The input receipt handle \"{}\" is not a valid receipt handle.", e.handle)
);

leaf!(
    /// A parameter that this queue needs and the request has not.
    ParameterMissing { /** The parameter, as its protocol spells it. */ name: &'static str },
    |e, f| write!(f, "The request must contain the parameter {}.", e.name)
);

leaf!(
    /// A queue of that name was deleted a moment ago.
    QueueDeletedRecently { /** The queue's name. */ name: String, /** Seconds of the guard. */ seconds: u64 },
    |e, f| write!(f, "You must wait {} seconds after deleting a queue before you can create another with the same name.", e.seconds)
);
leaf!(
    /// A policy that would be larger than AWS lets it be.
    PolicyOverCap { /** The cap, as a sentence without its stop. */ cap: String },
    |e, f| write!(f, "The policy is over a limit: {}.", e.cap)
);

leaf!(
    /// A queue that a move task is to be about does not exist.
    MoveQueueNotFound { /** The parameter that names it. */ parameter: &'static str, /** The queue asked for. */ queue: QueueKey },
    |e, f| write!(f, "The resource that you specified for the {} parameter doesn't exist. Looked for: {}.", e.parameter, e.queue.arn())
);
leaf!(
    /// As many tasks as can run are running: one of a source, a hundred of an account.
    MoveTaskBusy { /** The source and the rule. */ invalid: Invalid },
    |e, f| e.invalid.fmt(f)
);
leaf!(
    /// No such move task, or one so old that it is forgotten.
    MoveTaskNotFound { /** Its id. */ task: Uuid, /** The queue that it is looked for in. */ source: QueueKey },
    |e, f| write!(f, "The message move task {} of {} does not exist.", e.task, e.source.arn())
);

operation!(
    /// What [`crate::Broker::start_move_task`] refuses.
    StartMoveTaskError {
        /** No such source or destination. */ Queue(MoveQueueNotFound),
        /** No dead-letter queue, a rate, a destination of another type. */ Invalid(Invalid),
        /** Too many tasks. */ Busy(MoveTaskBusy),
    }
);
operation!(
    /// What [`crate::Broker::cancel_move_task`] refuses.
    CancelMoveTaskError {
        /** No such source. */ Queue(MoveQueueNotFound),
        /** No such task. */ Task(MoveTaskNotFound),
        /** The task has ended. */ Invalid(Invalid),
    }
);
operation!(
    /// What [`crate::Broker::move_tasks`] refuses.
    ListMoveTasksError {
        /** No such source. */ Queue(MoveQueueNotFound),
        /** A number out of range. */ Invalid(Invalid),
    }
);
operation!(
    /// What [`crate::Broker::tag_queue`] refuses.
    TagError {
        /** No such queue. */ Queue(QueueNotFound),
        /** A key or value that breaks a rule, or too many tags. */ Invalid(Invalid),
    }
);
operation!(
    /// What [`crate::Broker::add_permission`] and [`crate::Broker::remove_permission`] refuse.
    PermissionError {
        /** No such queue. */ Queue(QueueNotFound),
        /** The label, an account or an action. */ Invalid(Invalid),
        /** The policy would be too large. */ OverCap(PolicyOverCap),
    }
);
operation!(
    /// What [`crate::Broker::create_queue`] refuses.
    CreateQueueError {
        /** The name breaks a rule, or a redrive policy names a queue that cannot be its target. */ Invalid(Invalid),
        /** An unknown or read-only attribute. */ AttributeName(AttributeNameInvalid),
        /** A bad attribute value. */ AttributeValue(AttributeValueInvalid),
        /** The queue exists and differs. */ Exists(QueueExists),
        /** A queue of that name was deleted a moment ago. */ DeletedRecently(QueueDeletedRecently),
    }
);
operation!(
    /// What [`crate::Broker::set_queue_attributes`] refuses.
    SetQueueAttributesError {
        /** No such queue. */ Queue(QueueNotFound),
        /** A redrive policy names a queue that cannot be its target. */ Invalid(Invalid),
        /** An unknown or read-only attribute. */ AttributeName(AttributeNameInvalid),
        /** A bad attribute value. */ AttributeValue(AttributeValueInvalid),
    }
);
operation!(
    /// What [`crate::Broker::queue_attributes`] refuses.
    QueueAttributesError {
        /** No such queue. */ Queue(QueueNotFound),
        /** An unknown attribute. */ AttributeName(AttributeNameInvalid),
    }
);
operation!(
    /// What [`crate::Broker::purge_queue`] refuses.
    PurgeQueueError {
        /** No such queue. */ Queue(QueueNotFound),
        /** Purged a moment ago. */ InProgress(PurgeInProgress),
    }
);
operation!(
    /// What [`crate::Broker::send`] refuses as a whole.
    SendError {
        /** No such queue. */ Queue(QueueNotFound),
        /** No entry, or more than a batch may have. */ Invalid(Invalid),
        /** The entries together are too long. */ TooLong(BatchTooLong),
        /** A message for a FIFO queue without a group. */ Missing(ParameterMissing),
    }
);
operation!(
    /// What is wrong with one message of a send; the others are stored.
    SendEntryError {
        /** Empty body. */ Missing(BodyMissing),
        /** A character that may not be sent. */ Body(BodyInvalid),
        /** A size, a delay, an attribute, a group. */ Invalid(Invalid),
    }
);
operation!(
    /// What [`crate::Broker::receive`] refuses.
    ReceiveError {
        /** No such queue, or deleted while waiting. */ Queue(QueueNotFound),
        /** A number out of range. */ Invalid(Invalid),
        /** Too many in flight, and no wait was asked for. */ OverLimit(OverLimit),
    }
);
operation!(
    /// What [`crate::Broker::delete`] refuses as a whole.
    DeleteError {
        /** No such queue. */ Queue(QueueNotFound),
        /** No entry, or more than a batch may have. */ Invalid(Invalid),
    }
);
operation!(
    /// Why one message was not deleted; the others are.
    DeleteEntryError {
        /** Not a handle of this queue. */ Handle(HandleInvalid),
        /** The handle of a FIFO queue's message whose lease has ended. */ Invalid(Invalid),
    }
);
operation!(
    /// What [`crate::Broker::change_visibility`] refuses as a whole.
    ChangeVisibilityError {
        /** No such queue. */ Queue(QueueNotFound),
        /** No entry, or more than a batch may have. */ Invalid(Invalid),
    }
);
operation!(
    /// What is wrong with one visibility change; the others are made.
    ChangeVisibilityEntryError {
        /** Not a handle of this queue. */ Handle(HandleInvalid),
        /** Out of range, over the total, or the message is gone or was delivered again. */ Invalid(Invalid),
    }
);
