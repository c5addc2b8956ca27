// The notifications service: takes order events from a queue of its own that is subscribed to the topic.
import process from "node:process";
import { CreateTopicCommand, SNSClient, SubscribeCommand } from "@aws-sdk/client-sns";
import {
  CreateQueueCommand,
  DeleteMessageCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SQSClient,
} from "@aws-sdk/client-sqs";
import { awsSettings } from "./shop.js";

const [sns, sqs] = [new SNSClient(awsSettings), new SQSClient(awsSettings)];

/** The queue, created and subscribed if need be; asking twice changes nothing. */
async function subscribe() {
  const { TopicArn } = await sns.send(new CreateTopicCommand({ Name: "order-events" }));
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: "notifications" }));
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["QueueArn"] }));
  const subscription = { TopicArn, Protocol: "sqs", Endpoint: Attributes.QueueArn, Attributes: { RawMessageDelivery: "true" } };
  await sns.send(new SubscribeCommand(subscription));
  return QueueUrl;
}

let running = true;
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => (running = false));
const QueueUrl = await subscribe();
console.log("notifications waits for orders");
while (running) {
  // A long poll: the answer comes with the first message, or empty after the wait.
  const { Messages = [] } = await sqs.send(
    new ReceiveMessageCommand({ QueueUrl, MaxNumberOfMessages: 10, WaitTimeSeconds: 1 }),
  );
  for (const { Body, ReceiptHandle } of Messages) {
    const event = JSON.parse(Body);
    console.log(`notified: ${event.order} ${event.ticket}`);
    // Only now is it gone; had we died before this line, it would come again.
    await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle }));
  }
}
