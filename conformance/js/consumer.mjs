// Real applications: sqs-producer fills queues, sqs-consumer works them off, both as they are on npm.
// Usage: AWS_ENDPOINT_URL=http://127.0.0.1:4566 node consumer.mjs   (module directory: $TSUGITE_NODE_MODULES)
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const modules = process.env.TSUGITE_NODE_MODULES ?? path.join(import.meta.dirname, "node_modules");
const require = createRequire(path.join(modules, "x.js"));
const { SQSClient, CreateQueueCommand, GetQueueAttributesCommand } = require("@aws-sdk/client-sqs");
const { Consumer } = require("sqs-consumer");
const { Producer } = require("sqs-producer");

const sqs = new SQSClient({
  endpoint: process.env.AWS_ENDPOINT_URL,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
});

async function create(name, Attributes) {
  return (await sqs.send(new CreateQueueCommand({ QueueName: name, Attributes }))).QueueUrl;
}

// Works until `enough` is true of what was handled; fails after 30 s and on any error of the consumer itself.
async function work(queueUrl, options, enough) {
  const errors = [];
  const consumer = Consumer.create({ queueUrl, sqs, waitTimeSeconds: 5, ...options });
  consumer.on("error", (error) => errors.push(error));
  consumer.start();
  const deadline = Date.now() + 30_000;
  while (!enough()) {
    assert.ok(Date.now() < deadline, `not done in 30 s: ${errors}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const stopped = new Promise((resolve) => consumer.once("stopped", resolve));
  consumer.stop({ abort: true });
  await stopped;
  assert.deepEqual(errors, []);
}

async function isEmpty(QueueUrl) {
  const AttributeNames = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames }));
  assert.deepEqual(Object.values(Attributes), ["0", "0"]);
}

// One by one, with attributes; a handler that fails gets its message back at once (change of visibility to 0).
{
  const queueUrl = await create(`consumer-${process.pid}`);
  const producer = Producer.create({ queueUrl, sqs });
  const ids = Array.from({ length: 25 }, (_, n) => `m${n}`);
  const results = await producer.send(ids.map((id) => ({
    id, body: `body of ${id} ü`, messageAttributes: { id: { DataType: "String", StringValue: id } },
  })));
  assert.equal(results.length, 25);
  assert.equal(await producer.queueSize(), 25);
  const handled = new Map();
  let failed = 0;
  await work(queueUrl, {
    batchSize: 10,
    messageAttributeNames: ["All"],
    messageSystemAttributeNames: ["ApproximateReceiveCount"],
    terminateVisibilityTimeout: true,
    handleMessage: async (message) => {
      const id = message.MessageAttributes.id.StringValue;
      assert.equal(message.Body, `body of ${id} ü`);
      if (id === "m7" && message.Attributes.ApproximateReceiveCount === "1") {
        failed += 1;
        throw new Error("not now");
      }
      assert.ok(!handled.has(id), `${id} came twice`);
      handled.set(id, Number(message.Attributes.ApproximateReceiveCount));
      return message;
    },
  }, () => handled.size === 25);
  assert.equal(failed, 1);
  assert.equal(handled.get("m7"), 2);
  await isEmpty(queueUrl);
}

// In batches, with a heartbeat that extends leases of three seconds while more than four seconds of work go on.
{
  const queueUrl = await create(`slow-${process.pid}`, { VisibilityTimeout: "3" });
  await Producer.create({ queueUrl, sqs }).send(["one", "two", "three"]);
  const handled = [];
  await work(queueUrl, {
    batchSize: 10,
    visibilityTimeout: 3,
    heartbeatInterval: 1,
    handleMessageBatch: async (messages) => {
      await new Promise((resolve) => setTimeout(resolve, 4500));
      handled.push(...messages.map((message) => message.Body));
      return messages;
    },
  }, () => handled.length >= 3);
  assert.deepEqual(handled.sort(), ["one", "three", "two"]);
  await isEmpty(queueUrl);
}

// A FIFO queue with two consumers: each group in order, whoever takes it.
{
  const queueUrl = await create(`ordered-${process.pid}.fifo`, {
    FifoQueue: "true", ContentBasedDeduplication: "true",
  });
  const messages = Array.from({ length: 60 }, (_, n) => ({
    id: `m${n}`, body: `${"abc"[n % 3]}-${String(n).padStart(3, "0")}`, groupId: "abc"[n % 3],
  }));
  await Producer.create({ queueUrl, sqs }).send(messages);
  await Producer.create({ queueUrl, sqs }).send(messages); // Repeats by content: none is stored.
  const handled = [];
  const options = {
    batchSize: 4,
    suppressFifoWarning: true,
    handleMessageBatch: async (batch) => {
      handled.push(...batch.map((message) => message.Body));
      return batch;
    },
  };
  await Promise.all([0, 1].map(() => work(queueUrl, options, () => handled.length >= 60)));
  for (const group of "abc") {
    const own = handled.filter((body) => body.startsWith(group));
    assert.deepEqual(own, messages.map((message) => message.body).filter((body) => body.startsWith(group)));
  }
  await isEmpty(queueUrl);
}
console.log("ok");
