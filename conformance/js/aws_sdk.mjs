// Sends, publishes and receives with the AWS SDK for JavaScript v3, whose MD5 checks are on.
// Usage: AWS_ENDPOINT_URL=http://127.0.0.1:4566 node aws_sdk.mjs   (module directory: $TSUGITE_NODE_MODULES)
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const modules = process.env.TSUGITE_NODE_MODULES ?? path.join(import.meta.dirname, "node_modules");
const require = createRequire(path.join(modules, "x.js"));
const {
  SQSClient, ChangeMessageVisibilityBatchCommand, CreateQueueCommand, DeleteMessageBatchCommand, DeleteMessageCommand,
  DeleteQueueCommand, GetQueueAttributesCommand, GetQueueUrlCommand, PurgeQueueCommand, ReceiveMessageCommand,
  SendMessageBatchCommand, SendMessageCommand,
} = require("@aws-sdk/client-sqs");
const {
  SNSClient, CreateTopicCommand, DeleteTopicCommand, GetSubscriptionAttributesCommand, GetTopicAttributesCommand,
  ListPlatformApplicationsCommand, ListSubscriptionsByTopicCommand, PublishBatchCommand, PublishCommand,
  SetSubscriptionAttributesCommand, SubscribeCommand, TagResourceCommand, UnsubscribeCommand,
} = require("@aws-sdk/client-sns");

const config = {
  endpoint: process.env.AWS_ENDPOINT_URL,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
  maxAttempts: 1,
};
const sqs = new SQSClient(config);
const sns = new SNSClient(config);

const bodies = ({ Messages }) => (Messages ?? []).map((message) => message.Body);
const fails = (command, error) => assert.rejects(sqs.send(command), { name: error });

const name = `js-${process.pid}`;
const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: name }));
assert.equal((await sqs.send(new GetQueueUrlCommand({ QueueName: name }))).QueueUrl, QueueUrl);
const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["All"] }));
assert.equal(Attributes.VisibilityTimeout, "30");

const MessageAttributes = {
  city: { DataType: "String", StringValue: "京都" },
  raw: { DataType: "Binary", BinaryValue: new Uint8Array([0, 1, 255]) },
};
await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "one", MessageAttributes }));
const sent = await sqs.send(new SendMessageBatchCommand({
  QueueUrl,
  Entries: [{ Id: "a", MessageBody: "two" }, { Id: "b", MessageBody: "\u0000" }],
}));
assert.deepEqual(sent.Successful.map((entry) => entry.Id), ["a"]);
assert.deepEqual(sent.Failed.map((entry) => entry.Code), ["InvalidMessageContents"]);

const received = await sqs.send(new ReceiveMessageCommand({
  QueueUrl, MaxNumberOfMessages: 10, MessageAttributeNames: ["All"], MessageSystemAttributeNames: ["All"],
}));
assert.deepEqual(received.Messages.map((message) => message.Body), ["one", "two"]);
assert.equal(received.Messages[0].MessageAttributes.city.StringValue, "京都");
assert.deepEqual([...received.Messages[0].MessageAttributes.raw.BinaryValue], [0, 1, 255]);
assert.equal(received.Messages[0].Attributes.ApproximateReceiveCount, "1");
await sqs.send(new DeleteMessageBatchCommand({
  QueueUrl,
  Entries: received.Messages.map((message, n) => ({ Id: String(n), ReceiptHandle: message.ReceiptHandle })),
}));
assert.equal((await sqs.send(new ReceiveMessageCommand({ QueueUrl }))).Messages, undefined);

// A long poll wakes at a send, and one can be given up.
const poll = sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 20 }));
const begin = Date.now();
setTimeout(() => sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "wake" })), 200);
const [woken] = (await poll).Messages;
assert.equal(woken.Body, "wake");
assert.ok(Date.now() - begin < 5000);
await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: woken.ReceiptHandle }));
const given = new AbortController();
const waiting = sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 20 }), { abortSignal: given.signal });
setTimeout(() => given.abort(), 200);
await assert.rejects(waiting, { name: "AbortError" });
await new Promise((resolve) => setTimeout(resolve, 100));
await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "not for who has gone" }));
const next = await sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 2 }));
assert.deepEqual(bodies(next), ["not for who has gone"]);
await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: next.Messages[0].ReceiptHandle }));

