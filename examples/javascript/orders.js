// The orders service: asks customers (REST) and the kitchen (gRPC) by name, then tells the topic.
import grpc from "@grpc/grpc-js";
import { CreateTopicCommand, PublishCommand, SNSClient } from "@aws-sdk/client-sns";
import { Kitchen } from "./proto.js";
import { GATEWAY, awsSettings, serveRest } from "./shop.js";

let taken = 0;
// The gateway routes gRPC by authority: the name of the service, whatever the address is.
const options = { "grpc.default_authority": "kitchen.internal" };
const kitchen = new Kitchen(GATEWAY, grpc.credentials.createInsecure(), options);
const sns = new SNSClient(awsSettings);
const { TopicArn } = await sns.send(new CreateTopicCommand({ Name: "order-events" }));

/** The customer's name, or null: an order is taken without it all the same. */
async function customerName(customer) {
  try {
    const answer = await fetch(`http://${GATEWAY}/customers/${customer}`, { signal: AbortSignal.timeout(2000) });
    return answer.ok ? (await answer.json()).name : null;
  } catch {
    return null;
  }
}

function cook(orderId) {
  const deadline = Date.now() + 5000;
  return new Promise((ok, failed) =>
    kitchen.Cook({ orderId }, { deadline }, (error, reply) => (error ? failed(error) : ok(reply.ticket))),
  );
}

await serveRest("orders", async (method, _path, body) => {
  if (method !== "POST") return [405, { title: "Only POST", status: 405 }];
  const [order, customer] = [`order-${++taken}`, body.customer ?? "42"];
  let ticket;
  try {
    ticket = await cook(order);
  } catch (error) {
    return [502, { title: "The kitchen did not answer", status: 502, detail: error.details }];
  }
  const event = { event: "OrderTaken", order, ticket };
  await sns.send(new PublishCommand({ TopicArn, Message: JSON.stringify(event) }));
  const links = { self: { href: `/orders/${order}` }, customer: { href: `/customers/${customer}` } };
  return [201, { order, customer: await customerName(customer), ticket, _links: links }];
});
