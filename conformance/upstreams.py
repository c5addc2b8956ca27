"""Services that tests put behind the gateway: a REST one whose behaviour can be switched, and a gRPC one."""

import http.server
import json
import threading
import time
from concurrent import futures

import grpc


class Rest:
    """Echoes each request as JSON. While `hang` is set it takes requests and holds them; `status` answers that."""

    def __init__(self, name="rest"):
        self.name = name
        self.status = 200
        self.delay_s = 0.0
        self.released = threading.Event()
        self.released.set()
        self.lock = threading.Lock()
        self.calls = 0
        self.in_flight = 0
        self.in_flight_max = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self):
                body = self.read_body()
                with outer.call():
                    outer.released.wait(60)
                    time.sleep(outer.delay_s)
                if self.path.endswith("/stream"):
                    return self.stream()
                if self.path.endswith("/echo"):
                    return self.send(outer.status, "application/octet-stream", body)
                seen = {
                    "service": outer.name, "method": self.command, "path": self.path,
                    "headers": {k.lower(): v for k, v in self.headers.items()}, "length": len(body),
                }
                self.send(outer.status, "application/json", json.dumps(seen).encode())

            do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = answer

            def read_body(self):
                if self.headers.get("transfer-encoding", "").lower() != "chunked":
                    return self.rfile.read(int(self.headers.get("content-length", 0)))
                body = b""
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return body

            def send(self, status, kind, body):
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def stream(self):
                """One chunk at once, the other when the test says so."""
                self.send_response(200)
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()
                self.wfile.write(b"5\r\nfirst\r\n")
                self.wfile.flush()
                outer.second_chunk.wait(10)
                self.wfile.write(b"6\r\nsecond\r\n0\r\n\r\n")

            def log_message(self, *_):
                pass

        self.second_chunk = threading.Event()
        class Server(http.server.ThreadingHTTPServer):
            # The library's 5 overflow when many connections come at once, and a client then waits for a second.
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def call(self):
        return _Call(self)

    def hang(self):
        self.released.clear()

    def release(self):
        self.released.set()

    def stop(self):
        self.release()
        self.second_chunk.set()
        self.server.shutdown()
        self.server.server_close()


class _Call:
    """Counts a call and how many there are at the same time."""

    def __init__(self, rest):
        self.rest = rest

    def __enter__(self):
        with self.rest.lock:
            self.rest.calls += 1
            self.rest.in_flight += 1
            self.rest.in_flight_max = max(self.rest.in_flight_max, self.rest.in_flight)

    def __exit__(self, *_):
        with self.rest.lock:
            self.rest.in_flight -= 1


class Grpc:
    """`test.Echo` in all four forms, on bare bytes."""

    def __init__(self):
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
        handlers = {
            "Unary": grpc.unary_unary_rpc_method_handler(self.unary),
            "Collect": grpc.stream_unary_rpc_method_handler(lambda requests, _: b",".join(requests)),
            "Repeat": grpc.unary_stream_rpc_method_handler(lambda request, _: (request for _ in range(5))),
            "Chat": grpc.stream_stream_rpc_method_handler(lambda requests, _: (b"re:" + r for r in requests)),
            "Fail": grpc.unary_unary_rpc_method_handler(self.fail),
        }
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def unary(self, request, context):
        context.send_initial_metadata((("seen-token", dict(context.invocation_metadata()).get("token", "")),))
        context.set_trailing_metadata((("trailer", "at the end"),))
        return request

    def fail(self, _request, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: 100 % böse")

    def stop(self):
        self.server.stop(None).wait()
