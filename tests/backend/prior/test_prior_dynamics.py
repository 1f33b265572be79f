"""Dynamics: likelihood, prediction, derivatives, smoothing, gaps, training, files."""

import json
from dataclasses import replace

import pytest
import torch

from hund_backend.body.rotations import matrix_to_rotvec, rotvec_to_matrix
from hund_backend.errors import BadInputError
from hund_backend.prior.banded import Bands, solve_block_banded
from hund_backend.prior.dynamics import Dynamics, DynamicsConfig
from hund_backend.prior.pose_flow import PoseFlow
from hund_backend.prior.prior_hash import prior_hash
from hund_backend.prior.root_motion import UNKNOWN, known_groups, mask_groups, root_motion
from hund_backend.prior.smoothing import fill_gaps, smooth_latents, smooth_poses
from hund_backend.training.priors.train_dynamics import (
    DynamicsRecipe,
    LatentMotions,
    fit_time_step_exponent,
    mean_log_prob,
    sample_segments,
    train,
)
from hund_backend.training.weights import write_weights

LATENT = 5
DOUBLE = torch.float64


@pytest.fixture(scope="module")
def dynamics():
    return perturbed_dynamics()


def perturbed_dynamics(seed=0, amount=0.05):
    """Dynamics with random parameters, away from constant velocity."""
    torch.manual_seed(seed)
    model = Dynamics(DynamicsConfig(latent=LATENT, hidden=8)).double()
    generator = torch.Generator().manual_seed(seed)
    for values in model.parameters():
        values.data += amount * torch.randn(values.shape, generator=generator, dtype=DOUBLE)
    model.velocity_scale.fill_(0.2)
    model.acceleration_scale.fill_(0.1)
    model.log_diagonal.data += 2
    return model.eval().requires_grad_(False)


