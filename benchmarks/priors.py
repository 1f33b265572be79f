"""Pose priors side by side: likelihood, samples, denoising and the completion of a hidden arm.

Run as `python -m benchmarks.priors MOCAP_FOLDER`. Contenders that are not in `--trained` yet are
trained first. Poses are held out by subject; noise and seeds are the same for all.
"""

import argparse
import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from safetensors.torch import load_file
from torch import Tensor

from benchmarks import measuring
from hund_backend.body.kinematics import forward_kinematics
from hund_backend.body.model import BodyModel
from hund_backend.body.rotations import matrix_to_rotvec, rotvec_to_matrix
from hund_backend.body.skeleton import JOINT_NAMES, PARENTS
from hund_backend.descent.fit.energy import EnergyConfig
from hund_backend.prior.coordinates import inverse_right_jacobian
from hund_backend.prior.gaussian import GaussianPrior
from hund_backend.prior.limits import JointLimits
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.prior.pose_prior import PosePrior
from hund_backend.training.motion.artifacts import MAX_PENETRATION
from hund_backend.training.motion.capsules import CapsuleBody
from hund_backend.training.motion.motion_set import MotionSet, motion_set
from hund_backend.training.priors.augmentation import ARM
from hund_backend.training.priors.density import train_density
from hund_backend.training.priors.pose_vae import PoseVae, VaeConfig
from hund_backend.training.priors.train_pose_flow import (
    MotionPoseSampler,
    PoseRecipe,
    add_dequantization_noise,
    train_pose_flow,
    validation_poses,
)
from hund_backend.training.weights import write_weights

PACKAGES = ("torch", "zuko", "numpy")
HEAD = """# Pose priors

{environment}
* `python -m benchmarks.priors MOCAP_FOLDER --poses {args.poses}`
* held-out subjects; nats per rotational dimension ({dimensions}) of poses with the noise of
  training; errors are mean distances of joints, root at rest, mm

"""


Prior = PosePrior | PoseVae


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A prior in the comparison."""

    name: str
    recipe: PoseRecipe | None = None  # None: its weights are shipped
    shipped: Callable[[], Prior] | None = None
    autoencodes: bool = False


CONTENDERS = (
    Contender(name="Gaussian, rotation vectors", shipped=GaussianPrior.load),
    Contender(name="Gaussian, 6D", recipe=PoseRecipe(kind="light", layers=1, steps=1000)),
    Contender(name="VAE", recipe=PoseRecipe(hidden=192, steps=3000), autoencodes=True),
    Contender(name="light flow, 10 layers", shipped=PoseFlow.load),
    Contender(
        name="RealNVP, 6 couplings", recipe=PoseRecipe(kind="realnvp", hidden=96, steps=3000)
    ),
    Contender(
        name="neural spline, 4 couplings",
        recipe=PoseRecipe(kind="spline", layers=4, hidden=64, steps=1000),
    ),
)


def main() -> None:
    """Train what is missing, measure every contender and print the tables."""
    args = measuring.parse(__doc__, add_arguments)
    measuring.limit_cores(args.cores)
    poses = motion_set(args.mocap)
    args.trained.mkdir(parents=True, exist_ok=True)
    priors = {c.name: trained(c, poses, args.trained) for c in CONTENDERS if c.name in args.only}
    rows = {
        name: prior_metrics(prior, poses, args.poses) | {"parameters": num_parameters(prior)}
        for name, prior in priors.items()
    }
    rows["data"] = data_metrics(poses, args.poses)
    dimensions = 3 * len(GaussianPrior.load().joints)
    head = HEAD.format(
        environment=measuring.environment(PACKAGES, args.cores),
        args=args,
        dimensions=dimensions,
    )
    text = head + as_markdown(rows)
    print(text)
    if args.save:
        print(measuring.save("priors", text))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the benchmark's own arguments."""
    names = [contender.name for contender in CONTENDERS]
    parser.add_argument("mocap", type=Path, help="folder of <pack>_30fps.npz")
    parser.add_argument("--trained", type=Path, default=measuring.ROOT / "out" / "priors")
    parser.add_argument("--poses", type=int, default=600, help="held-out poses and samples")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--save", action="store_true", help="keep it in benchmarks/results/")


