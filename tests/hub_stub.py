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
    """url: for HF_ENDPOINT. asked: method, path, headers and body of every request, in their order.

    role: of the token. refuses: part of a path -> status that it is answered with. there: what is known of each repository, by
    its id; None where every one that is asked for is there and private. with_storage: weights go to a storage of their own.
    """

    url: str = ""
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    role: str = "write"
    refuses: dict[str, int] = field(default_factory=dict)
    there: dict[str, dict[str, Any]] | None = None
    with_storage: bool = False

    def refusal(self, path: str) -> int | None:
        known = (
            path.startswith("/api/models/") and self.there is not None and "/".join(path.split("/")[3:5]) in self.there
        )
        if path.startswith("/api/models/") and self.there is not None and not known:
            return 404
        return next((status for part, status in self.refuses.items() if part in path), None)

    def received(self) -> dict[str, bytes]:
        """Path in the repository -> content of the one commit, that of the storage in its place."""
        stored = {path.rsplit("/", 1)[1]: body for method, path, _, body in self.asked if method == "PUT"}
        [lines] = [list(map(json.loads, body.splitlines())) for _, path, _, body in self.asked if "/commit/" in path]
        large = {line["value"]["path"]: stored[line["value"]["oid"]] for line in lines if line["key"] == "lfsFile"}
        return self.commits()[0] | large

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
            refused = stub.refusal(self.path)
            found = json.dumps({"error": "no"} if refused else _answer(stub, self.path, body)).encode()
            self.send_response(refused or 200)
            if refused == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
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
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(stub: HubStub, path: str, body: bytes) -> Any:
    url = stub.url
    if "/whoami" in path:
        return {"type": "user", "name": OWNER, "auth": {"accessToken": {"role": stub.role}}}
    if "/repos/create" in path:
        return _created(stub, json.loads(body))
    if "/preupload/" in path:  # where there is no storage, all go up with the commit itself
        files = [file["path"] for file in json.loads(body)["files"]]
        large = [file for file in files if stub.with_storage and file.endswith(".safetensors")]
        mode = {file: "lfs" if file in large else "regular" for file in files}
        return {"files": [{"path": file, "uploadMode": mode[file], "shouldIgnore": False} for file in files]}
    if "/info/lfs/objects/batch" in path:
        objects = [
            one | {"actions": {"upload": {"href": f"{url}/storage/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]
        return {"transfer": "basic", "objects": objects}
    if "/commit/" in path:
        repository = "/".join(path.split("/")[3:5])
        if stub.there is not None:
            lines = [json.loads(line) for line in body.splitlines()]
            added = [line["value"]["path"] for line in lines if line["key"] != "header"]
            stub.there[repository]["siblings"] += [{"rfilename": file} for file in added]
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
    if path.startswith("/api/models/") and stub.there is not None:
        return stub.there["/".join(path.split("/")[3:5])]
    return {"sha": "0" * 40, "id": path, "siblings": [], "private": True}


def _created(stub: HubStub, asked: dict[str, Any]) -> dict[str, str]:
    repository = f"{asked.get('organization') or OWNER}/{asked['name']}"
    if stub.there is not None:
        private = asked.get("private") or asked.get("visibility") == "private"
        stub.there.setdefault(repository, {"id": repository, "sha": "0" * 40, "private": private, "siblings": []})
    return {"url": f"{stub.url}/{repository}", "id": repository}
