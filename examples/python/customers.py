"""The customers service: REST, read only."""

from shop import Rest, serve_rest

CUSTOMERS = {"42": "Aiko Tanaka", "43": "Jun Mori"}


class Customers(Rest):
    def get(self):
        customer = self.path.rsplit("/", 1)[-1]
        if customer not in CUSTOMERS:
            return 404, {"title": "No such customer", "status": 404}
        links = {"self": {"href": f"/customers/{customer}"}}
        return 200, {"id": customer, "name": CUSTOMERS[customer], "_links": links}


if __name__ == "__main__":
    serve_rest("customers", Customers)
