"""Models: the networks, body, prior and dynamics of a job, loaded once."""

from dataclasses import dataclass, field

import torch

from .body.model import BodyModel
from .descent.build.estimator import BuildEstimator
from .descent.face.hund import FaceHund
from .descent.face.model import FaceModel
from .descent.hands.hund import HandHund
from .descent.learned.hund import Hund
from .device import choose_device
from .motion.contact_network import ContactNetwork
from .options import DEFAULT_DEVICE, Options
from .perception.face.follow import FacePerception
from .perception.run import Perception
from .prior.dynamics import Dynamics
from .prior.pose_flow import PoseFlow
from .weights_file import record_loaded


@dataclass(frozen=True, kw_only=True)
class Models:
    """Networks, body, prior and dynamics, loaded once and used for many clips."""

    device: torch.device
    perception: Perception
    body: BodyModel  # with the vertices that keypoints need
    prior: PoseFlow
    hund: Hund  # made for this body and this prior
    contacts: ContactNetwork
    dynamics: Dynamics | None = None  # in the prior's latents; None: smoothing alone
    build: BuildEstimator | None = None  # None: keypoints alone determine the build
    hand_hund: HandHund | None = None  # None: fingers stay at rest
    weights: dict[str, str] = field(default_factory=dict)  # SHA-256 of their files, by name
    faces: FacePerception | None = None  # None: faces are not read
    face_model: FaceModel | None = None  # None: faces are not solved
    face_hund: FaceHund | None = None  # None: faces are fitted alone
    face_weights: dict[str, str] = field(default_factory=dict)  # as `weights`, of faces alone

    @classmethod
    def load(cls, device: str = DEFAULT_DEVICE) -> "Models":
        """Load all models to a device: "auto", "cpu" or "cuda".

        Raises:
            BadInputError: weights are missing or damaged, or there is no such device.
        """
        chosen = choose_device(device)
        with record_loaded() as face_weights:
            faces, face_model = FacePerception.open(chosen.type), FaceModel.load()
            face_hund = FaceHund.load(face_model)
        with record_loaded() as weights:
            body, prior = BodyModel.load("keypoints").to(chosen), PoseFlow.load().to(chosen)
            return cls(
                device=chosen,
                perception=Perception.open(chosen.type),
                body=body,
                prior=prior,
                hund=Hund.load(body, prior).to(chosen),
                contacts=ContactNetwork.load(),
                dynamics=Dynamics.load(prior).to(chosen),
                build=BuildEstimator.load(body),
                hand_hund=HandHund.load(),
                weights=weights,
                faces=faces,
                face_model=face_model,
                face_hund=face_hund,
                face_weights=face_weights,
            )

    def used_weights(self, options: Options) -> dict[str, str]:
        """Return the SHA-256 of the weights behind a reconstruction, by file name."""
        used = self.weights | (self.perception.part_weights if options.parts else {})
        return used | (self.face_weights if options.face else {})
