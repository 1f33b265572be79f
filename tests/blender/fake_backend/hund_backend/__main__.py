"""Backend with the same protocol that copies the clip; the clip's name selects its behavior.

bad, nobody: answers with an error. crash: exits with an error. killed: kills itself.
garbage: prints lines that are no replies. slow: runs until it is cancelled or finished.
stubborn: ignores requests to stop. held: waits for a file `release` beside the clip.
The command people lists three people, of whom the second is a still figure; solve copies the file
<clip>.solved beside the evidence. Each request is written to request.json in the output folder.
"""

import base64
import itertools
import json
import os
import queue
import shutil
import sys
import threading
from pathlib import Path

STEP_SECONDS = 0.02
TOTAL_STEPS = 1000
PICTURE = base64.b64decode(  # one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)
GARBAGE = 'not JSON at all\n[1, 2]\n"text"\n{"no": "event"}\n{"event": "progress"}'

cancelled, finishing, orphaned = threading.Event(), threading.Event(), threading.Event()


def send(**event):
    print(json.dumps(event), flush=True)


def is_done(clip, step):
    match clip.stem:
        case "slow":
            return finishing.is_set()
        case "stubborn":
            return orphaned.is_set()
        case "held":
            return clip.with_name("release").exists()
    return step == 3


def reconstruct(clip, output, request):
    target = Path(output) / f"{clip.stem}.npz"
    if clip.stem == "bad":
        send(event="error", id=request["id"], message="bad.mp4 is no video.", exit_code=2)
        return
    if clip.stem == "nobody":
        send(event="error", id=request["id"], message="Nobody was found.", exit_code=3)
        return
    if target.exists() and not request.get("overwrite"):
        send(event="done", id=request["id"], output=str(target), skipped=True)
        return
    if clip.stem == "garbage":
        print(GARBAGE, flush=True)
        sys.stdout.buffer.write(b"\xff\xfe\x00\n")
        sys.stdout.flush()
    if clip.stem == "crash":
        raise SystemExit("ModuleNotFoundError: No module named 'torch'")
    if clip.stem == "killed":
        os.kill(os.getpid(), 9)
    stop = orphaned if clip.stem == "stubborn" else cancelled
    for step in itertools.count(1):
        done = min(step, TOTAL_STEPS - 1)
        send(event="progress", id=request["id"], stage="detect", done=done, total=TOTAL_STEPS)
        if stop.wait(STEP_SECONDS):
            send(event="error", id=request["id"], message="Cancelled.", exit_code=130)
            return
        if is_done(clip, step):
            break
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(clip, target)  # the clips of the tests are saved Reconstructions
    send(event="done", id=request["id"], output=str(target), skipped=False)


def list_people(clip, output, request):
    target = Path(output) / "people.json"
    people = [
        {
            "id": number,
            "picture": f"person_{number}.png",
            "presence": 0.5,
            "size": 0.25,
            "first": 0.0,
            "last": 2.5,
            "static": number == 2,
            "confidence": 0.9,
            "chosen": True,
            "boxes": [[0.0, 1.0, 2.0, 3.0, 4.0]],
        }
        for number in (1, 2, 3)
    ]
    for person in people:
        target.with_name(person["picture"]).write_bytes(PICTURE)
    content = {"schema": 1, "clip": str(clip), "duration": 2.5, "people": people}
    target.write_text(json.dumps(content))
    send(event="done", id=request["id"], output=str(target), skipped=False)


def solve(evidence, output, request):
    target = Path(output) / f"{evidence.stem}.npz"
    shutil.copy(evidence.with_suffix(".solved"), target)
    send(event="done", id=request["id"], output=str(target), skipped=False)


def answer(request):
    clip, output = Path(request["clip"]), Path(request["output"])
    output.mkdir(parents=True, exist_ok=True)
    output.joinpath("request.json").write_text(json.dumps(request))
    if request["command"] == "people" and clip.stem != "bad":
        list_people(clip, output, request)
    elif request["command"] == "solve":
        solve(Path(request["evidence"]), output, request)
    else:
        reconstruct(clip, request["output"], request)


def process_requests(requests):
    while request := requests.get():
        cancelled.clear()
        finishing.clear()
        answer(request)


def read_messages(requests):
    for line in sys.stdin:
        message = json.loads(line)
        if message["command"] == "cancel":
            cancelled.set()
        elif message["command"] == "finish":
            finishing.set()
        else:
            requests.put(message)
    orphaned.set()
    cancelled.set()
    requests.put(None)


def inspect(clip):
    """Describe a picture of two pixels; the backend's real command needs packages."""
    if clip.stem == "bad":
        send(event="error", message="bad.mp4 is no video.")
    else:
        picture = {"width": 2, "height": 1, "rgb": "/wAAAP8A"}  # red, green
        send(event="clip", width=4, height=2, fps=25.0, frames=50, thumbnail=picture)


if __name__ == "__main__":
    if sys.argv[1] == "inspect":
        raise SystemExit(inspect(Path(sys.argv[2])))
    if os.environ.get("HUND_FAKE_SILENT"):
        sys.stdin.read()  # never replies
    print("output before the first reply", flush=True)
    send(event="ready")
    pending = queue.SimpleQueue()
    threading.Thread(target=read_messages, args=(pending,), daemon=True).start()
    process_requests(pending)
