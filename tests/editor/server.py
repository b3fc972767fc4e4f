"""A client of yaml-language-server, speaking LSP over its standard input and output."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conftest import ROOT

PLACES = (ROOT / ".venv" / "node" / "node_modules" / ".bin", *map(Path, os.environ.get("PATH", "").split(os.pathsep)))
"""Where `make test-all` installs the server, then the PATH."""


def find_server() -> str | None:
    """The command of the server, or None where it or Node.js isn't installed."""
    found = (place / "yaml-language-server" for place in PLACES)
    return None if shutil.which("node") is None else next((str(path) for path in found if path.is_file()), None)


class Server:
    """A running server with one schema for every file."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.number = 0
        self.diagnostics: dict[str, list[dict[str, Any]]] = {}

    def send(self, method: str, params: Any, number: int | None = None) -> None:
        """Sends a notification, or a request where there is a number."""
        message = {"jsonrpc": "2.0", "method": method, "params": params}
        self._write(message if number is None else {**message, "id": number})

    def _write(self, message: dict[str, Any]) -> None:
        body = json.dumps(message).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        self.process.stdin.flush()

    def read(self) -> dict[str, Any]:
        """The next message; the server's own requests are answered with nothing."""
        assert self.process.stdout is not None
        length = 0
        while (line := self.process.stdout.readline().strip()) or not length:
            assert line or self.process.poll() is None, "the server has stopped"
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        message: dict[str, Any] = json.loads(self.process.stdout.read(length))
        if "method" in message and "id" in message:
            asked = message["params"].get("items", []) if isinstance(message.get("params"), dict) else []
            self._write({"jsonrpc": "2.0", "id": message["id"], "result": [None for _ in asked]})
        elif message.get("method") == "textDocument/publishDiagnostics":
            self.diagnostics[message["params"]["uri"]] = message["params"]["diagnostics"]
        return message

    def ask(self, method: str, params: Any) -> Any:
        """Sends a request and waits for its answer."""
        self.number += 1
        self.send(method, params, self.number)
        while True:
            message = self.read()
            if message.get("id") == self.number and "method" not in message:
                assert "error" not in message, message
                return message["result"]

    def open(self, path: Path, text: str) -> list[dict[str, Any]]:
        """Opens a file with this text and waits for its diagnostics."""
        uri = path.as_uri()
        self.diagnostics.pop(uri, None)
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.send("textDocument/didOpen", {"textDocument": document})
        while uri not in self.diagnostics:
            self.read()
        return self.diagnostics[uri]

    def complete(self, path: Path, line: int, column: int) -> list[dict[str, Any]]:
        """What is proposed at a place, both counted from 0."""
        found = self.ask("textDocument/completion", _place(path, line, column))
        items: list[dict[str, Any]] = found if isinstance(found, list) else found["items"]
        return items

    def hover(self, path: Path, line: int, column: int) -> str:
        """What is shown at a place, as Markdown."""
        found = self.ask("textDocument/hover", _place(path, line, column))
        return "" if found is None else str(found["contents"]["value"])


def _place(path: Path, line: int, column: int) -> dict[str, Any]:
    return {"textDocument": {"uri": path.as_uri()}, "position": {"line": line, "character": column}}


@contextmanager
def running(command: str, folder: Path) -> Iterator[Server]:
    """A server whose files find their schema by their modeline."""
    process = subprocess.Popen(
        [command, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder
    )
    server = Server(process, folder)
    try:
        markup = {"documentationFormat": ["markdown"], "snippetSupport": True}
        capabilities = {
            "textDocument": {
                "completion": {"completionItem": markup},
                "hover": {"contentFormat": ["markdown"]},
                "publishDiagnostics": {},
            },
            "workspace": {"configuration": False},
        }
        server.ask("initialize", {"processId": None, "rootUri": folder.as_uri(), "capabilities": capabilities})
        server.send("initialized", {})
        settings = {"yaml": {"validate": True, "completion": True, "hover": True, "schemaStore": {"enable": False}}}
        server.send("workspace/didChangeConfiguration", {"settings": settings})
        yield server
    finally:
        process.kill()
        process.communicate()
