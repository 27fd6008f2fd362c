"""A web server on loopback that misbehaves as the web does."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Handler(BaseHTTPRequestHandler):
    """The first part of a path says what happens (a method `on_...`, else 404), the rest is the file's name."""

    protocol_version = "HTTP/1.1"
    server: "Web"

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        kind, _, self.name = self.path[1:].partition("/")
        self.start = int(self.headers.get("Range", "bytes=0-")[6:].partition("-")[0])
        self.server.asked.append((self.command, kind, self.start))
        getattr(self, f"on_{kind}", self.on_nothing)()

    def give(self, status: int, body: bytes, length: int | None = None, told: bool = True, **headers: str) -> None:
        self.send_response(status)
        if told:
            self.send_header("Content-Length", str(len(body) if length is None else length))
        else:
            self.send_header("Connection", "close")  # where the body ends
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def on_nothing(self) -> None:
        self.give(404, b"")

    def on_good(self) -> None:
        """The file, from where a Range begins."""
        data = self.server.data
        if "Range" not in self.headers:
            self.give(200, data)
        elif self.start >= len(data):
            self.give(416, b"", Content_Range=f"bytes */{len(data)}")
        else:
            self.give(206, data[self.start :], Content_Range=f"bytes {self.start}-{len(data) - 1}/{len(data)}")

    def on_whole(self) -> None:
        """The file; knows no Range."""
        self.give(200, self.server.data)

    def on_wrong(self) -> None:
        """Other bytes, as many."""
        self.give(200, b"x" * len(self.server.data))

    def on_page(self) -> None:
        """A web page."""
        self.give(200, b"<html>log in</html>", Content_Type="text/html")

    def on_home(self) -> None:
        """Sent on to the site's first page, whose length is not told: what many a dead link has become."""
        if self.name == "home":
            self.give(200, b"<html>welcome</html>", told=False, Content_Type="text/html; charset=utf-8")
        else:
            self.give(302, b"", Location="/home/home")

    def on_cut(self) -> None:
        """Half of what is asked for, then hangs up."""
        data = self.server.data
        rest, place = data[self.start :], {"Content_Range": f"bytes {self.start}-{len(data) - 1}/{len(data)}"}
        self.give(206 if self.start else 200, rest[: len(rest) // 2], len(rest), **(place if self.start else {}))
        self.close_connection = True

    def on_flaky(self) -> None:
        """Busy twice, then the file."""
        if sum(kind == "flaky" for _, kind, _ in self.server.asked) < 3:
            self.give(503, b"", Retry_After="7")
        else:
            self.give(200, self.server.data)

    def on_slow(self) -> None:
        """Silence."""
        self.server.closing.wait(2)
        self.close_connection = True

    def on_moved(self) -> None:
        """Sent on to the file."""
        self.give(302, b"", Location=f"/good/{self.name}")

    def on_round(self) -> None:
        """Sent on to itself."""
        self.give(302, b"", Location=self.path)

    def on_nohead(self) -> None:
        """The file, but HEAD is refused."""
        if self.command == "HEAD":
            self.give(405, b"")
        else:
            self.on_good()

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Web(ThreadingHTTPServer):
    """Gives `data` in many ways; `asked` holds (method, kind, where the Range began) of each request."""

    daemon_threads, block_on_close = True, False

    def __init__(self, data: bytes):
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.closing = data, threading.Event()
        self.asked: list[tuple[str, str, int]] = []
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def url(self, kind: str, name: str = "raw.tgz") -> str:
        return f"http://127.0.0.1:{self.server_port}/{kind}/{name}"

    def handle_error(self, *_: object) -> None:
        """Clients hang up: that is no news."""

    def close(self) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


@pytest.fixture
def web():
    """A function that starts a server for a file's bytes; all are stopped after the test."""
    started: list[Web] = []

    def start(data: bytes) -> Web:
        started.append(Web(data))
        return started[-1]

    yield start
    for server in started:
        server.close()
