"""Small training of HUND that processes share: `torchrun shared_training.py FOLDER`.

Each writes its weights; its checkpoint has its own name, so that one sees who writes it.
"""

import sys
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file
from test_training_hund import RECIPE, detections, network, poses

from hund_backend.body.model import BodyModel
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.training.hund.samples import MotionDataset, PictureDataset
from hund_backend.training.hund.train_hund import MixedDataset, train
from hund_backend.training.processes import Processes, processes_of

SHARED = replace(RECIPE, batch=13, steps=6)  # shares of different sizes


def run(folder: Path, processes: Processes):
    """Train; returns the curve."""
    body, prior = BodyModel.load("keypoints"), PoseFlow.load()
    hund = network(body, prior)
    pictures = PictureDataset(detections(hund.decoder), hund.decoder)
    motion = MotionDataset(poses(), "train", hund.decoder, pictures.errors())
    dataset = MixedDataset(motion, pictures, SHARED.picture_share)
    path = folder / f"{processes.rank}.checkpoint"
    curve = train(hund, prior, dataset, None, {}, SHARED, path, processes)
    save_file(hund.state_dict(), folder / f"{processes.rank}.safetensors")
    return curve


if __name__ == "__main__":
    with processes_of("cpu") as (processes, _):
        run(Path(sys.argv[1]), processes)
