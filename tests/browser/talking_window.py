"""The window as `python app.py` opens it, but its model says in both lanes what it is asked. For tests of what is shown.

python tests/browser/talking_window.py --port N
"""

import sys

from workbench.ui.environment import prepare

# Loads at once, in a process without torch. HOSTILE is what a model may say of itself. A question with "slowly" in it is
# answered with its words again and again, until it is asked to stop; to many prompts another seed than that of the sampling is
# said behind the words. Every token is as likely again with an adapter: +0.69. Thoughts are one token, what is behind them another.
ECHO = """
import json, queue, sys, threading, time
HOSTILE = '<img src=x onerror="window.ran=1">'
asked, stop = queue.Queue(), threading.Event()
def say(**event): print(json.dumps(event), flush=True)
def listen():
    for line in sys.stdin:
        request = json.loads(line)
        stop.set() if request["do"] == "stop" else asked.put(request)
    asked.put(None)
threading.Thread(target=listen, daemon=True).start()
facts = dict.fromkeys(("title", "name", "architecture", "device", "licence", "chat_template", "why"), HOSTILE)
say(event="ready", facts={**facts, "parameters": 1, "precision": HOSTILE, "memory": 1, "context": 1})
def answer(words, ended, tokens=1):
    for lane in range(len(words)):
        say(event="part", lane=lane, text=words[lane], tokens=tokens, first_token=0.1, per_second=1.0, ended=ended, asked=9, context=4096)
while (request := asked.get()) is not None:
    stop.clear()
    if request["do"] == "score":
        for item, one in enumerate(request["items"]):
            thoughts, end, rest = one["answer"].rpartition("</think>")
            words = [[text, -1.0, -1.69, False] for text in (thoughts + end, rest) if text]
            say(event="part", item=item, tokens=[*words, ["</s>", -0.5, -0.5, True]])
        say(event="done", result={})
    if request["do"] == "ask_many":
        for place, prompt in enumerate(request["prompts"]):
            seed = request["seeds"][place]
            drawn = "" if seed == request["sampling"]["seed"] else f" {seed}"
            for who in range(len(request["answerers"])):
                say(event="part", answered=dict(prompt=place, answerer=who, text=prompt[-1]["content"] + drawn, tokens=1,
                    ended="end", repetition=0.0, asked=1))
        say(event="done", result={"verified": True})
    if request["do"] != "ask": continue
    words = [lane["messages"][-1]["content"] for lane in request["lanes"]]
    for tokens in range(1, 2000 if "slowly" in words[0] else 1):
        if stop.is_set(): break
        answer([one + " " for one in words], "", tokens)
        time.sleep(0.01)
    answer([""] * len(words), "stopped", tokens) if stop.is_set() else answer(words, "end")
    say(event="done", result={"verified": True})
"""


def main() -> None:
    prepare()
    from workbench.jobs.app_state import AppState
    from workbench.jobs.chat import Chat
    from workbench.ui.serve import arguments_or_exit, serve_or_exit
    from workbench.ui.shell import build

    app = AppState()
    app.chat = Chat((sys.executable, "-c", ECHO))
    serve_or_exit(arguments_or_exit(), build(app))


if __name__ == "__main__":
    main()
