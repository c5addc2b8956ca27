// What the example services share: addresses, self-registration with heartbeats, a REST server.
import http from "node:http";
import process from "node:process";

export const GATEWAY = process.env.TSUGITE_GATEWAY ?? "127.0.0.1:8080";
const AWS = process.env.TSUGITE_AWS ?? "127.0.0.1:4566";
const ADMIN = process.env.TSUGITE_ADMIN ?? "127.0.0.1:9901";
const LEASE_MS = 6000;

/** Settings for AWS clients as one would write them for AWS, with another endpoint. */
export const awsSettings = {
  endpoint: `http://${AWS}`,
  region: "us-east-1",
  credentials: { accessKeyId: "example", secretAccessKey: "example" },
};

/** Registers one instance and renews its lease; returns the function that takes it out again. */
export async function register(service, port, protocol) {
  const url = `http://${ADMIN}/v1/instances/internal/${service}/${service}-${process.pid}`;
  const body = JSON.stringify({ address: "127.0.0.1", port, protocol, ttl_ms: LEASE_MS });
  const call = async (method) => {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(url, { method, headers, body: method === "PUT" ? body : undefined });
    if (!answer.ok) throw new Error(`${method} ${url}: ${answer.status} ${await answer.text()}`);
  };
  await call("PUT");
  // A lost heartbeat is what leases are for: the next one may arrive.
  const heartbeat = setInterval(() => call("PUT").catch((error) => console.error(`heartbeat: ${error}`)), LEASE_MS / 3);
  console.log(`${service} serves on port ${port}`);
  return async () => {
    clearInterval(heartbeat);
    await call("DELETE");
  };
}

/** Serves `handle(method, path, body) -> [status, value]` on a free port, registered, until SIGTERM or Ctrl-C. */
export async function serveRest(service, handle) {
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const [status, value] = await handle(request.method, request.url, JSON.parse(Buffer.concat(chunks).toString() || "{}"));
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  const leave = await register(service, server.address().port, "http");
  onStop(async () => {
    await leave(); // First out of the routes, then down: no call is lost.
    server.close();
    server.closeIdleConnections();
  });
}

/** Runs `stop` at SIGTERM or Ctrl-C, then leaves. */
export function onStop(stop) {
  for (const signal of ["SIGTERM", "SIGINT"]) {
    process.once(signal, async () => {
      await stop();
      process.exit(0);
    });
  }
}
