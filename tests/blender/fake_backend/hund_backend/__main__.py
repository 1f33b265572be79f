"""A backend that speaks the JSON lines and does what the clip's name says."""

import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path

cancelled, finishing = threading.Event(), threading.Event()


def say(**event):
    print(json.dumps(event), flush=True)


def reconstruct(clip, output, request):
    target = Path(output) / f"{clip.stem}.npz"
    if clip.stem == "bad":
        say(event="error", id=request["id"], message="bad.mp4 is no video.", exit_code=2)
        return
    if clip.stem == "nobody":
        say(event="error", id=request["id"], message="Nobody was found.", exit_code=3)
        return
    if target.exists() and not request.get("overwrite"):
        say(event="done", id=request["id"], output=str(target), skipped=True)
        return
    if clip.stem == "garbage":
        print(
            'not JSON at all\n[1, 2]\n"text"\n{"no": "event"}\n{"event": "progress"}', flush=True
        )
        sys.stdout.buffer.write(b"\xff\xfe\x00\n")
        sys.stdout.flush()
    if clip.stem == "die":
        raise SystemExit("ModuleNotFoundError: No module named 'torch'")
    if clip.stem == "killed":
        os.kill(os.getpid(), 9)
    for done in range(1, {"slow": 1000, "stubborn": 1000, "brief": 100}.get(clip.stem, 4)):
        say(event="progress", id=request["id"], stage="detect", done=done, total=1000)
        if clip.stem == "stubborn":
            time.sleep(0.02)
        elif cancelled.wait(0.02):
            say(event="error", id=request["id"], message="Cancelled.", exit_code=130)
            return
        if finishing.is_set():
            break
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(clip, target)  # the test's clips are Reconstructions in disguise
    say(event="done", id=request["id"], output=str(target), skipped=False)


def work(requests):
    while request := requests.get():
        cancelled.clear()
        finishing.clear()
        reconstruct(Path(request["clip"]), request["output"], request)


if __name__ == "__main__":
    import queue

    waiting = queue.SimpleQueue()

    def listen():
        for line in sys.stdin:
            message = json.loads(line)
            if message["command"] == "cancel":
                cancelled.set()
            elif message["command"] == "finish":
                finishing.set()
            else:
                waiting.put(message)
        cancelled.set()  # nobody is left to hear the answer
        waiting.put(None)

    if os.environ.get("HUND_FAKE_SILENT"):
        time.sleep(60)
    print("noise before the first word", flush=True)
    say(event="ready")
    threading.Thread(target=listen, daemon=True).start()
    work(waiting)
