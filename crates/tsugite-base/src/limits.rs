//! Every limit of the product, in one file. Relations between them are asserted at compile time.

/// Longest queue name, in characters (AWS: SQS quotas).
pub const QUEUE_NAME_CHARS: usize = 80;
/// Longest topic name, in characters.
pub const TOPIC_NAME_CHARS: usize = 256;
/// Entries in one batch call.
pub const BATCH_ENTRIES: usize = 10;
/// Bytes of one message with its attributes, and of one batch (AWS since 2025).
pub const MESSAGE_BYTES: usize = 1_048_576;
/// Bytes of one published message with its attributes (AWS: SNS default).
pub const TOPIC_MESSAGE_BYTES: usize = 262_144;
/// Bytes of a topic's policy, and of its data protection policy (AWS).
pub const TOPIC_POLICY_BYTES: usize = 30_720;
/// Subscriptions of a FIFO topic, of a standard one, and of one with messages above 256 KiB (AWS).
pub const FIFO_TOPIC_SUBSCRIPTIONS: usize = 100;
/// See [`FIFO_TOPIC_SUBSCRIPTIONS`].
pub const TOPIC_SUBSCRIPTIONS: usize = 12_500_000;
/// See [`FIFO_TOPIC_SUBSCRIPTIONS`].
pub const LARGE_TOPIC_SUBSCRIPTIONS: usize = 100;
/// Filter policies of one topic, unless the operator wants more (AWS).
pub const FILTER_POLICIES: usize = 200;
/// Seconds for which a token of a subscription counts (AWS: two days).
pub const TOKEN_SECONDS: u64 = 172_800;
/// Bytes of an endpoint's URL.
pub const ENDPOINT_BYTES: usize = 2_048;
/// Seconds for which a message stays in an outbox at most: the longest retention of a queue.
pub const RETENTION_SECONDS: u32 = 1_209_600;
/// Messages to addresses and phones that are kept for people to look at.
pub const CAPTURED_MESSAGES: usize = 1_000;
/// Elements on one page of a list of topics or subscriptions (AWS).
pub const LIST_TOPICS: usize = 100;
/// Message attributes on one message.
pub const MESSAGE_ATTRIBUTES: usize = 10;
/// Characters of a message attribute's name, and of its data type.
pub const MESSAGE_ATTRIBUTE_NAME_CHARS: usize = 256;
/// Most characters in the subject of a message to a topic.
pub const SUBJECT_CHARS: usize = 100;
/// Least digits of a phone number with the code of its country: no shorter one is in use.
pub const PHONE_DIGITS_LEAST: usize = 7;
/// Most digits of a phone number (E.164).
pub const PHONE_DIGITS_MOST: usize = 15;
/// Messages of one receive.
pub const RECEIVE_MESSAGES: usize = 10;
/// Names on one page of a list of queues.
pub const LIST_QUEUES: usize = 1_000;
/// Messages of one queue that may be leased at the same time.
pub const IN_FLIGHT_MESSAGES: usize = 120_000;
/// Seconds before a queue can be purged again.
pub const PURGE_GUARD_SECONDS: u64 = 60;
/// Seconds for which a FIFO queue remembers what it accepted, and what a receive attempt got (AWS).
pub const DEDUPLICATION_SECONDS: u64 = 300;
/// Characters of `MessageGroupId`, `MessageDeduplicationId` and `ReceiveRequestAttemptId` (AWS).
pub const GROUP_ID_CHARS: usize = 128;
/// Receive attempts that one FIFO queue remembers.
pub const RECEIVE_ATTEMPTS: usize = 16_384;
/// Caps of a queue's policy (AWS: SQS quotas): bytes, statements, principals in all of them, and of one statement its
/// conditions and actions.
pub const POLICY_BYTES: usize = 8_192;
/// See [`POLICY_BYTES`].
pub const POLICY_STATEMENTS: usize = 20;
/// See [`POLICY_BYTES`].
pub const POLICY_PRINCIPALS: usize = 50;
/// See [`POLICY_BYTES`].
pub const POLICY_CONDITIONS: usize = 10;
/// See [`POLICY_BYTES`].
pub const POLICY_ACTIONS: usize = 7;
/// Characters of a queue's `KmsMasterKeyId` (AWS KMS).
pub const KMS_KEY_CHARS: usize = 2_048;
/// Tags of a queue, and characters of a tag's key and value (AWS).
pub const QUEUE_TAGS: usize = 50;
/// See [`QUEUE_TAGS`].
pub const TAG_KEY_CHARS: usize = 128;
/// See [`QUEUE_TAGS`].
pub const TAG_VALUE_CHARS: usize = 256;
/// Seconds for which the name of a deleted queue cannot be used again, if the operator wants that as at AWS.
pub const DELETED_GUARD_SECONDS: u64 = 60;
/// Message move tasks of one account that can run at the same time (AWS).
pub const MOVE_TASKS: usize = 100;
/// Seconds after which a message move task ends (AWS: 36 hours).
pub const MOVE_TASK_SECONDS: u64 = 129_600;
/// Finished message move tasks of one source that are kept for lists.
pub const MOVE_TASKS_LISTED: usize = 10;
/// Messages that one step of a message move task moves.
pub const MOVES_PER_STEP: usize = 100;
/// Messages per second that a message move task can be told to move at most (AWS).
pub const MOVE_TASK_RATE: u32 = 500;
/// Bytes of payloads in one step of a message move task; a longer message makes a step of its own.
pub const MOVE_STEP_BYTES: usize = MESSAGE_BYTES;
/// How many places behind that of the look a step of a message move task looks for its messages.
pub const MOVE_STEP_SLACK: usize = 1_000;
/// Characters of a receipt handle (AWS).
pub const RECEIPT_HANDLE_CHARS: usize = 1_024;
/// Dead letters moved by one step of a receive; a receive that finds nothing else takes another step.
pub const DEAD_LETTERS_PER_STEP: usize = 100;
/// Seconds that a message may be hidden (12 hours).
pub const VISIBILITY_SECONDS: u32 = 43_200;
/// Seconds that a message may be delayed.
pub const DELAY_SECONDS: u32 = 900;
/// Seconds of a long poll.
pub const WAIT_SECONDS: u32 = 20;
/// Tries of one HTTP delivery after the first one (AWS).
pub const DELIVERY_RETRIES: u32 = 100;
/// Seconds of all delays between the tries of one HTTP delivery, jitter aside (AWS).
pub const DELIVERY_RETRY_SECONDS: u32 = 3_600;
/// Deliveries in a second to which a throttle policy may hold an endpoint, at most.
pub const DELIVERIES_PER_SECOND: u32 = 1_000_000;
/// Seconds of one try of an HTTP delivery (AWS).
pub const DELIVERY_TRY_SECONDS: u64 = 15;
/// Tries under way to one endpoint, and connections to it that are kept.
pub const DELIVERIES_PER_ENDPOINT: usize = 32;
/// Bytes of a delivery policy; one with every member has about 400.
pub const DELIVERY_POLICY_BYTES: usize = 8_192;
/// Bytes of the begin of a URL that a request named by its `Host`; longer ones are not noted.
pub const BASE_URL_BYTES: usize = 300;
/// Bytes of a request body on the AWS port: a full batch as JSON with every character escaped twice over.
pub const AWS_BODY_BYTES: usize = 8 * MESSAGE_BYTES;
/// Bytes of all request headers on any port.
pub const HEADER_BYTES: usize = 64 * 1024;
/// Number of request headers on any port.
pub const HEADERS: usize = 128;
/// Watches of services at the same time, as configured at most, and by default: below 20,000 open files.
pub const WATCHERS: usize = 1_000_000;
/// See [`WATCHERS`].
pub const DEFAULT_WATCHERS: usize = 16_000;
/// Bytes of a request body on the admin port.
pub const ADMIN_BODY_BYTES: usize = 256 * 1024;

const _: () = assert!(
    AWS_BODY_BYTES >= 6 * MESSAGE_BYTES,
    "a JSON string may escape each byte as \\u00XX"
);
