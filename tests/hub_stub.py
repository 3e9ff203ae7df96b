"""A server on this machine that answers as much of the Hub's API as an exported script and `hf jobs` ask for, and remembers it."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OWNER = "somebody"


@dataclass
class HubStub:
    """url: for HF_ENDPOINT. asked: method, path, headers and body of every request, in their order."""

    url: str = ""
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def bodies(self, part: str) -> list[Any]:
        """The JSON bodies of requests whose path holds `part`."""
        return [json.loads(body) for _, path, _, body in self.asked if part in path and body]

    def commits(self) -> list[dict[str, bytes]]:
        """Path in the repository -> content, for each commit."""
        found = []
        for _, path, _, body in self.asked:
            if "/commit/" in path:
                lines = [json.loads(line) for line in body.splitlines()]
                files = [line["value"] for line in lines if line["key"] == "file"]
                found.append({file["path"]: base64.b64decode(file["content"]) for file in files})
        return found


@contextmanager
def hub_stub() -> Iterator[HubStub]:
    stub = HubStub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            stub.asked.append((self.command, self.path, dict(self.headers), body))
            found = json.dumps(_answer(self.path, body, stub.url)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(found)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(found)

        do_GET = do_POST = do_HEAD = do_PUT = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(path: str, body: bytes, url: str) -> Any:
    if "/whoami" in path:
        return {"type": "user", "name": OWNER, "auth": {"accessToken": {"role": "write"}}}
    if "/repos/create" in path:
        return {"url": f"{url}/{OWNER}/{json.loads(body)['name']}", "id": f"{OWNER}/{json.loads(body)['name']}"}
    if "/preupload/" in path:  # all by the commit itself: large files go to a storage that is not stubbed
        files = [file["path"] for file in json.loads(body)["files"]]
        return {"files": [{"path": file, "uploadMode": "regular", "shouldIgnore": False} for file in files]}
    if "/commit/" in path:
        repository = "/".join(path.split("/")[3:5])
        return {"success": True, "commitOid": "0" * 40, "commitUrl": f"{url}/{repository}/commit/0", "hookOutput": ""}
    if "/validate-yaml" in path:
        return {"errors": [], "warnings": []}
    if "/api/jobs/" in path:
        job = json.loads(body)
        return {
            "id": "1", "createdAt": "2026-11-22T00:00:00.000Z", "dockerImage": job.get("dockerImage"), "spaceId": None,
            "command": job["command"], "arguments": [], "environment": {}, "secrets": [], "flavor": job["flavor"],
            "status": {"stage": "RUNNING", "message": None}, "owner": {"id": "1", "name": OWNER, "type": "user"},
            "labels": job.get("labels"), "volumes": [],
        }  # fmt: skip
    return {"sha": "0" * 40, "id": path, "siblings": [], "private": True}