def trained(contender: Contender, poses: MotionSet, folder: Path) -> Prior:
    """Load a contender's prior, after training it if it has no weights yet."""
    if contender.shipped is not None:
        return contender.shipped()
    path = folder / f"{contender.name.replace(' ', '_').replace(',', '')}.safetensors"
    if contender.autoencodes:
        return _autoencoder(contender.recipe, poses, path)
    if not path.exists():
        flow, curve = train_pose_flow(poses, contender.recipe)
        write_weights(path, flow.state_dict(), {"config": vars(flow.config), "curve": curve})
    return PoseFlow.load(path)


def prior_metrics(prior: Prior, poses: MotionSet, count: int) -> dict[str, float]:
    """Return all metrics of a prior."""
    body = BodyModel.load("keypoints")
    recipe, dimensions = PoseRecipe(), 3 * len(prior.joints)
    metrics = {}
    for split in ("train", "validation", "held_out"):
        noisy = add_dequantization_noise(chosen_poses(poses, split, count), recipe.augmentation)
        with torch.no_grad():
            metrics[f"nats {split}"] = float(prior.log_prob(noisy).mean()) / dimensions
    pose = chosen_poses(poses, "held_out", count)
    with torch.no_grad():
        latent = prior.latent(pose)
        decoded = prior.pose(latent)
        metrics["round trip mm"] = float(distances(body, decoded, pose, prior.joints).mean())
        metrics["‖z‖² / dimension"] = float(latent.square().sum(-1).mean()) / dimensions
        generator = torch.Generator().manual_seed(1)
        samples = prior.pose(torch.randn(count, latent.shape[-1], generator=generator))
    metrics |= sample_metrics(samples, poses, prior.joints)
    for degrees in (10, 20):
        noisy = add_rotation_noise(pose, prior.joints, degrees)
        name = f"{degrees}° noise mm"
        observed = torch.ones(len(prior.joints), dtype=torch.bool)
        found = most_likely_pose(prior, noisy, observed, degrees)
        metrics[f"{name} before"] = float(distances(body, noisy, pose, prior.joints).mean())
        metrics[name] = float(distances(body, found, pose, prior.joints).mean())
    hidden = [JOINT_NAMES.index(f"{name}L") - 1 for name in ARM]
    observed = torch.tensor([joint not in hidden for joint in prior.joints])
    start = pose.clone()
    start[:, hidden] = prior.pose(torch.zeros_like(latent[:1]))[:, hidden].detach()
    found = most_likely_pose(prior, start, observed, 2)
    arm = [JOINT_NAMES.index(name) for name in ("LowerarmL", "HandL")]
    errors = distances(body, found, pose, prior.joints)[:, arm].mean(-1)
    metrics |= {"hidden arm mm": float(errors.mean()), "median": float(errors.median())}
    return metrics


def data_metrics(poses: MotionSet, count: int) -> dict[str, float]:
    """Return the sample metrics of held-out poses, for comparison."""
    joints = GaussianPrior.load().joints
    return sample_metrics(chosen_poses(poses, "held_out", count), poses, joints)


