"""Gradio's page, which searches where it could look up, with an index in two places.

An event touches all fields that events ever read, several times, and each touch searches the whole tree; on a page of 700 components
that is 140,000 visits of nodes, a quarter of a second in which the page does nothing else, and the tick alone comes once a second
(Gradio 6.31: `find_node_by_id` in js/core). While the page is made, each component asks all 270 events whether they are its own:
a third of the time that the page takes to open (`find_attached_events`). Only the text of these two functions is exchanged, in the
answer of this server; of a release that has another text, the page is given as it is.
"""

import functools
import re
from pathlib import Path

import gradio
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

ASSETS = Path(gradio.__file__).parent / "templates" / "frontend" / "assets"

# function Z(e,t){if(e.id===t)return e;if(e.children)for(let n of e.children){let e=Z(n,t);if(e)return e}return null}
_SEARCH = re.compile(
    r"function (?P<name>[\w$]+)\((?P<node>\w),(?P<id>\w)\)\{if\((?P=node)\.id===(?P=id)\)return (?P=node);"
    r"if\((?P=node)\.children\)for\(let (?P<child>\w) of (?P=node)\.children\)"
    r"\{let (?P<found>\w)=(?P=name)\((?P=child),(?P=id)\);if\((?P=found)\)return (?P=found)\}return null\}"
)

# Of each tree where its components lie, also that one is nowhere: states are not. A tree changes under `gr.render` alone,
# which this window does not use; a page that is loaded again has another one.
_WITH_INDEX = (
    "var workbenchIndex=new WeakMap;function {name}(root,id){{let known=workbenchIndex.get(root);"
    "known||workbenchIndex.set(root,known=new Map);known.has(id)||known.set(id,workbenchSearch(root,id));return known.get(id)}}"
    "function workbenchSearch(node,id){{if(node.id===id)return node;"
    "if(node.children)for(let child of node.children){{let found=workbenchSearch(child,id);if(found)return found}}return null}}"
)

# find_attached_events(e,t){let n=t.filter(t=>t.targets.find(([t])=>t===e.id)).map(t=>{let n=t.targets.find(([t])=>t===e.id);
# return n?n[1]:null}).filter(Boolean);return e.props.shared_props.attached_events=n,e}
_ATTACHED = re.compile(
    r"find_attached_events\((?P<node>\w),(?P<events>\w)\)\{let (?P<names>\w)="
    r"(?P=events)\.filter\((?P<one>\w)=>(?P=one)\.targets\.find\(\(\[(?P<id>\w)\]\)=>(?P=id)===(?P=node)\.id\)\)"
    r"\.map\((?P<event>\w)=>\{let (?P<target>\w)=(?P=event)\.targets\.find\(\(\[(?P<its>\w)\]\)=>(?P=its)===(?P=node)\.id\);"
    r"return (?P=target)\?(?P=target)\[1\]:null\}\)\.filter\(Boolean\);"
    r"return (?P=node)\.props\.shared_props\.attached_events=(?P=names),(?P=node)\}"
)

# Of each list of events the names of those of a component. The same event of a component counts once, as its first target.
_ATTACHED_BY_INDEX = (
    "find_attached_events(node,events){let names=this.workbenchAttached?.events===events?this.workbenchAttached.names:new Map;"
    "if(this.workbenchAttached?.events!==events){for(let event of events){let seen=new Set;for(let [id,name] of event.targets)"
    "if(!seen.has(id)){seen.add(id);if(name)names.has(id)?names.get(id).push(name):names.set(id,[name])}}"
    "this.workbenchAttached={events,names}}"
    "return node.props.shared_props.attached_events=[...names.get(node.id)??[]],node}"
)


def with_index(script: str) -> str | None:
    """A script of Gradio's page with both searches answered from an index; None where one is not in it, once and as it is known."""
    changed, searches = _SEARCH.subn(lambda found: _WITH_INDEX.format(name=found["name"]), script)
    changed, attached = _ATTACHED.subn(lambda _: _ATTACHED_BY_INDEX, changed)
    return changed if searches == attached == 1 else None


class IndexedTree:
    """Middleware that gives the page this script in place of Gradio's."""

    def __init__(self, app: ASGIApp):
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = scope["path"].rpartition("/assets/")[2] if scope["type"] == "http" else ""
        if not re.fullmatch(r"core-[\w-]+\.js", name) or (script := _indexed(name)) is None:
            return await self.app(scope, receive, send)
        # Another program on this address, on another day, must not be given ours out of the browser's cache.
        headers = {"cache-control": "no-cache", "etag": f'"{name}-indexed"'}
        same = Headers(scope=scope).get("if-none-match") == headers["etag"]
        body = "" if same or Request(scope).method == "HEAD" else script
        answer = PlainTextResponse(body, 304 if same else 200, headers, media_type="text/javascript")
        await answer(scope, receive, send)


@functools.cache
def _indexed(name: str) -> str | None:
    try:
        return with_index((ASSETS / name).read_text(encoding="utf-8"))
    except OSError:
        return None
