"""A browser that tests can drive: it opens pages, points, presses keys, and tells what was said.

Chromium is spoken to over two pipes in its DevTools protocol
(https://chromedevtools.github.io/devtools-protocol/), so no port and no library is needed.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars",
)  # fmt: skip
PATIENCE = 60.0  # seconds

SAID = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")


def find_browser() -> str | None:
    """The first browser there is."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page in a browser of its own, closed at the end of a ``with``."""

    def __init__(self, path: str, profile: Path, width: int = 1100, height: int = 900) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        words = [path, *FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}",
                 "--remote-debugging-pipe", "about:blank"]  # fmt: skip
        # the protocol has it that the browser reads from 3 and writes to 4
        pipes = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", pipes, "bash", *words],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._out, self._in = ours_out, ours_in
        self._rest, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        self._session = self._attach()
        for domain in ("Runtime", "Log", "Page"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._out)
        self._process.kill()
        self._process.wait()
        os.close(self._in)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer)
                return dict(answer["result"])
            self.events.append(answer)

    def js(self, expression: str) -> Any:
        """What an expression gives in the page."""
        found = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str) -> Any:
        """Until an expression is true in the page; what it then is."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if found := self.js(expression):
                return found
            time.sleep(0.05)
        raise AssertionError(f"still not true: {expression}; the page said {self.said()}")

    def open(self, page: Path) -> None:
        """Go there."""
        self.call("Page.navigate", url=page.as_uri())
        self.wait(
            f"location.href === {json.dumps(page.as_uri())} && document.readyState === 'complete'"
        )

    def media(self, name: str = "", **features: str) -> None:
        """Paper or screen, and what the reader prefers."""
        plain = [{"name": n.replace("_", "-"), "value": v} for n, v in features.items()]
        self.call("Emulation.setEmulatedMedia", media=name, features=plain)

    def size(self, width: int, height: int) -> None:
        """Of the window."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=False)  # fmt: skip

    def point(self, x: float, y: float) -> None:
        """Move the mouse there, by way of a place beside it."""
        for way in (-6, -2, 0):
            self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + way, y=y)

    def press(self, key: str) -> None:
        """A key, down and up."""
        code = {"Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}[key]
        for kind in ("rawKeyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    def picture(self, selector: str) -> Image.Image:
        """An element as it is painted now."""
        box = self.js(
            f"(() => {{ const one = document.querySelector({selector!r}).getBoundingClientRect(); return "
            "{x: one.x + scrollX, y: one.y + scrollY, width: one.width, height: one.height, scale: 1}; })()"
        )
        found = self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=box
        )
        return Image.open(BytesIO(base64.b64decode(found["data"]))).convert("RGB")

    def said(self) -> list[str]:
        """Everything on the console, errors and blocked requests among it."""
        return [json.dumps(e["params"]) for e in self.events if e["method"] in SAID]

    def _attach(self) -> str:
        """The session of the browser's one page."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for target in self.call("Target.getTargets")["targetInfos"]:
                if target["type"] == "page":
                    found = self.call(
                        "Target.attachToTarget", targetId=target["targetId"], flatten=True
                    )
                    return str(found["sessionId"])
            time.sleep(0.05)
        raise AssertionError("the browser opened no page")

    def _next(self) -> dict[str, Any]:
        """The next message, each ended by a zero byte."""
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], PATIENCE)
            assert ready, "the browser says nothing"
            piece = os.read(self._in, 1 << 16)
            assert piece, "the browser is gone"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))
