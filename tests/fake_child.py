"""What a pretended child process of the chat begins with: requests are queued as they come, a stop is heard at once."""

PREAMBLE = """
import json, sys, threading, time, queue
asked, stop = queue.Queue(), threading.Event()
def say(**event): print(json.dumps(event), flush=True)
def listen():
    for line in sys.stdin:
        request = json.loads(line)
        stop.set() if request["do"] == "stop" else asked.put(request)
    asked.put(None)
threading.Thread(target=listen, daemon=True).start()
"""
