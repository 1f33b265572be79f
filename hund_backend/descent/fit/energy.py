"""Energy of the fit: a list of terms, summed, with its normal equations.

After the optimization variants of GHUM (Xu et al., 2020) and of the flow priors (Zanfir et al.,
2020). To add a term: a file under `terms/`, its configuration in `EnergyConfig`, its name in
`TERMS`, and a line in `build_terms`.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from ...prior.dynamics import Dynamics
from ...prior.limits import JointLimits
from ...prior.pose_prior import PosePrior
from ..body_contacts import BodyContacts
from ..expected_betas import ExpectedBetas
from ..reduced_body import FitVariables, ReducedBody
from ..targets import Targets
from .jacobian_cache import JacobianCache, prior_gradient
from .linearization import EvaluationPoint, LinearizationPoint
from .parts.alignment import AlignmentTerm
from .parts.observed_parts import ObservedParts
from .parts.surface import Surface
from .solver import NormalEquations
from .terms.betas import BetasTerm
from .terms.body_limits import JointLimitTerm, LimitsConfig
from .terms.contacts import ContactConfig, ContactTerm
from .terms.depth_anchor import DepthAnchor, DepthAnchorTerm
from .terms.dynamics import LatentDynamicsConfig, LatentDynamicsTerm
from .terms.evidence import KeypointTerm, LandmarkTerm
from .terms.evidence_motion import KeypointStepTerm, LandmarkStepTerm, PersistentNoise
from .terms.flight import FlightConfig, FlightTerm
from .terms.kernels import Robust
from .terms.motion import AccelerationConfig, AccelerationTerm, AngularAccelerationTerm
from .terms.pose_anchor import PoseAnchor, PoseAnchorConfig, PoseAnchorTerm
from .terms.pose_prior import PosePriorConfig, PosePriorTerm
from .terms.term import Term

# Columns of the energies, as Reconstruction files have them.
TERMS = (
    "keypoints",
    "landmarks",
    "keypoint_steps",
    "landmark_steps",
    "prior",
    "build",
    "limits",
    "motion",
    "turning",
    "dynamics",
    "anchor",
    "depth_anchor",
    "contacts",
    "flight",
    "parts",
    "silhouette",
)


_LASTING_SECONDS = 0.2  # in which the correlation of the detector's errors falls to 1/e
# Terms that are sums over frames of what lasts.
_PER_FRAME = (
    "keypoints",
    "landmarks",
    "prior",
    "limits",
    "acceleration",
    "angular_acceleration",
    "dynamics",
    "anchor",
    "depth_anchor",
    "parts",
    "silhouette",
)


@dataclass(frozen=True, kw_only=True)
class EnergyConfig:
    """Weight, noise and cut-off of each term; a weight of zero switches a term off."""

    keypoints: Robust = Robust(
        weight=1.0, noise=0.008, cutoff=6.0
    )  # noise: fraction of the crop's side
    landmarks: Robust = Robust(weight=1.0, noise=0.12, cutoff=2.0)  # metres
    # Measured on rendered clips of held-out motion: detections err by 0.006 of the crop's side, and
    # landmarks by 6 cm, about means that stay, with a correlation of 0.85 from frame to frame at
    # 30 frames per second.
    keypoint_steps: PersistentNoise = PersistentNoise(
        weight=1.0, noise=0.006, white=0.0012, seconds=0.2, cutoff=6.0
    )
    landmark_steps: PersistentNoise = PersistentNoise(
        weight=1.0, noise=0.06, seconds=0.2, cutoff=4.0
    )
    prior: PosePriorConfig = PosePriorConfig()
    betas: float = 1.0
    # Precisions of the learned descent's betas in a polish; the population's is one.
    betas_anchor: float = 10.0  # in pictures
    size_anchor: float = 1.0  # in clips, along the direction of size alone
    limits: LimitsConfig = LimitsConfig()
    acceleration: AccelerationConfig = AccelerationConfig()
    # rad/s²; only without dynamics, which say the same and more
    angular_acceleration: Robust = Robust(weight=1.0, noise=40.0, cutoff=2.0)
    dynamics: LatentDynamicsConfig = LatentDynamicsConfig()
    anchor: PoseAnchorConfig = PoseAnchorConfig()
    depth_anchor: Robust = Robust(weight=1.0, noise=0.03, cutoff=3.0)  # metres, in pictures
    contacts: ContactConfig = ContactConfig()
    flight: FlightConfig = FlightConfig()
    # Fractions of the crop's side; at a weight of one, each part counts as one or two keypoints.
    parts: Robust = Robust(weight=0.0, noise=0.008, cutoff=10.0)
    silhouette: Robust = Robust(weight=0.0, noise=0.008, cutoff=4.0)

    def smoothed(self, amount: float) -> "EnergyConfig":
        """The energy with the terms of motion scaled: 0 leaves motion as seen, 1 changes nothing."""
        names = ("acceleration", "angular_acceleration", "dynamics")
        terms = {name: getattr(self, name) for name in names}
        return replace(
            self,
            **{name: replace(term, weight=amount * term.weight) for name, term in terms.items()},
        )

    def at_rate(self, fps: float) -> "EnergyConfig":
        """The energy at another frame rate than 30: the same sum over a second.

        What a frame shows lasts (0.2 s), so twice as many frames say as much. Steps of keypoints
        and of contacts keep their weights: their noise is that of the rate.
        """
        share = math.tanh(0.5 / (fps * _LASTING_SECONDS)) / math.tanh(
            0.5 / (30 * _LASTING_SECONDS)
        )
        terms = {name: getattr(self, name) for name in _PER_FRAME}
        scaled = {name: replace(term, weight=share * term.weight) for name, term in terms.items()}
        looseness = share**-0.5
        contacts = replace(
            self.contacts,
            height=looseness * self.contacts.height,
            depth=looseness * self.contacts.depth,
        )
        return replace(self, **scaled, contacts=contacts, betas=share * self.betas)

    @property
    def aligns_parts(self) -> bool:
        """Whether parts or the silhouette have a weight."""
        return max(self.parts.weight, self.silhouette.weight) > 0


def build_terms(
    config: EnergyConfig,
    *,
    targets: Targets,
    prior: PosePrior,
    limits: JointLimits,
    fps: float | None = None,
    dynamics: Dynamics | None = None,
    anchor: PoseAnchor | None = None,
    depth_anchor: DepthAnchor | None = None,
    expected_betas: ExpectedBetas | None = None,
    contacts: BodyContacts | None = None,
    contact_points: ReducedBody | None = None,
    activity: Float[Tensor, "frames joints"] | None = None,
    observed_parts: ObservedParts | None = None,
    surface: Surface | None = None,
) -> tuple[Term, ...]:
    """Terms of the energy for some frames.

    Args:
        config: weights.
        targets: keypoint evidence of the frames.
        prior: pose prior.
        limits: joint limits.
        fps: rate of the frames; None for frames that are independent of each other.
        dynamics: of the prior's latents; used where frames are coupled.
        anchor: reference rotations of a polish.
        depth_anchor: reference depths of a polish.
        expected_betas: of the person; None: the population's.
        contacts: of the body; used where frames are coupled. They need its contact points.
        contact_points: reduced body whose points are those of CONTACT_NAMES.
        activity: accelerations that are expected, m/s²; None: each joint's typical one.
        observed_parts: part maps of the frames; they need a surface.
        surface: skin of the body.
    """
    is_coupled = fps is not None and len(targets.pixels) > 2
    if is_coupled:
        config = config.at_rate(fps)
    terms: list[Term] = [
        KeypointTerm(config=config.keypoints, targets=targets),
        LandmarkTerm(config=config.landmarks, targets=targets),
    ]
    if observed_parts is not None and surface is not None and config.aligns_parts:
        terms.append(
            AlignmentTerm(
                parts=config.parts,
                silhouette=config.silhouette,
                observed=observed_parts,
                surface=surface,
            )
        )
    terms.append(PosePriorTerm(config=config.prior, prior=prior, observed=targets.observed))
    terms.append(JointLimitTerm(config=config.limits, limits=limits))
    if anchor is not None:
        terms.append(PoseAnchorTerm(config=config.anchor, anchor=anchor))
    if depth_anchor is not None and config.depth_anchor.weight > 0:
        terms.append(DepthAnchorTerm(config=config.depth_anchor, anchor=depth_anchor))
    terms.append(BetasTerm(weight=config.betas, expected=expected_betas))
    if not is_coupled:
        return tuple(terms)
    if config.keypoint_steps.weight > 0:
        terms.append(KeypointStepTerm(config=config.keypoint_steps, targets=targets, fps=fps))
    if config.landmark_steps.weight > 0:
        terms.append(LandmarkStepTerm(config=config.landmark_steps, targets=targets, fps=fps))
    terms.append(AccelerationTerm(config=config.acceleration, fps=fps, activity=activity))
    if contacts is not None and contact_points is not None and config.contacts.weight > 0:
        terms.append(
            ContactTerm(config=config.contacts, contacts=contacts, points=contact_points, fps=fps)
        )
    if contacts is not None and config.flight.weight > 0:
        terms.append(FlightTerm(config=config.flight, contacts=contacts, fps=fps))
    if dynamics is not None and config.dynamics.weight > 0:
        terms.append(LatentDynamicsTerm(config=config.dynamics, dynamics=dynamics, fps=fps))
    elif config.angular_acceleration.weight > 0:
        terms.append(AngularAccelerationTerm(config=config.angular_acceleration, fps=fps))
    return tuple(terms)


@dataclass(frozen=True, kw_only=True)
class Energy:
    """Sum of terms over the frames of a track, as a function of the variables."""

    terms: tuple[Term, ...]
    reduced_body: ReducedBody
    prior: PosePrior | None  # None: no term needs latents
    coupled: bool = False  # some terms span neighboring frames
    frozen: int = 0  # number of frames at the start that keep their variables
    frozen_end: int = 0  # and at the end
    rigid: bool = False  # only global orientation and translation are free; frames independent
    solves_betas: bool = False

    def energies(self, variables: FitVariables) -> Float[Tensor, "frames terms"]:
        """Weighted energy of each frame and term, in the order of TERMS; zero for absent terms."""
        at = EvaluationPoint(variables, self.reduced_body, self.prior)
        columns = dict.fromkeys(TERMS, torch.zeros_like(variables.translation[:, 0]))
        for term in self.terms:
            columns |= zip(term.names, term.energies(at), strict=True)
        return torch.stack(list(columns.values()), dim=-1)

    def normal_equations(
        self, variables: FitVariables, cache: JacobianCache | None = None
    ) -> NormalEquations:
        """Gradient, and Hessian without second derivatives of the residuals.

        Args:
            variables: where.
            cache: of the prior's Jacobians, kept over the steps of a descent.
        """
        at = LinearizationPoint(
            variables, self.reduced_body, self.prior, solves_betas=self.solves_betas, cache=cache
        )
        jacobian = at.point_jacobian
        equations = NormalEquations.zeros(
            len(variables.translation), jacobian.shape[-1], len(variables.betas), jacobian
        )
        if self.coupled:
            equations.couple()
        for term in self.terms:
            if not (self.rigid and term.rigid_invariant):
                term.linearize(at, equations)
        if at.latent_gradient is not None:
            gradient = prior_gradient(self.prior, at.pose, at.latent_gradient, at.log_det_gradient)
            equations.gradient += at.scatter_joints(gradient)
        if self.rigid:
            equations.hold_pose()
        equations.hold_frames(self.frozen, self.frozen_end)
        return equations

    @property
    def aligns_parts(self) -> bool:
        """Whether one of the terms aligns body parts."""
        return any(isinstance(term, AlignmentTerm) for term in self.terms)

    def refresh_visibility(self, variables: FitVariables) -> "Energy":
        """Energy that aligns the surface visible at these variables; itself without alignment."""
        if not self.aligns_parts:
            return self
        posed = self.reduced_body.forward(variables)
        terms = (
            term.refresh_visibility(posed, variables.betas)
            if isinstance(term, AlignmentTerm)
            else term
            for term in self.terms
        )
        return replace(self, terms=tuple(terms))
