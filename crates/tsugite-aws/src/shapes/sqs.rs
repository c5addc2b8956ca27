//! The 23 operations of SQS, API version 2012-11-05, as the AWS service models of both protocols state them.

use super::{Kind, Member, Operation};
use Kind::{Bool, Int, List, Map, Struct, Text};

/// The operation of this name.
pub fn operation(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|operation| operation.name == name)
}

/// All operations, sorted by name.
pub const OPERATIONS: &[Operation] = &[
    silent(
        "AddPermission",
        &[
            QUEUE_URL,
            text("Label"),
            list("AWSAccountIds", "AWSAccountId", &Text),
            list("Actions", "ActionName", &Text),
        ],
    ),
    speaking(
        "CancelMessageMoveTask",
        &[text("TaskHandle")],
        &[int("ApproximateNumberOfMessagesMoved")],
    ),
    silent(
        "ChangeMessageVisibility",
        &[QUEUE_URL, RECEIPT_HANDLE, VISIBILITY_TIMEOUT],
    ),
    speaking(
        "ChangeMessageVisibilityBatch",
        &[
            QUEUE_URL,
            list(
                "Entries",
                "ChangeMessageVisibilityBatchRequestEntry",
                &Struct(&[ID, RECEIPT_HANDLE, VISIBILITY_TIMEOUT]),
            ),
        ],
        &[
            list(
                "Successful",
                "ChangeMessageVisibilityBatchResultEntry",
                &Struct(&[ID]),
            ),
            FAILED,
        ],
    ),
    speaking(
        "CreateQueue",
        &[text("QueueName"), ATTRIBUTES, tags("tags")],
        &[QUEUE_URL],
    ),
    silent("DeleteMessage", &[QUEUE_URL, RECEIPT_HANDLE]),
    speaking(
        "DeleteMessageBatch",
        &[
            QUEUE_URL,
            list(
                "Entries",
                "DeleteMessageBatchRequestEntry",
                &Struct(&[ID, RECEIPT_HANDLE]),
            ),
        ],
        &[
            list("Successful", "DeleteMessageBatchResultEntry", &Struct(&[ID])),
            FAILED,
        ],
    ),
    silent("DeleteQueue", &[QUEUE_URL]),
    speaking("GetQueueAttributes", &[QUEUE_URL, ATTRIBUTE_NAMES], &[ATTRIBUTES]),
    speaking(
        "GetQueueUrl",
        &[text("QueueName"), text("QueueOwnerAWSAccountId")],
        &[QUEUE_URL],
    ),
    speaking(
        "ListDeadLetterSourceQueues",
        &[QUEUE_URL, NEXT_TOKEN, MAX_RESULTS],
        &[list("queueUrls", "QueueUrl", &Text), NEXT_TOKEN],
    ),
    speaking(
        "ListMessageMoveTasks",
        &[SOURCE_ARN, MAX_RESULTS],
        &[list(
            "Results",
            "ListMessageMoveTasksResultEntry",
            &Struct(MOVE_TASK),
        )],
    ),
    speaking("ListQueueTags", &[QUEUE_URL], &[tags("Tags")]),
    speaking(
        "ListQueues",
        &[text("QueueNamePrefix"), NEXT_TOKEN, MAX_RESULTS],
        &[list("QueueUrls", "QueueUrl", &Text), NEXT_TOKEN],
    ),
    silent("PurgeQueue", &[QUEUE_URL]),
    speaking(
        "ReceiveMessage",
        &[
            QUEUE_URL,
            ATTRIBUTE_NAMES,
            list("MessageSystemAttributeNames", "MessageSystemAttributeName", &Text),
            list("MessageAttributeNames", "MessageAttributeName", &Text),
            int("MaxNumberOfMessages"),
            VISIBILITY_TIMEOUT,
            int("WaitTimeSeconds"),
            text("ReceiveRequestAttemptId"),
        ],
        &[list("Messages", "Message", &Struct(MESSAGE))],
    ),
    silent("RemovePermission", &[QUEUE_URL, text("Label")]),
    speaking(
        "SendMessage",
        &[
            QUEUE_URL,
            MESSAGE_BODY,
            DELAY_SECONDS,
            MESSAGE_ATTRIBUTES,
            MESSAGE_SYSTEM_ATTRIBUTES,
            MESSAGE_DEDUPLICATION_ID,
            MESSAGE_GROUP_ID,
        ],
        &[
            text("MD5OfMessageBody"),
            text("MD5OfMessageAttributes"),
            text("MD5OfMessageSystemAttributes"),
            text("MessageId"),
            text("SequenceNumber"),
        ],
    ),
    speaking(
        "SendMessageBatch",
        &[
            QUEUE_URL,
            list("Entries", "SendMessageBatchRequestEntry", &Struct(SEND_ENTRY)),
        ],
        &[
            list("Successful", "SendMessageBatchResultEntry", &Struct(SENT_ENTRY)),
            FAILED,
        ],
    ),
    silent("SetQueueAttributes", &[QUEUE_URL, ATTRIBUTES]),
    speaking(
        "StartMessageMoveTask",
        &[
            SOURCE_ARN,
            text("DestinationArn"),
            int("MaxNumberOfMessagesPerSecond"),
        ],
        &[text("TaskHandle")],
    ),
    silent("TagQueue", &[QUEUE_URL, tags("Tags")]),
    silent("UntagQueue", &[QUEUE_URL, list("TagKeys", "TagKey", &Text)]),
];