def sample_metrics(
    samples: Float[Tensor, "samples joints 3 3"], poses: MotionSet, joints: tuple[int, ...]
) -> dict[str, float]:
    """Return shares beyond limits, penetration, and the distance to the nearest training pose."""
    excess = JointLimits().excess(samples).abs().amax((-2, -1)).rad2deg()
    known = poses.rotations[poses.frames_of("train"), 1:][::4]
    mirror_free = known[:, joints].flatten(1)
    # ‖A − B‖²_F = 6 − 2 tr(AᵀB) = 8 sin²(θ/2): the nearest by chord is the nearest by angle.
    similarity = samples[:, joints].flatten(1) @ mirror_free.T
    nearest = known[similarity.argmax(-1)][:, joints]
    angle = matrix_to_rotvec(nearest.mT @ samples[:, joints]).norm(dim=-1).rad2deg()
    return {
        "samples beyond limits by 5° %": 100 * float((excess > 5).float().mean()),
        "by 15° %": 100 * float((excess > 15).float().mean()),
        "limbs in other parts %": 100
        * float((penetration(samples) > MAX_PENETRATION).float().mean()),
        "nearest training pose °": float(angle.mean()),
    }


def penetration(pose: Float[Tensor, "poses joints 3 3"]) -> Float[Tensor, " poses"]:
    """Return the deepest penetration of a limb into another part of the mean body, metres."""
    rest = BodyModel.load("keypoints").rest_template.double()
    moved = torch.cat((torch.eye(3).expand(len(pose), 1, 3, 3), pose), dim=1).double()
    _, joints = forward_kinematics(moved, rest.expand(len(pose), -1, -1), PARENTS)
    return CapsuleBody().penetration(joints).amax(-1)


def most_likely_pose(
    prior: Prior,
    noisy: Float[Tensor, "poses joints 3 3"],
    observed: Bool[Tensor, " moved"],
    degrees: float,
) -> Float[Tensor, "poses joints 3 3"]:
    """Return the most likely poses given noisy rotations of the observed joints.

    The energy is that of the fit. For an autoencoder, the code is optimized.
    """
    noise = math.radians(degrees)
    if isinstance(prior, PoseVae):
        return _most_likely_code(prior, noisy, observed, noise)
    prior = copy.deepcopy(prior).double()
    return _minimize_energy(prior, noisy.double(), observed.double() / noise**2).float()


def _minimize_energy(
    prior: PosePrior,
    noisy: Float[Tensor, "poses joints 3 3"],
    precision: Float[Tensor, " moved"],
    steps: int = 40,
) -> Float[Tensor, "poses joints 3 3"]:
    """Minimize by Levenberg–Marquardt over the rotations."""
    joints, volume = list(prior.joints), EnergyConfig().prior.volume
    pose, damping = noisy.clone(), noisy.new_full((len(noisy),), 1e-2)

    def energies(pose: Float[Tensor, "poses joints 3 3"]) -> Float[Tensor, " poses"]:
        errors = matrix_to_rotvec(noisy[:, joints].mT @ pose[:, joints]).square().sum(-1)
        return prior.energy(pose) - volume * prior.log_det(pose) + 0.5 * errors @ precision

    lowest = energies(pose)
    for _ in range(steps):
        jacobian, latent = prior.jacobian(pose), prior.latent(pose)
        errors = matrix_to_rotvec(noisy[:, joints].mT @ pose[:, joints])
        turned = precision[:, None, None].sqrt() * inverse_right_jacobian(errors)
        latent_jacobian = jacobian.latent.flatten(-2)
        hessian = latent_jacobian.mT @ latent_jacobian
        gradient = (latent_jacobian.mT @ latent[..., None])[..., 0]
        gradient -= volume * jacobian.log_det.flatten(-2)
        gradient += (
            (precision[:, None] * errors)[..., None, :] @ inverse_right_jacobian(errors)
        ).flatten(1)
        for place in range(len(joints)):
            own = slice(3 * place, 3 * place + 3)
            hessian[:, own, own] += turned[:, place].mT @ turned[:, place]
        damped = hessian + torch.diag_embed(damping[:, None] * hessian.diagonal(dim1=-2, dim2=-1))
        step = -torch.linalg.solve(damped, gradient[..., None])[..., 0].unflatten(-1, (-1, 3))
        candidate = pose.clone()
        candidate[:, joints] = pose[:, joints] @ rotvec_to_matrix(step)
        energy = energies(candidate)
        lower = energy < lowest
        pose = torch.where(lower[:, None, None, None], candidate, pose)
        lowest = torch.where(lower, energy, lowest)
        damping = torch.where(lower, damping / 3, damping * 4).clamp(1e-8, 1e8)
    return pose


