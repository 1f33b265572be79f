"""Measure the official mediapipe's pose landmarks on a clip; runs in its own environment.

Arguments: clip, number of frames, complexity. Imports nothing of this project; prints what
`measuring.report` prints. The time is that of the landmarks, without decoding.
"""

import json
import sys
import time
from pathlib import Path


def main(clip: str, frames: int, complexity: int) -> None:
    """Track the most salient person through the clip."""
    import cv2
    import mediapipe

    video = cv2.VideoCapture(clip)
    seconds = cpu_seconds = num_detected = 0
    with mediapipe.solutions.pose.Pose(model_complexity=complexity) as pose:
        for number in range(frames):
            read, image = video.read()
            if not read:
                sys.exit(f"{clip} has only {number} frames.")
            image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
            if number == 0:
                pose.process(image)  # the first call also builds the graph
            start, cpu_start = time.perf_counter(), time.process_time()
            num_detected += pose.process(image).pose_landmarks is not None
            seconds += time.perf_counter() - start
            cpu_seconds += time.process_time() - cpu_start
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
    print(f"a person in {num_detected} of {frames} frames", file=sys.stderr)
    measured = {"frames": frames, "seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mib": peak}
    print(json.dumps({f"mediapipe {complexity}": measured}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
