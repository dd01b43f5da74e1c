"""A service that goes and comes back at times that are known: it writes down itself when it did, by its own clocks.

    python known_service.py PORT TAKES_SECONDS      then a line of JSON on standard input: [[seconds, mode], …]

Modes: `up` answers after TAKES_SECONDS; `refused` listens no more and breaks off what is open; `waiting` takes requests
and answers them once it is up again; `lost` takes them and never answers; `failing` answers with an error. Each change
is a line of JSON on standard output: {mode, wall: seconds since 1970, monotonic: seconds}.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time

GOOD = b"HTTP/1.0 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine"
BAD = b"HTTP/1.0 500 Broken\r\nContent-Length: 4\r\nConnection: close\r\n\r\nfine"


def both_clocks() -> dict[str, float]:
    """The same moment by both clocks; read again where this process was kept waiting between them."""
    while True:
        before, wall, after = time.monotonic(), time.time(), time.monotonic()
        if after - before < 0.001:
            return {"wall": wall, "monotonic": before}


class Service:
    def __init__(self, port: int, takes: float) -> None:
        self.port, self.takes = port, takes
        self.changed = threading.Condition()
        self.mode = "up"
        self.open: set[socket.socket] = set()
        self.listening = self.listen()

    def listen(self) -> socket.socket:
        listening = socket.create_server(("127.0.0.1", self.port), backlog=200)
        threading.Thread(target=self.accept, args=(listening,), daemon=True).start()
        return listening

    def accept(self, listening: socket.socket) -> None:
        while True:
            try:
                line, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(line,), daemon=True).start()

    def serve(self, line: socket.socket) -> None:
        with self.changed:
            self.open.add(line)
            came_while = self.mode
        try:
            with line:
                line.recv(4096)
                if came_while == "lost":
                    line.recv(4096)  # until the caller gives up
                    return
                self.answer(line, came_while)
        except OSError:
            pass
        finally:
            with self.changed:
                self.open.discard(line)

    def answer(self, line: socket.socket, came_while: str) -> None:
        if came_while != "failing":
            with self.changed:
                self.changed.wait_for(lambda: self.mode != "waiting")
            time.sleep(self.takes)
        with self.changed:
            mode = self.mode
            if mode == "up":
                line.sendall(GOOD)
                return
        if mode == "failing":
            line.sendall(BAD)
        elif mode == "waiting":
            with self.changed:
                self.changed.wait_for(lambda: self.mode != "waiting")
            line.sendall(GOOD)
        elif mode == "lost":
            line.recv(4096)

    def change(self, mode: str) -> None:
        if mode == "refused":
            self.listening.shutdown(socket.SHUT_RDWR)
            self.listening.close()
        with self.changed:
            if self.mode == "refused" and mode != "refused":
                self.listening = self.listen()
            self.mode = mode
            stamps = {"mode": mode, **both_clocks()}
            if mode == "refused":
                for line in self.open:
                    line.shutdown(socket.SHUT_RDWR)
            self.changed.notify_all()
        print(json.dumps(stamps), flush=True)


def main() -> None:
    service = Service(int(sys.argv[1]), float(sys.argv[2]))
    print(json.dumps({"mode": "ready"}), flush=True)
    script = json.loads(sys.stdin.readline())
    begun = time.monotonic()
    for seconds, mode in script:
        time.sleep(max(0.0, begun + seconds - time.monotonic()))
        service.change(mode)
    sys.stdin.read()  # until nobody needs it any more


if __name__ == "__main__":
    main()
