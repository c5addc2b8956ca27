"""A program that serves HTTP and knows nothing of registries or of graceful stops: `instance.py PORT NAME [MS]`.

Each answer takes MS milliseconds. On SIGTERM it is gone at once, with whatever it was doing: nothing but a drain before
that keeps requests from being lost.
"""

import asyncio
import os
import signal
import sys

PORT, NAME = int(sys.argv[1]), sys.argv[2].encode()
DELAY_S = int(sys.argv[3]) / 1000 if len(sys.argv) > 3 else 0.0
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(NAME), NAME)


class Http(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            _, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
            asyncio.get_running_loop().call_later(DELAY_S, self.transport.write, ANSWER)


async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, os._exit, 7)
    server = await loop.create_server(Http, "127.0.0.1", PORT, reuse_address=True, backlog=512)
    await server.serve_forever()


asyncio.run(main())