const QUEUE_URL: Member = text("QueueUrl");
const RECEIPT_HANDLE: Member = text("ReceiptHandle");
const VISIBILITY_TIMEOUT: Member = int("VisibilityTimeout");
const DELAY_SECONDS: Member = int("DelaySeconds");
const MESSAGE_BODY: Member = text("MessageBody");
const MESSAGE_DEDUPLICATION_ID: Member = text("MessageDeduplicationId");
const MESSAGE_GROUP_ID: Member = text("MessageGroupId");
const NEXT_TOKEN: Member = text("NextToken");
const MAX_RESULTS: Member = int("MaxResults");
const SOURCE_ARN: Member = text("SourceArn");
const ID: Member = text("Id");
const ATTRIBUTE_NAMES: Member = list("AttributeNames", "AttributeName", &Text);
const ATTRIBUTES: Member = named("Attributes", "Attribute", &Text);
const MESSAGE_ATTRIBUTES: Member = named("MessageAttributes", "MessageAttribute", &ATTRIBUTE_VALUE);
const MESSAGE_SYSTEM_ATTRIBUTES: Member = named(
    "MessageSystemAttributes",
    "MessageSystemAttribute",
    &ATTRIBUTE_VALUE,
);
const FAILED: Member = list(
    "Failed",
    "BatchResultErrorEntry",
    &Struct(&[
        ID,
        member("SenderFault", "SenderFault", Bool),
        text("Code"),
        text("Message"),
    ]),
);

const ATTRIBUTE_VALUE: Kind = Struct(&[
    text("StringValue"),
    text("BinaryValue"),
    list("StringListValues", "StringListValue", &Text),
    list("BinaryListValues", "BinaryListValue", &Text),
    text("DataType"),
]);

const MESSAGE: &[Member] = &[
    text("MessageId"),
    RECEIPT_HANDLE,
    text("MD5OfBody"),
    text("Body"),
    ATTRIBUTES,
    text("MD5OfMessageAttributes"),
    MESSAGE_ATTRIBUTES,
];

const SEND_ENTRY: &[Member] = &[
    ID,
    MESSAGE_BODY,
    DELAY_SECONDS,
    MESSAGE_ATTRIBUTES,
    MESSAGE_SYSTEM_ATTRIBUTES,
    MESSAGE_DEDUPLICATION_ID,
    MESSAGE_GROUP_ID,
];

const SENT_ENTRY: &[Member] = &[
    ID,
    text("MessageId"),
    text("MD5OfMessageBody"),
    text("MD5OfMessageAttributes"),
    text("MD5OfMessageSystemAttributes"),
    text("SequenceNumber"),
];

const MOVE_TASK: &[Member] = &[
    text("TaskHandle"),
    text("Status"),
    SOURCE_ARN,
    text("DestinationArn"),
    int("MaxNumberOfMessagesPerSecond"),
    int("ApproximateNumberOfMessagesMoved"),
    int("ApproximateNumberOfMessagesToMove"),
    text("FailureReason"),
    int("StartedTimestamp"),
];

/// An operation whose answer has no result element.
const fn silent(name: &'static str, input: &'static [Member]) -> Operation {
    Operation {
        name,
        input,
        output: None,
    }
}

const fn speaking(name: &'static str, input: &'static [Member], output: &'static [Member]) -> Operation {
    Operation {
        name,
        input,
        output: Some(output),
    }
}

const fn member(name: &'static str, wire: &'static str, kind: Kind) -> Member {
    Member { name, wire, kind }
}

const fn text(name: &'static str) -> Member {
    member(name, name, Text)
}

const fn int(name: &'static str) -> Member {
    member(name, name, Int)
}

const fn list(name: &'static str, wire: &'static str, element: &'static Kind) -> Member {
    member(name, wire, List(element))
}

const fn named(name: &'static str, wire: &'static str, value: &'static Kind) -> Member {
    member(name, wire, Map { key: "Name", value })
}

const fn tags(name: &'static str) -> Member {
    member(
        name,
        "Tag",
        Map {
            key: "Key",
            value: &Text,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_operations_stand_in_order() {
        let names: Vec<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
        assert_eq!(names.len(), 23);
        assert!(names.is_sorted(), "{names:?}");
        assert!(operation("SendMessage").is_some_and(|operation| operation.takes("QueueUrl")));
        assert!(operation("ListQueues").is_some_and(|operation| !operation.takes("QueueUrl")));
        assert!(operation("Nothing").is_none());
    }
}
