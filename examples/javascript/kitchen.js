// The kitchen: a gRPC service.
import grpc from "@grpc/grpc-js";
import { Kitchen } from "./proto.js";
import { onStop, register } from "./shop.js";

const server = new grpc.Server();
server.addService(Kitchen.service, {
  Cook({ request }, answer) {
    if (!request.orderId) return answer({ code: grpc.status.INVALID_ARGUMENT, details: "order_id is missing" });
    answer(null, { ticket: `ticket-${request.orderId}` });
  },
});
const bind = (done) => server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), done);
const port = await new Promise((ok, failed) => bind((error, port) => (error ? failed(error) : ok(port))));
const leave = await register("kitchen", port, "grpc");
onStop(async () => {
  await leave();
  await new Promise((closed) => server.tryShutdown(closed));
});
