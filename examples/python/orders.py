"""The orders service: asks customers (REST) and the kitchen (gRPC) by name, then tells the topic."""

import itertools
import json
import pathlib
import sys
import urllib.request

import grpc
from shop import GATEWAY, Rest, aws_client, serve_rest

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "proto"))
messages, services = grpc.protos_and_services("kitchen.proto")

numbers = itertools.count(1)
# The gateway routes gRPC by authority: the name of the service, whatever the address is.
channel = grpc.insecure_channel(GATEWAY, options=[("grpc.default_authority", "kitchen.internal")])
kitchen = services.KitchenStub(channel)
sns = aws_client("sns")
topic = sns.create_topic(Name="order-events")["TopicArn"]


def customer_name(customer):
    """The customer's name, or None: an order is taken without it all the same."""
    try:
        with urllib.request.urlopen(f"http://{GATEWAY}/customers/{customer}", timeout=2) as answer:
            return json.load(answer)["name"]
    except (OSError, ValueError, KeyError):
        return None


class Orders(Rest):
    def post(self, body):
        order, customer = f"order-{next(numbers)}", body.get("customer", "42")
        try:
            ticket = kitchen.Cook(messages.CookRequest(order_id=order), timeout=5).ticket
        except grpc.RpcError as error:
            return 502, {"title": "The kitchen did not answer", "status": 502, "detail": error.details()}
        event = {"event": "OrderTaken", "order": order, "ticket": ticket}
        sns.publish(TopicArn=topic, Message=json.dumps(event))
        links = {"self": {"href": f"/orders/{order}"}, "customer": {"href": f"/customers/{customer}"}}
        return 201, {"order": order, "customer": customer_name(customer), "ticket": ticket, "_links": links}


if __name__ == "__main__":
    serve_rest("orders", Orders)
