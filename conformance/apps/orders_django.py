"""A Django application that subscribes to topics with the view of django-sns-view, as its authors would write it: it says
from where certificates and links may come, and what to do with a message. Each message becomes a line of the journal."""

import json
import os
import socketserver
import wsgiref.simple_server

import django
from django.conf import settings

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="of a test",
                   SNS_CERT_DOMAIN_REGEX=os.environ["SNS_DOMAIN"], SNS_SUBSCRIBE_DOMAIN_REGEX=os.environ["SNS_DOMAIN"])
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402 - needs the settings
from django.urls import path  # noqa: E402
from django_sns_view.views import SNSEndpoint  # noqa: E402


class Orders(SNSEndpoint):
    def handle_message(self, message, notification):
        with open(os.environ["SNS_JOURNAL"], "a", encoding="utf-8") as journal:
            journal.write(json.dumps({"message": message, "subject": notification.get("Subject")}) + "\n")


urlpatterns = [path("hook", Orders.as_view())]


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True


if __name__ == "__main__":
    with wsgiref.simple_server.make_server("127.0.0.1", 0, get_wsgi_application(), server_class=Server) as server:
        print(server.server_port, flush=True)
        server.serve_forever()
