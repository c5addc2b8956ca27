// Sends, publishes and receives with the AWS SDK for JavaScript v3, whose MD5 checks are on.
// Usage: AWS_ENDPOINT_URL=http://127.0.0.1:4566 node aws_sdk.mjs   (module directory: $TSUGITE_NODE_MODULES)
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const modules = process.env.TSUGITE_NODE_MODULES ?? path.join(import.meta.dirname, "node_modules");
const require = createRequire(path.join(modules, "x.js"));
const {
  SQSClient, CreateQueueCommand, DeleteMessageBatchCommand, DeleteQueueCommand, GetQueueAttributesCommand,
  GetQueueUrlCommand, ReceiveMessageCommand, SendMessageBatchCommand, SendMessageCommand,
} = require("@aws-sdk/client-sqs");
const { SNSClient, CreateTopicCommand, DeleteTopicCommand, PublishCommand, SubscribeCommand } =
  require("@aws-sdk/client-sns");

const config = {
  endpoint: process.env.AWS_ENDPOINT_URL,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
  maxAttempts: 1,
};
const sqs = new SQSClient(config);
const sns = new SNSClient(config);

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

const { TopicArn } = await sns.send(new CreateTopicCommand({ Name: name }));
const Endpoint = `arn:aws:sqs:us-east-1:000000000000:${name}`;
await sns.send(new SubscribeCommand({ TopicArn, Protocol: "sqs", Endpoint }));
const { MessageId } = await sns.send(new PublishCommand({ TopicArn, Message: "news", Subject: "s" }));
const [news] = (await sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 2 }))).Messages;
const envelope = JSON.parse(news.Body);
assert.deepEqual([envelope.MessageId, envelope.Message, envelope.Subject], [MessageId, "news", "s"]);

await sns.send(new DeleteTopicCommand({ TopicArn }));
await sqs.send(new DeleteQueueCommand({ QueueUrl }));
await assert.rejects(sqs.send(new GetQueueUrlCommand({ QueueName: name })), (error) => {
  assert.equal(error.name, "QueueDoesNotExist");
  return true;
});
await assert.rejects(sns.send(new PublishCommand({ TopicArn, Message: "x" })), { name: "NotFoundException" });
console.log("ok");
