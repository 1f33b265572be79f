"""The energy of a posture over the frames of a track."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from hund_backend.body.camera import project
from hund_backend.descent import losses
from hund_backend.descent.fit.parts import alignment
from hund_backend.descent.fit.parts.surface import Surface
from hund_backend.descent.fit.pose_anchor import PoseAnchor
from hund_backend.descent.reduced_body import FitVariables, PosedReducedBody, ReducedBody
from hund_backend.descent.targets import NUM_KEYPOINTS, Targets
from hund_backend.prior.dynamics import Dynamics
from hund_backend.prior.limits import JointLimits
from hund_backend.prior.pose_prior import PosePrior

TERMS = (
    "keypoints",
    "landmarks",
    "prior",
    "build",
    "limits",
    "motion",
    "turning",
    "dynamics",
    "anchor",
    "parts",
    "silhouette",
)


@dataclass(frozen=True, kw_only=True)
class EnergyConfig:
    """Weight, noise and cut-off of each term; a weight of zero switches a term off."""

    keypoints: float = 1.0
    keypoint_noise: float = 0.008  # of the side of the person's crop
    keypoint_cutoff: float = 6.0  # in units of the noise; beyond it a point counts as an outlier
    landmarks: float = 1.0
    landmark_noise: float = 0.12  # metres
    landmark_cutoff: float = 2.0
    prior: float = 1.0
    prior_volume: float = 0.5  # 0: ½ ‖latent‖² as it is; 1: likeliness of rotations
    prior_unseen: float = 0.05  # weight in bridged frames, which motion should fill, not the mean
    build: float = 1.0
    limits: float = 1.0
    limit_noise: float = 0.05  # radians beyond the range
    motion: float = 0.3  # as the next: at one, fast motion is smoothed away (docs/log.md)
    motion_noise: float = 6.0  # m/s²: acceleration of a joint relative to the pelvis
    place_noise: float = 6.0  # m/s²: of the pelvis in the camera frame, which may move as well
    motion_cutoff: float = 2.0
    turning: float = 1.0  # where there are no dynamics, which say the same and more
    turning_noise: float = 40.0  # rad/s²: angular acceleration of a joint in its parent
    turning_cutoff: float = 2.0
    dynamics: float = 0.3
    dynamics_cutoff: float = 1.0  # in units of the typical length of a surprise
    parts: float = 0.0  # at one, each part counts as much as a keypoint or two
    parts_noise: float = 0.008  # of the side of the person's crop: half a cell of the map
    parts_cutoff: float = 10.0
    silhouette: float = 0.0
    silhouette_noise: float = 0.008  # of the side of the person's crop
    silhouette_cutoff: float = 4.0
    anchor: float = 1.0  # where there is something to polish
    anchor_noise: float = 0.3  # radians: of a believed turn of which all is seen
    anchor_unseen_noise: float = 0.05  # and of one of which nothing is


@dataclass(frozen=True, kw_only=True)
class Energy:
    """What the descent lowers."""

    reduced_body: ReducedBody
    prior: PosePrior
    limits: JointLimits
    targets: Targets
    config: EnergyConfig
    dynamics: Dynamics | None = None  # in the latents of the prior
    fps: float | None = None  # None: the frames have nothing to do with each other
    frozen: int = 0  # so many frames at the start are given and stay as they are
    rigid: bool = False  # only the global orientation and the place are free; frames are alone
    solves_betas: bool = False
    surface: Surface | None = None  # without it, parts and silhouette have no say
    anchor: PoseAnchor | None = None  # what was believed before
    shown: alignment.Shown | None = None  # what the surface showed when it was last looked at

    def energies(self, variables: FitVariables) -> Float[Tensor, "frames terms"]:
        """Each term in each frame; a term in time belongs to the frame in its middle."""
        figure = self.reduced_body.posed(variables)
        pose = self.reduced_body.pose(variables)
        frames = len(pose)
        terms = [self._keypoint_energy(figure), self._landmark_energy(figure)]
        terms.append(self.prior_weight() * self._prior_energy(pose))
        terms.append(self.config.build * losses.build_energy(variables.betas).expand(frames))
        excess = self.limits.excess(pose)
        limit_energy = losses.limit_energy(excess, self.config.limit_noise)
        terms.append(self.config.limits * limit_energy)
        terms += self._smoothness_energies(variables, figure)
        terms.append(self._dynamics_energy(pose))
        terms.append(self._anchor_energy(variables))
        terms += self._alignment_energies(variables, figure)
        return torch.stack(terms, dim=-1)

    def looking(self, variables: FitVariables) -> "Objective":
        """The same, aligning what is visible in this posture; itself where there is nothing to align."""
        if not self.aligns:
            return self
        vertices = self.surface.posed(self.reduced_body.posed(variables), variables.betas)
        return replace(self, shown=alignment.look(self.surface, vertices, self.targets.parts))

    @property
    def aligns(self) -> bool:
        """Whether parts or silhouette have a say."""
        told = self.surface is not None and self.targets.parts is not None
        return told and max(self.config.parts, self.config.silhouette) > 0

    @property
    def kernels(self) -> tuple[alignment.Kernel, alignment.Kernel]:
        """Those of the parts and of the silhouette."""
        config = self.config
        return (
            alignment.Kernel(config.parts, config.parts_noise, config.parts_cutoff),
            alignment.Kernel(config.silhouette, config.silhouette_noise, config.silhouette_cutoff),
        )

    def keypoint_residuals(self, figure: PosedReducedBody) -> Float[Tensor, "frames keypoints 2"]:
        """Pixels missed, as a fraction of the crop's side."""
        seen = self.targets
        points = figure.points[:, :NUM_KEYPOINTS]
        return losses.keypoint_residuals(points, seen.intrinsics, seen.pixels, seen.crop_side)

    def landmark_residuals(self, figure: PosedReducedBody) -> Float[Tensor, "frames keypoints 3"]:
        """Metres between the points and the scaled landmarks."""
        seen = self.targets
        points = figure.points[:, :NUM_KEYPOINTS]
        return losses.landmark_residuals(points, seen.landmarks, seen.landmark_scale)

    def accelerations(self, figure: PosedReducedBody) -> Float[Tensor, "inner joints 3"]:
        """Of the pelvis, and of the other joints relative to it, each in units of its noise.

        Relative, because a jerk of the camera moves all joints alike and should cost only once.
        """
        place = losses.accelerations(figure.joints[:, :1], self.fps) / self.config.place_noise
        relative = figure.joints[:, 1:] - figure.joints[:, :1]
        motion = losses.accelerations(relative, self.fps) / self.config.motion_noise
        return torch.cat((place, motion), dim=1)

    def surprises(self, latents: Float[Tensor, "frames latent"]) -> Float[Tensor, "inner latent"]:
        """What the dynamics did not expect of each frame, in units of its spread.

        The spread is the same for all steps: one that grew with the speed would lower the energy of
        motions that are fast for no reason.
        """
        spread = self.dynamics.typical_log_variance(self.fps).expand(
            len(latents) - 2, latents.shape[-1]
        )
        return self.dynamics.residuals(latents, spread, None, self.fps)

    def prior_weight(self) -> Float[Tensor, " frames"]:
        """Weight of the pose prior in each frame."""
        seen = self.targets.observed.to(self.targets.pixels.dtype)
        unseen = self.config.prior * self.config.prior_unseen
        return seen * self.config.prior + (1 - seen) * unseen

    def _prior_energy(self, pose: Float[Tensor, "frames joints 3 3"]) -> Float[Tensor, " frames"]:
        """½ ‖z‖² − v log |dz/dR|, zero where z is.

        The flow papers penalise ‖z‖² of the latent that they solve for. Of rotations, the density is
        smaller by the volume that the flow squeezes: without it, poses far from people's come near z = 0.
        """
        energy = self.prior.energy(pose)
        if self.config.prior_volume == 0:
            return energy
        typical = self.prior.typical_pose().to(pose)
        squeezed = self.prior.log_det(typical) - self.prior.log_det(pose)
        return energy + self.config.prior_volume * squeezed

    @property
    def is_coupled(self) -> bool:
        """Whether neighbouring frames share terms."""
        return self.fps is not None and len(self.targets.pixels) > 2

    def _keypoint_energy(self, figure: PosedReducedBody) -> Float[Tensor, " frames"]:
        config = self.config
        return config.keypoints * losses.evidence_energy(
            self.keypoint_residuals(figure),
            self.targets.confidence,
            config.keypoint_noise,
            config.keypoint_cutoff,
        )

    def _landmark_energy(self, figure: PosedReducedBody) -> Float[Tensor, " frames"]:
        config = self.config
        return config.landmarks * losses.evidence_energy(
            self.landmark_residuals(figure),
            self.targets.confidence,
            config.landmark_noise,
            config.landmark_cutoff,
        )

    @property
    def follows_dynamics(self) -> bool:
        """Whether the dynamics have a say."""
        return self.dynamics is not None and self.is_coupled and self.config.dynamics > 0

    @property
    def dynamics_cutoff(self) -> float:
        """The length of a surprise from which it counts by its length, not by its square."""
        return self.config.dynamics_cutoff * self.dynamics.config.latent**0.5

    @property
    def turning_weight(self) -> float:
        """Weight of the joints' angular accelerations."""
        return 0.0 if self.follows_dynamics else self.config.turning

    def _dynamics_energy(
        self, pose: Float[Tensor, "frames joints 3 3"]
    ) -> Float[Tensor, " frames"]:
        if not self.follows_dynamics:
            return pose.new_zeros(len(pose))
        squares = self.surprises(self.prior.latent(pose)).square().sum(-1)
        rho, _ = losses.charbonnier(squares, self.dynamics_cutoff)
        return self.config.dynamics * torch.nn.functional.pad(0.5 * rho, (1, 1))

    def _alignment_energies(
        self, variables: FitVariables, figure: PosedReducedBody
    ) -> list[Float[Tensor, " frames"]]:
        if self.shown is None:
            return [figure.joints.new_zeros(len(figure.joints))] * 2
        points = self.surface.places(self.shown.spots, figure, variables.betas)
        places = project(points, self.targets.parts.camera)
        parts, silhouette = self.kernels
        about = places, self.shown, self.targets.parts
        return [
            alignment.part_energy(*about, parts),
            alignment.silhouette_energy(*about, silhouette),
        ]

    def anchor_precision(self) -> Float[Tensor, "frames moved"]:
        """Weight of the believed turns."""
        config = self.config
        return config.anchor * self.anchor.precision(
            config.anchor_noise, config.anchor_unseen_noise
        )

    def _anchor_energy(self, variables: FitVariables) -> Float[Tensor, " frames"]:
        if self.anchor is None:
            return variables.translation.new_zeros(len(variables.translation))
        deviation = self.anchor.deviation(variables.rotations)
        return losses.anchor_energy(deviation, self.anchor_precision())

    def _smoothness_energies(
        self, variables: FitVariables, figure: PosedReducedBody
    ) -> list[Float[Tensor, " frames"]]:
        if not self.is_coupled:
            return [figure.joints.new_zeros(len(figure.joints))] * 2
        config = self.config
        moving = self.accelerations(figure)
        motion = losses.smoothness_energy(moving, 1.0, config.motion_cutoff)
        if self.turning_weight == 0:
            return [config.motion * motion, torch.zeros_like(motion)]
        turning = losses.smoothness_energy(
            losses.angular_accelerations(variables.rotations, self.fps),
            config.turning_noise,
            config.turning_cutoff,
        )
        return [config.motion * motion, self.turning_weight * turning]
