// Registers, finds and changes with the AWS SDK for JavaScript v3, in the protocol that the argument names.
// Usage: AWS_ENDPOINT_URL=http://127.0.0.1:4566 node cloud_map.mjs json|cbor   (modules: $TSUGITE_NODE_MODULES)
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";

const modules = process.env.TSUGITE_NODE_MODULES ?? path.join(import.meta.dirname, "node_modules");
const require = createRequire(path.join(modules, "x.js"));
const {
  ServiceDiscoveryClient, CreateHttpNamespaceCommand, CreateServiceCommand, DeleteServiceCommand,
  DeregisterInstanceCommand, DiscoverInstancesCommand, DiscoverInstancesRevisionCommand, GetNamespaceCommand,
  GetOperationCommand, GetServiceAttributesCommand, GetServiceCommand, ListTagsForResourceCommand,
  RegisterInstanceCommand, TagResourceCommand, UpdateHttpNamespaceCommand,
  UpdateInstanceCustomHealthStatusCommand, UpdateServiceAttributesCommand,
} = require("@aws-sdk/client-servicediscovery");
const { AwsJson1_1Protocol } = require("@aws-sdk/core/protocols");
const { SmithyRpcV2CborProtocol } = require("@smithy/core/cbor");

const protocol = { json: AwsJson1_1Protocol, cbor: SmithyRpcV2CborProtocol }[process.argv[2]];
assert.ok(protocol, "name a protocol: json or cbor");
const client = new ServiceDiscoveryClient({
  endpoint: process.env.AWS_ENDPOINT_URL,
  region: "us-east-1",
  credentials: { accessKeyId: "test", secretAccessKey: "test" },
  maxAttempts: 1,
  disableHostPrefix: true,
  protocol,
});
let spoken;
client.middlewareStack.add((next) => async (args) => {
  const result = await next(args);
  spoken = result.response.headers["content-type"] ?? spoken;
  return result;
}, { step: "deserialize", priority: "low" });
const send = (command) => client.send(command);
const fails = (command, error) => assert.rejects(send(command), error);

const name = `js-${process.argv[2]}-${process.pid}.test`;
const Tags = [{ Key: "team", Value: "京都" }];
const { OperationId } = await send(new CreateHttpNamespaceCommand({ Name: name, Tags }));
assert.equal(spoken, process.argv[2] === "cbor" ? "application/cbor" : "application/x-amz-json-1.1");
const { Operation } = await send(new GetOperationCommand({ OperationId }));
assert.equal(Operation.Status, "SUCCESS");
assert.ok(Math.abs(Operation.CreateDate.getTime() - Date.now()) < 60_000);
const Id = Operation.Targets.NAMESPACE;
await send(new UpdateHttpNamespaceCommand({ Id, Namespace: { Description: "é" } }));
const { Namespace } = await send(new GetNamespaceCommand({ Id }));
assert.equal(Namespace.Description, "é");
assert.deepEqual((await send(new ListTagsForResourceCommand({ ResourceARN: Namespace.Arn }))).Tags, Tags);
await send(new TagResourceCommand({ ResourceARN: Namespace.Arn, Tags: [{ Key: "a", Value: "" }] }));
await fails(new CreateHttpNamespaceCommand({ Name: name }), { name: "NamespaceAlreadyExists", NamespaceId: Id });

const { Service } = await send(new CreateServiceCommand({
  Name: "orders", NamespaceId: Id, HealthCheckCustomConfig: { FailureThreshold: 1 },
}));
const ServiceId = Service.Id;
await send(new UpdateServiceAttributesCommand({ ServiceId, Attributes: { k: "v" } }));
const { ServiceAttributes } = await send(new GetServiceAttributesCommand({ ServiceId }));
assert.deepEqual(ServiceAttributes.Attributes, { k: "v" });
for (const [InstanceId, color] of [["i1", "red"], ["i2", "blue"]]) {
  await send(new RegisterInstanceCommand({ ServiceId, InstanceId, Attributes: { AWS_INSTANCE_IPV4: "192.0.2.1", color } }));
}
await send(new UpdateInstanceCustomHealthStatusCommand({ ServiceId, InstanceId: "i2", Status: "UNHEALTHY" }));
const asked = { NamespaceName: name, ServiceName: "orders" };
const found = await send(new DiscoverInstancesCommand(asked));
assert.deepEqual(found.Instances.map((instance) => instance.InstanceId), ["i1"]);
assert.equal(found.Instances[0].Attributes.color, "red");
const { InstancesRevision } = await send(new DiscoverInstancesRevisionCommand(asked));
assert.equal(InstancesRevision, found.InstancesRevision);
const blue = new DiscoverInstancesCommand({ ...asked, HealthStatus: "ALL", QueryParameters: { color: "blue" } });
assert.equal((await send(blue)).Instances[0].HealthStatus, "UNHEALTHY");

await fails(new DeleteServiceCommand({ Id: ServiceId }), { name: "ResourceInUse" });
for (const InstanceId of ["i1", "i2"]) await send(new DeregisterInstanceCommand({ ServiceId, InstanceId }));
await send(new DeleteServiceCommand({ Id: ServiceId }));
await fails(new GetServiceCommand({ Id: ServiceId }), { name: "ServiceNotFound" });
console.log("ok");