def _most_likely_code(
    prior: PoseVae,
    noisy: Float[Tensor, "poses joints 3 3"],
    observed: Bool[Tensor, " moved"],
    noise: float,
    steps: int = 400,
) -> Float[Tensor, "poses joints 3 3"]:
    latent = prior.latent(noisy).detach().requires_grad_()
    optimizer = torch.optim.Adam([latent], lr=0.05)
    joints = list(prior.joints)
    for _ in range(steps):
        chord = (prior.pose(latent)[:, joints] - noisy[:, joints]).square().sum((-2, -1)) / 2
        energy = 0.5 * latent.square().sum() + 0.5 * (chord * observed).sum() / noise**2
        optimizer.zero_grad()
        energy.backward()
        optimizer.step()
    return prior.pose(latent).detach()


def add_rotation_noise(
    pose: Float[Tensor, "poses joints 3 3"], joints: tuple[int, ...], degrees: float
) -> Float[Tensor, "poses joints 3 3"]:
    """Add normal noise to every axis of the joints."""
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(len(pose), len(joints), 3, generator=generator)
    noisy = pose.clone()
    noisy[:, joints] = pose[:, joints] @ rotvec_to_matrix(noise * torch.tensor(degrees).deg2rad())
    return noisy


def chosen_poses(poses: MotionSet, split: str, count: int) -> Float[Tensor, "poses joints 3 3"]:
    """Return `count` poses, evenly over a split."""
    pose = poses.rotations[poses.frames_of(split), 1:]
    return pose[torch.linspace(0, len(pose) - 1, count).long()]


def distances(
    body: BodyModel,
    pose: Float[Tensor, "poses joints 3 3"],
    true: Float[Tensor, "poses joints 3 3"],
    joints: tuple[int, ...],
) -> Float[Tensor, "poses 63"]:
    """Return distances of the joints, roots aligned, mm; joints outside the prior stay at rest."""
    places, betas = [], torch.zeros(len(pose), 16)
    for rotations in (pose, true):
        moved = torch.eye(3).repeat(len(pose), len(JOINT_NAMES) - 1, 1, 1)
        moved[:, joints] = rotations[:, joints]
        places.append(body(moved, betas).joints)
    return 1000 * (places[0] - places[1]).norm(dim=-1)


def num_parameters(prior: Prior) -> float:
    """Return the number of learned parameters."""
    if isinstance(prior, GaussianPrior):
        return float(prior.whitening.tril().count_nonzero() + prior.centers.numel() / 3)
    return float(sum(values.numel() for values in prior.parameters()))


def as_markdown(rows: dict[str, dict[str, float]]) -> str:
    """Return a table with a column for each prior."""
    names = list(dict.fromkeys(name for metrics in rows.values() for name in metrics))
    lines = ["| | " + " | ".join(rows) + " |", "| --- " * (len(rows) + 1) + "|"]
    show: Callable[[float | None], str] = lambda value: "" if value is None else f"{value:.4g}"
    for name in names:
        cells = [show(metrics.get(name)) for metrics in rows.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _autoencoder(recipe: PoseRecipe, poses: MotionSet, path: Path) -> PoseVae:
    config = VaeConfig(joints=GaussianPrior.load().joint_names, hidden=recipe.hidden)
    model = PoseVae(config)
    if path.exists():
        model.load_state_dict(load_file(path))
        return model
    torch.manual_seed(recipe.seed)
    stream, validation = MotionPoseSampler(poses, recipe), validation_poses(poses, recipe)
    curve = train_density(model, model.bound, stream, validation, recipe)
    write_weights(path, model.state_dict(), {"config": vars(config), "curve": curve})
    return model


if __name__ == "__main__":
    main()
