"""A headless Chromium that opens a page, clicks, reads and takes screenshots, over the DevTools protocol's pipe."""

import base64
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
SIZE = (1400, 1000)
PATIENCE = 120  # seconds


def program() -> str | None:
    """The browser of this machine, if there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page of one browser; `profile` is a folder for what it keeps. Use it as a context."""

    def __init__(self, profile: Path, page: Path):
        told, heard = os.pipe(), os.pipe()
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        command = [program(), *options, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]

        def wire() -> None:  # Chromium reads descriptor 3 and writes 4
            read, write = os.dup(told[0]), os.dup(heard[1])
            os.dup2(read, 3)
            os.dup2(write, 4)

        self.process = subprocess.Popen(command, preexec_fn=wire, pass_fds=(3, 4), stderr=subprocess.DEVNULL)
        os.close(told[0])
        os.close(heard[1])
        self.out, self.into = os.fdopen(told[1], "wb"), os.fdopen(heard[0], "rb")
        self.count, self.session = 0, None
        target = self.call("Target.createTarget", url=page.as_uri())["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Emulation.setDeviceMetricsOverride", width=SIZE[0], height=SIZE[1], deviceScaleFactor=1, mobile=False)

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)
        self.out.close()
        self.into.close()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the protocol, and its answer."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params} | ({"sessionId": self.session} if self.session else {})
        self.out.write(json.dumps(message).encode() + b"\0")
        self.out.flush()
        while (answer := self._next()).get("id") != self.count:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        said = bytearray()
        while (byte := self.into.read(1)) != b"\0":
            assert byte, "the browser has ended"
            said += byte
        return json.loads(said)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The same, once it gives something."""
        deadline = time.monotonic() + PATIENCE
        while not (found := self.value(expression)):
            assert time.monotonic() < deadline, f"{expression} never came; the page says: {self.value('document.body?.innerText')}"
            time.sleep(0.1)
        return found

    def screenshot(self, path: Path) -> Path:
        """What is seen, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
        return path
