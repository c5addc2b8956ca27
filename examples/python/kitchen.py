"""The kitchen: a gRPC service, made from its .proto file when it starts."""

import pathlib
import sys
from concurrent import futures

import grpc
from shop import Registration, wait_for_stop

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "proto"))
messages, services = grpc.protos_and_services("kitchen.proto")


class Kitchen(services.KitchenServicer):
    def Cook(self, request, context):
        if not request.order_id:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "order_id is missing")
        return messages.CookReply(ticket=f"ticket-{request.order_id}")


if __name__ == "__main__":
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    services.add_KitchenServicer_to_server(Kitchen(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    registration = Registration("kitchen", port, "grpc")
    wait_for_stop()
    registration.leave()
    server.stop(grace=2).wait()
