"""Writes down what clients of queues asked and were told, for `tsugite-checker`: JSON lines, one event each.

The lines are in the order of time: whoever asks writes its line before the request leaves, and the next one after the
reply has come. A call without a reply has no second line: what it did is unknown. The format is that of
`sim/checker/src/event.rs`.
"""

import json
import subprocess
import threading
import time


class History:
    """One file of events. Every method may be called by any thread."""

    def __init__(self, path):
        self.path = path
        self.file = open(path, "w", encoding="utf-8")
        self.lock = threading.Lock()
        self.begun = time.monotonic()
        self.calls = 0

    def _write(self, what, **facts):
        """The caller holds the lock, so that lines and times go the same way."""
        event = {"at": int((time.monotonic() - self.begun) * 1000), "what": what} | facts
        self.file.write(json.dumps(event) + "\n")

    def queue(self, name, **settings):
        with self.lock:
            self._write("queue", queue=name, **settings)

    def ask(self, kind, **call):
        """Returns the number by which `done` or `refused` names this call."""
        with self.lock:
            self.calls += 1
            self._write("ask", op=self.calls, call={kind: call})
            return self.calls

    def done(self, op, reply="nothing"):
        with self.lock:
            self._write("done", op=op, reply=reply)

    def refused(self, op):
        with self.lock:
            self._write("refused", op=op)

    def crash(self):
        """The server is dead, and no thread waits for a reply any more."""
        with self.lock:
            self._write("crash")

    def counters(self, queue, visible, in_flight, delayed):
        with self.lock:
            self._write("counters", queue=queue, visible=visible, in_flight=in_flight, delayed=delayed)

    def drained(self):
        with self.lock:
            self._write("drained")

    def judge(self, checker, slack=25, grace=10_000):
        """Ends the file and lets the checker judge it: (whether every promise was kept, what it says)."""
        self.file.close()
        judged = subprocess.run([checker, self.path, str(slack), str(grace)], capture_output=True, text=True,
                                check=False)
        return judged.returncode == 0, (judged.stdout + judged.stderr).strip()
