// The customers service: REST, read only.
import { serveRest } from "./shop.js";

const customers = { 42: "Aiko Tanaka", 43: "Jun Mori" };

await serveRest("customers", (method, path) => {
  if (method !== "GET") return [405, { title: "Only GET", status: 405 }];
  const id = path.split("/").pop();
  if (!customers[id]) return [404, { title: "No such customer", status: 404 }];
  return [200, { id, name: customers[id], _links: { self: { href: `/customers/${id}` } } }];
});