def motion(*batch, frames=20, seed=0, speed=0.2):
    """Smooth latents, and roots with an unknown group in the second half."""
    generator = torch.Generator().manual_seed(seed)
    phase = 6 * torch.rand(*batch, 1, LATENT, generator=generator, dtype=DOUBLE)
    time = torch.arange(frames, dtype=DOUBLE)[:, None]
    roots = torch.randn(*batch, frames, 14, generator=generator, dtype=DOUBLE)
    roots[..., frames // 2 :, 6:10] = UNKNOWN
    return torch.sin(speed * time + phase), roots


def noisy(latents, size, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return latents + size * torch.randn(latents.shape, generator=generator, dtype=DOUBLE)


def predicted_motion(dynamics, frames=20):
    """Motion without residuals: every frame is the mean of its transition."""
    start, roots = motion(frames=2)
    roots = roots[-1:].expand(frames, -1)
    return torch.cat((start, dynamics.predict(start, roots[:2], frames - 2))), roots


def test_untrained_dynamics_have_constant_velocity():
    model = Dynamics(DynamicsConfig(latent=LATENT)).double()
    generator = torch.Generator().manual_seed(0)
    current, previous = torch.randn(2, 7, LATENT, generator=generator, dtype=DOUBLE)
    mean = model.transition(current, previous).mean
    torch.testing.assert_close(mean, 2 * current - previous)


def test_step_density_is_students_t(dynamics):
    """One dimension, compared with torch's StudentT and by its integral."""
    single = Dynamics(DynamicsConfig(latent=1, hidden=4)).double()
    single.log_diagonal.data += 1.3
    steps = torch.linspace(-40, 40, 200_001, dtype=DOUBLE)
    latents = torch.zeros(len(steps), 3, 1, dtype=DOUBLE)
    latents[:, 2, 0] = steps
    with torch.no_grad():
        density = single.log_prob(latents)[:, 0]
        scale = float(
            ((single.degrees_of_freedom - 2) / single.degrees_of_freedom).sqrt()
            / single.decorrelation[0, 0]
        )
    expected = torch.distributions.StudentT(
        single.degrees_of_freedom.detach(), 0.0, scale
    ).log_prob(steps)
    torch.testing.assert_close(density, expected)
    assert float(torch.trapezoid(density.exp(), steps)) == pytest.approx(1, abs=1e-4)


def test_doubling_the_decorrelation_adds_its_log_volume(dynamics):
    """Doubling C halves the scale of every component."""
    latents, roots = predicted_motion(dynamics)
    finer = perturbed_dynamics()
    finer.lower_triangle.data *= 2
    finer.log_diagonal.data += torch.tensor(2.0, dtype=DOUBLE).log()
    gain = finer.log_prob(latents, roots) - dynamics.log_prob(latents, roots)
    torch.testing.assert_close(gain, LATENT * torch.full_like(gain, 2).log())


def test_batch_equals_single_clips(dynamics):
    latents, roots = motion(3, 2)
    values = dynamics.log_prob(latents, roots)
    single = [dynamics.log_prob(*one) for one in zip(latents[1], roots[1], strict=True)]
    torch.testing.assert_close(values[1], torch.stack(single))
    precision = torch.full(latents.shape[:-1], 30.0, dtype=DOUBLE)
    found = smooth_latents(dynamics, latents, precision, roots)
    torch.testing.assert_close(
        found[1, 1], smooth_latents(dynamics, latents[1, 1], precision[1, 1], roots[1, 1])
    )


def test_likelihood_has_gradients_in_all_latents(dynamics):
    latents, roots = motion(2)
    latents.requires_grad_()
    dynamics.log_prob(latents, roots).sum().backward()
    assert torch.isfinite(latents.grad).all()
    assert (latents.grad != 0).all()


def test_likelihood_is_invariant_to_time_shifts(dynamics):
    latents, roots = motion(frames=30)
    torch.testing.assert_close(
        dynamics.log_prob(latents, roots)[4:], dynamics.log_prob(latents[4:], roots[4:])
    )


def test_sampled_motion_is_more_likely_than_shuffled_frames(dynamics):
    start, roots = motion(4, frames=2)
    sampled = dynamics.sample(start, roots, 40, torch.Generator().manual_seed(0))
    latents = torch.cat((start, sampled), dim=-2)
    shuffled = latents[:, torch.randperm(42, generator=torch.Generator().manual_seed(0))]
    roots = roots[:, -1:].expand(-1, 42, -1)
    likely = dynamics.log_prob(latents, roots).sum(-1)
    assert (likely > dynamics.log_prob(shuffled, roots).sum(-1)).all()


def test_sample_covariance_matches_the_density(dynamics):
    start, roots = motion(frames=2)
    start, roots = start.expand(20_000, -1, -1), roots.expand(20_000, -1, -1)
    step = dynamics.transition(start[:1, 1], start[:1, 0], roots[:1, 1])
    found = dynamics.sample(start, roots, 1, torch.Generator().manual_seed(0))[:, 0]
    parts = (found - step.mean) @ dynamics.decorrelation.T * (-0.5 * step.log_variance).exp()
    torch.testing.assert_close(torch.cov(parts.T), torch.eye(LATENT).double(), atol=0.08, rtol=0)


def test_unknown_root_features_are_ignored(dynamics):
    latents, roots = motion(frames=6)
    nothing = mask_groups(roots, torch.ones(6, 4, dtype=torch.bool))
    assert not known_groups(nothing).any()
    torch.testing.assert_close(
        dynamics.log_prob(latents, nothing), dynamics.log_prob(latents, None)
    )
    other = roots.clone()
    other[3:, 6:10] = 17.0
    hidden = torch.tensor([False, False, True, False]).expand(6, 4)
    torch.testing.assert_close(
        dynamics.log_prob(latents, mask_groups(roots, hidden)),
        dynamics.log_prob(latents, mask_groups(other, hidden)),
    )


def test_root_features_are_invariant_to_heading_and_position():
    generator = torch.Generator().manual_seed(0)
    rotations = rotvec_to_matrix(torch.randn(9, 3, generator=generator, dtype=DOUBLE))
    positions = torch.randn(9, 3, generator=generator, dtype=DOUBLE)
    facing = rotvec_to_matrix(torch.tensor([0.0, 1.1, 0.0], dtype=DOUBLE))
    moved = positions @ facing.T + torch.tensor([3.0, 0.0, -2.0], dtype=DOUBLE)
    contacts = torch.rand(9, 4, generator=generator) < 0.5
    torch.testing.assert_close(
        root_motion(facing @ rotations, moved, contacts, 25.0),
        root_motion(rotations, positions, contacts, 25.0),
    )


@pytest.mark.parametrize("fps", [24.0, 25.0, 30.0, 50.0, 60.0])
def test_residual_jacobians_equal_finite_differences(dynamics, fps):
    latents, roots = motion(frames=4)
    log_variance = dynamics.log_variances(latents, roots, fps)
    jacobians = dynamics.residual_jacobians(latents, log_variance, roots, fps)
    full = torch.autograd.functional.jacobian(
        lambda z: dynamics.residuals(z, log_variance, roots, fps), latents
    )
    for offset, jacobian in enumerate(jacobians):
        for inner in range(2):
            torch.testing.assert_close(jacobian[inner], full[inner, :, inner + offset])
    step = torch.zeros_like(latents)
    step[1, 2] = 1e-5
    ends = [
        dynamics.residuals(latents + sign * step, log_variance, roots, fps) for sign in (1, -1)
    ]
    torch.testing.assert_close(jacobians[1][0, :, 2], (ends[0] - ends[1])[0] / 2e-5)


@pytest.mark.parametrize("fps", [24.0, 25.0, 50.0, 60.0])
def test_other_frame_rates_give_the_same_motion(fps):
    """Roll-outs of half a second agree up to the discretization error."""
    model = perturbed_dynamics(amount=0.02)
    time = torch.tensor([-1.0, 0.0], dtype=DOUBLE)[:, None]
    velocity = torch.linspace(-1, 1, LATENT, dtype=DOUBLE)  # per second
    ends = {}
    for rate in (fps, 30.0, 300.0):
        start = 0.3 + velocity * time / rate
        ends[rate] = model.predict(start, None, round(rate / 2), rate)[-1]
    gone = (ends[300.0] - 0.3).norm()
    assert (ends[fps] - ends[30.0]).norm() < 0.1 * gone
    if fps > 30:  # finer steps are nearer to the limit
        assert (ends[fps] - ends[300.0]).norm() < (ends[30.0] - ends[300.0]).norm()


def test_constant_velocity_has_no_residual_at_any_frame_rate():
    model = Dynamics(DynamicsConfig(latent=LATENT)).double()
    line = torch.arange(9, dtype=DOUBLE)[:, None] * torch.ones(LATENT).double()
    for fps in (24.0, 60.0):
        log_variance = model.log_variances(line, None, fps)
        assert model.residuals(line, log_variance, None, fps).abs().max() < 1e-9


@pytest.mark.parametrize("frames", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("segment", [1, 2, 3, 48])
def test_banded_solution_equals_the_dense_one(frames, segment):
    generator = torch.Generator().manual_seed(frames)
    tall = torch.randn(2, frames, 6, 3, 3, generator=generator, dtype=DOUBLE)
    dense = torch.zeros(2, frames, 3, frames, 3, dtype=DOUBLE)
    for frame in range(frames):  # terms over three frames in a row make the bands
        touched = range(frame, min(frame + 3, frames))
        for one in touched:
            for other in touched:
                dense[:, one, :, other] += (
                    tall[:, frame, one - frame].mT @ tall[:, frame, other - frame]
                )
        dense[:, frame, :, frame] += torch.eye(3).double()
    right = torch.randn(2, frames, 3, generator=generator, dtype=DOUBLE)

    def bands(start, stop):
        blocks = [dense.new_full((2, stop - start, 3, 3), UNKNOWN) for _ in range(3)]
        for distance, block in enumerate(blocks):
            for frame in range(start, min(stop, frames - distance)):
                block[:, frame - start] = dense[:, frame + distance, :, frame]
        return Bands(*blocks, right[:, start:stop])

    expected = torch.linalg.solve(dense.flatten(3).flatten(1, 2), right.flatten(1))
    torch.testing.assert_close(solve_block_banded(bands, frames, segment).flatten(1), expected)


def test_smoothing_equals_a_dense_gauss_newton_step(dynamics):
    latents, roots = motion(frames=12)
    latents = noisy(latents, 0.1)
    precision = torch.full((12,), 40.0, dtype=DOUBLE)
    log_variance = torch.zeros(10, LATENT, dtype=DOUBLE)  # of the first iteration

    def residuals(z):
        steps = dynamics.residuals(z, log_variance, roots)
        return torch.cat((steps.flatten(), (precision.sqrt()[:, None] * (z - latents)).flatten()))

    jacobian = torch.autograd.functional.jacobian(residuals, latents).flatten(1)
    step = torch.linalg.lstsq(jacobian, -residuals(latents)[:, None]).solution
    found = smooth_latents(dynamics, latents, precision, roots, iterations=1, segment=5)
    torch.testing.assert_close(found, latents + step.reshape(12, LATENT), atol=1e-6, rtol=1e-6)


def test_smoothing_is_independent_of_the_segment_length(dynamics):
    latents, roots = motion(frames=23)
    latents = noisy(latents, 0.1)
    precision = torch.full((23,), 40.0, dtype=DOUBLE)
    whole, parts = (
        smooth_latents(dynamics, latents, precision, roots, segment=segment) for segment in (48, 4)
    )
    torch.testing.assert_close(whole, parts)


def test_observations_of_infinite_precision_are_kept(dynamics):
    latents, roots = motion()
    latents = noisy(latents, 0.1)
    precision = torch.full((20,), float("inf"), dtype=DOUBLE)
    torch.testing.assert_close(smooth_latents(dynamics, latents, precision, roots), latents)


def test_predicted_motion_is_not_changed(dynamics):
    latents, roots = predicted_motion(dynamics)
    for precision in (1e-3, 1.0, 1e4):
        found = smooth_latents(
            dynamics, latents, torch.full((20,), precision, dtype=DOUBLE), roots
        )
        torch.testing.assert_close(found, latents, atol=1e-7, rtol=0)


def test_gap_in_a_predicted_motion_is_filled_with_it(dynamics):
    latents, roots = predicted_motion(dynamics)
    hidden = torch.zeros(20, dtype=torch.bool)
    hidden[5:14] = True
    given = latents.masked_fill(hidden[:, None], UNKNOWN)
    found = fill_gaps(dynamics, given, hidden, roots, iterations=8)
    torch.testing.assert_close(found, latents, atol=1e-5, rtol=0)


def test_filled_gap_is_more_likely_than_a_still_one(dynamics):
    latents, roots = motion(speed=0.05)
    hidden = torch.zeros(20, dtype=torch.bool)
    hidden[2:-2] = True
    found = fill_gaps(dynamics, latents, hidden, roots)
    torch.testing.assert_close(found[~hidden], latents[~hidden])
    still = torch.cat((latents[:2], latents[1:2].expand(16, -1), latents[-2:]))
    assert dynamics.log_prob(found, roots).sum() > dynamics.log_prob(still, roots).sum()


def test_smoothing_lowers_the_error_of_noisy_latents(dynamics):
    start, roots = motion(8, frames=2)
    roots = roots[:, -1:].expand(-1, 42, -1)
    sampled = dynamics.sample(start, roots[:, :2], 40, torch.Generator().manual_seed(0))
    truth = torch.cat((start, sampled), dim=-2)
    given = noisy(truth, 0.3)
    precision = torch.full(given.shape[:-1], 0.3**-2, dtype=DOUBLE)
    found = smooth_latents(dynamics, given, precision, roots)
    assert (found - truth).square().mean() < 0.6 * (given - truth).square().mean()


def test_smoothing_lowers_the_error_of_noisy_poses():
    """Shipped prior and dynamics, on a geodesic between two sampled poses."""
    prior = PoseFlow.load()
    shipped = Dynamics.load(prior)
    generator = torch.Generator().manual_seed(3)
    ends = prior.sample(2, generator=generator)
    phase = torch.linspace(0, 1, 40)[:, None, None]
    turn = matrix_to_rotvec(ends[0].mT @ ends[1])
    truth = ends[0] @ rotvec_to_matrix(phase * turn)
    joints = list(prior.joints)
    noise = 0.15 * torch.randn(40, len(joints), 3, generator=generator)
    given = truth.clone()
    given[:, joints] = truth[:, joints] @ rotvec_to_matrix(noise)
    found = smooth_poses(shipped, prior, given, 0.15)
    assert _mean_error(found, truth, joints) < 0.6 * _mean_error(given, truth, joints)


def _mean_error(found, truth, joints):
    return matrix_to_rotvec(found[:, joints].mT @ truth[:, joints]).norm(dim=-1).mean()


def test_smoothing_is_equivariant_to_time_shifts(dynamics):
    """Compared far from the ends of the sequences."""
    latents, roots = motion(frames=80)
    latents = noisy(latents, 0.1)
    precision = torch.full((80,), 100.0, dtype=DOUBLE)
    whole = smooth_latents(dynamics, latents, precision, roots)
    later = smooth_latents(dynamics, latents[10:], precision[10:], roots[10:])
    torch.testing.assert_close(whole[40:60], later[30:50], atol=1e-4, rtol=0)


def test_sequences_shorter_than_a_step_are_unchanged(dynamics):
    latents, roots = motion(frames=2)
    assert torch.equal(smooth_latents(dynamics, latents, torch.ones(2).double(), roots), latents)


def springs(frames=400, clips=6, seed=0):
    """Motions of damped springs under random forces."""
    generator = torch.Generator().manual_seed(seed)
    previous = current = torch.zeros(clips, LATENT)
    rows = []
    for _ in range(frames):
        force = 0.1 * torch.randn(clips, LATENT, generator=generator)
        velocity = current - previous
        previous, current = current, current + 0.8 * velocity - 0.1 * current + force
        rows.append(current)
    latents = torch.stack(rows, dim=1)
    return LatentMotions(
        latents=latents.flatten(0, 1),
        roots=torch.randn(clips * frames, 14, generator=generator),
        run_length=torch.arange(frames, 0, -1).repeat(clips),
        weights=torch.ones(clips * frames),
        fps=30.0,
    )


RECIPE = DynamicsRecipe(
    hidden=8, steps=60, batch=128, every=15, num_rollouts=8, horizon=4, rate=0.01
)


def test_segments_stay_within_usable_frames():
    motions = springs(frames=10, clips=3)
    assert motions.starts(10).tolist() == [0, 10, 20]
    latents, roots = sample_segments(motions, 50, 9, torch.Generator().manual_seed(0))
    assert latents.shape == (50, 9, LATENT)
    assert roots.shape == (50, 9, 14)


def test_short_training_beats_constant_velocity():
    torch.manual_seed(0)
    training, validation = springs(), springs(seed=1)
    model = Dynamics(DynamicsConfig(latent=LATENT, hidden=8))
    train(model, training, validation, replace(RECIPE, steps=0))
    before = mean_log_prob(model, validation, RECIPE.latent_noise)
    curve = train(model, training, validation, replace(RECIPE, steps=240, every=60))
    assert curve[-1]["validation"] > before + 0.05
    assert 0 <= fit_time_step_exponent(model, validation, RECIPE.latent_noise) <= 5


def test_resumed_training_equals_an_uninterrupted_one(tmp_path):
    training, validation = springs(), springs(seed=1)

    def trained(recipe, checkpoint=None):
        torch.manual_seed(0)
        model = Dynamics(DynamicsConfig(latent=LATENT, hidden=8))
        return model, train(model, training, validation, recipe, checkpoint)

    whole, curve = trained(RECIPE)
    path = tmp_path / "dynamics.checkpoint"
    with pytest.raises(KeyboardInterrupt):
        _interrupted_at(30, trained, path)
    again, continued = trained(RECIPE, path)
    assert continued == curve
    for name, values in whole.state_dict().items():
        assert torch.equal(values, again.state_dict()[name]), name


def _interrupted_at(step, trained, path):
    from hund_backend.training.priors import train_dynamics

    original, count = train_dynamics.sample_losses, 0

    def failing(*arguments):
        nonlocal count
        count += 1
        if count > step + 3:
            raise KeyboardInterrupt
        return original(*arguments)

    train_dynamics.sample_losses = failing
    try:
        trained(RECIPE, path)
    finally:
        train_dynamics.sample_losses = original


@pytest.fixture
def files(tmp_path, dynamics):
    prior, path = torch.nn.Linear(2, 3), tmp_path / "dynamics.safetensors"
    description = {"config": vars(dynamics.config), "prior": prior_hash(prior)}
    write_weights(path, dynamics.state_dict(), description)
    return prior, path


def test_saved_dynamics_load_unchanged(dynamics, files):
    again = Dynamics.load(*files)
    latents, roots = motion()
    torch.testing.assert_close(
        again.log_prob(latents.float(), roots.float()),
        dynamics.log_prob(latents, roots).float(),
        atol=1e-3,
        rtol=1e-3,
    )


@pytest.mark.parametrize("damage", ["missing", "cut", "another size", "no prior"])
def test_damaged_dynamics_file_is_named(damage, files):
    prior, path = files
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    else:
        description = json.loads(path.with_suffix(".json").read_text())
        if damage == "no prior":
            del description["prior"]
        else:
            description["config"]["latent"] += 1
        path.with_suffix(".json").write_text(json.dumps(description))
    with pytest.raises(BadInputError, match="restore the file"):
        Dynamics.load(prior, path)


def test_dynamics_of_another_prior_are_refused(files):
    prior, path = files
    with torch.no_grad():
        prior.bias += 1
    with pytest.raises(BadInputError, match="another pose prior"):
        Dynamics.load(prior, path)