// A FIFO queue: batches in order, repeats, groups, attempts.
{
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({
    QueueName: `${name}.fifo`, Attributes: { FifoQueue: "true", DeduplicationScope: "messageGroup" },
  }));
  const Entries = ["a-1", "b-1", "a-2"].map((body) => ({
    Id: body, MessageBody: body, MessageGroupId: body[0], MessageDeduplicationId: body.slice(2),
  }));
  const { Successful } = await sqs.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
  assert.deepEqual(Successful.map((entry) => entry.Id), ["a-1", "b-1", "a-2"]);
  const numbers = Successful.map((entry) => BigInt(entry.SequenceNumber));
  assert.ok(numbers[0] < numbers[1] && numbers[1] < numbers[2]);
  const again = await sqs.send(new SendMessageCommand({
    QueueUrl, MessageBody: "repeat", MessageGroupId: "a", MessageDeduplicationId: "1",
  }));
  assert.equal(again.MessageId, Successful[0].MessageId);
  const attempt = { QueueUrl, ReceiveRequestAttemptId: "once", MessageSystemAttributeNames: ["All"] };
  const first = await sqs.send(new ReceiveMessageCommand(attempt));
  const same = await sqs.send(new ReceiveMessageCommand(attempt));
  assert.equal(first.Messages[0].Attributes.MessageGroupId, "a");
  assert.equal(same.Messages[0].ReceiptHandle, first.Messages[0].ReceiptHandle);
  assert.deepEqual(bodies(await sqs.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }))), ["b-1"]);
  await sqs.send(new ChangeMessageVisibilityBatchCommand({
    QueueUrl, Entries: [{ Id: "x", ReceiptHandle: first.Messages[0].ReceiptHandle, VisibilityTimeout: 0 }],
  }));
  const rest = await sqs.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }));
  assert.deepEqual(bodies(rest), ["a-1", "a-2"]);
  await fails(new SendMessageCommand({ QueueUrl, MessageBody: "x" }), "MissingParameter");
  await sqs.send(new PurgeQueueCommand({ QueueUrl }));
  await fails(new PurgeQueueCommand({ QueueUrl }), "PurgeQueueInProgress");
}

// Errors have the names of the SDK's classes.
await fails(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: "junk" }), "ReceiptHandleIsInvalid");
await fails(new SendMessageBatchCommand({ QueueUrl, Entries: [] }), "EmptyBatchRequest");
await fails(new CreateQueueCommand({ QueueName: name, Attributes: { DelaySeconds: "7" } }), "QueueNameExists");

const { TopicArn } = await sns.send(new CreateTopicCommand({ Name: name }));
const Endpoint = `arn:aws:sqs:us-east-1:000000000000:${name}`;
await sns.send(new SubscribeCommand({ TopicArn, Protocol: "sqs", Endpoint }));
const { MessageId } = await sns.send(new PublishCommand({ TopicArn, Message: "news", Subject: "s" }));
const [news] = (await sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 2 }))).Messages;
const envelope = JSON.parse(news.Body);
assert.deepEqual([envelope.MessageId, envelope.Message, envelope.Subject], [MessageId, "news", "s"]);

await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: news.ReceiptHandle }));

