"""The window as `python app.py` opens it, but its model says in both lanes what it is asked. For tests of what is shown.

python tests/browser/talking_window.py --port N
"""

import sys

from workbench.ui.environment import prepare

# Loads at once, in a process without torch. HOSTILE is what a model may say of itself.
ECHO = """
import json, sys
HOSTILE = '<img src=x onerror="window.ran=1">'
def say(**event): print(json.dumps(event), flush=True)
facts = dict.fromkeys(("title", "name", "architecture", "device", "licence", "chat_template", "why"), HOSTILE)
say(event="ready", facts={**facts, "parameters": 1, "precision": HOSTILE, "memory": 1, "context": 1})
for line in sys.stdin:
    request = json.loads(line)
    if request["do"] == "ask_many":
        for place, prompt in enumerate(request["prompts"]):
            for who in range(len(request["answerers"])):
                say(event="part", answered=dict(prompt=place, answerer=who, text=prompt[-1]["content"], tokens=1, ended="end",
                    repetition=0.0, asked=1))
        say(event="done", result={"verified": True})
    if request["do"] != "ask": continue
    for lane, asked in enumerate(request["lanes"]):
        words = asked["messages"][-1]["content"]
        say(event="part", lane=lane, text=words, tokens=1, first_token=0.1, per_second=1.0, ended="end")
    say(event="done", result={"verified": True})
"""


def main() -> int:
    prepare()
    from workbench.jobs.app_state import AppState
    from workbench.jobs.chat import Chat
    from workbench.ui.serve import main as serve
    from workbench.ui.shell import build

    app = AppState()
    app.chat = Chat((sys.executable, "-c", ECHO))
    return serve(build(app))


if __name__ == "__main__":
    raise SystemExit(main())