// Fan-out: the envelope, the bare message, and what a filter keeps out; a batch with an entry that fails.
{
  const raw = await sqs.send(new CreateQueueCommand({ QueueName: `${name}-raw` }));
  const arn = `arn:aws:sqs:us-east-1:000000000000:${name}-raw`;
  const { SubscriptionArn } = await sns.send(new SubscribeCommand({
    TopicArn, Protocol: "sqs", Endpoint: arn, ReturnSubscriptionArn: true,
    Attributes: { RawMessageDelivery: "true", FilterPolicy: JSON.stringify({ kind: ["order"] }) },
  }));
  const of = (kind) => ({ kind: { DataType: "String", StringValue: kind } });
  const batch = await sns.send(new PublishBatchCommand({
    TopicArn,
    PublishBatchRequestEntries: [
      { Id: "a", Message: "for both", MessageAttributes: of("order") },
      { Id: "b", Message: "for one", MessageAttributes: of("other") },
      { Id: "c", Message: "" },
    ],
  }));
  assert.deepEqual(batch.Successful.map((entry) => entry.Id), ["a", "b"]);
  assert.deepEqual(batch.Failed.map((entry) => [entry.Id, entry.Code, entry.SenderFault]), [["c", "InvalidParameter", true]]);
  const all = { MaxNumberOfMessages: 10, WaitTimeSeconds: 2, MessageAttributeNames: ["All"] };
  const bare = (await sqs.send(new ReceiveMessageCommand({ QueueUrl: raw.QueueUrl, ...all }))).Messages;
  assert.deepEqual(bare.map((message) => [message.Body, message.MessageAttributes.kind.StringValue]), [["for both", "order"]]);
  const wrapped = bodies(await sqs.send(new ReceiveMessageCommand({ QueueUrl, ...all })));
  assert.deepEqual(wrapped.map((body) => JSON.parse(body).Message).sort(), ["for both", "for one"]);
  const attributes = await sns.send(new GetSubscriptionAttributesCommand({ SubscriptionArn }));
  assert.equal(attributes.Attributes.FilterPolicyScope, "MessageAttributes");
  await assert.rejects(sns.send(new SetSubscriptionAttributesCommand({
    SubscriptionArn, AttributeName: "FilterPolicy", AttributeValue: "{nonsense}",
  })), { name: "InvalidParameterException" });
  await sns.send(new UnsubscribeCommand({ SubscriptionArn }));
  const { Subscriptions } = await sns.send(new ListSubscriptionsByTopicCommand({ TopicArn }));
  assert.deepEqual(Subscriptions.map((subscription) => subscription.Endpoint), [Endpoint]);
}

// A FIFO topic to a FIFO queue: order, numbers, repeats.
{
  const { TopicArn } = await sns.send(new CreateTopicCommand({
    Name: `${name}.fifo`, Attributes: { FifoTopic: "true", ContentBasedDeduplication: "true" },
  }));
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: `${name}-of.fifo`, Attributes: { FifoQueue: "true" } }));
  await sns.send(new SubscribeCommand({
    TopicArn, Protocol: "sqs", Endpoint: `arn:aws:sqs:us-east-1:000000000000:${name}-of.fifo`,
    Attributes: { RawMessageDelivery: "true" },
  }));
  const send = (Message) => sns.send(new PublishCommand({ TopicArn, Message, MessageGroupId: "g" }));
  const [one, two, again] = [await send("1"), await send("2"), await send("1")];
  assert.ok(BigInt(one.SequenceNumber) < BigInt(two.SequenceNumber));
  assert.equal(again.MessageId, one.MessageId);
  assert.deepEqual(bodies(await sqs.send(new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10 }))), ["1", "2"]);
  await assert.rejects(sns.send(new PublishCommand({ TopicArn, Message: "x" })), { name: "InvalidParameterException" });
}

// Errors have the names of the SDK's classes.
const refuses = (command, error) => assert.rejects(sns.send(command), { name: error });
await refuses(new GetTopicAttributesCommand({ TopicArn: `${TopicArn}-absent` }), "NotFoundException");
await refuses(new TagResourceCommand({ ResourceArn: `${TopicArn}-absent`, Tags: [{ Key: "k", Value: "v" }] }),
  "ResourceNotFoundException");
await refuses(new PublishBatchCommand({ TopicArn, PublishBatchRequestEntries: [] }), "EmptyBatchRequestException");
await refuses(new PublishCommand({ TopicArn, Message: "x", MessageAttributes: { a: { DataType: "Odd", StringValue: "x" } } }),
  "InvalidParameterValueException");
await refuses(new ListPlatformApplicationsCommand({}), "InvalidParameterException");

await sns.send(new DeleteTopicCommand({ TopicArn }));
await sqs.send(new DeleteQueueCommand({ QueueUrl }));
await assert.rejects(sqs.send(new GetQueueUrlCommand({ QueueName: name })), (error) => {
  assert.equal(error.name, "QueueDoesNotExist");
  return true;
});
await assert.rejects(sns.send(new PublishCommand({ TopicArn, Message: "x" })), { name: "NotFoundException" });
console.log("ok");
