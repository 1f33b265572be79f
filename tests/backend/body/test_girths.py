"""Girths of the torso: a tape around a known solid, and the fit to published tables."""

import numpy as np
import pytest

from hund_backend.body.file import BODY_FILE
from tools.girths import (
    GIRTHS,
    arm_share,
    edges_of,
    fit_girths,
    girth,
    torso_edges,
    torso_girths,
)

MANY = 60  # bodies


@pytest.fixture(scope="module")
def body():
    with np.load(BODY_FILE) as file:
        return dict(file)


@pytest.fixture(scope="module")
def weights(body):
    weights = np.zeros((len(body["template"]), len(body["joints"])))
    np.put_along_axis(weights, body["weight_joints"].astype(int), body["weight_values"] / 65535, 1)
    return weights


def bodies(body, number, seed):
    """Of standard normal betas: vertices, then joints."""
    betas = np.random.default_rng(seed).standard_normal((number, len(body["shape_basis"])))
    mean = np.concatenate([body["template"], body["joints"]]).astype(float)
    basis = np.concatenate([body["shape_basis"], body["joint_basis"]], axis=1).astype(float)
    return mean + np.tensordot(betas, basis, 1)


def prism(corners, radius):
    """A prism along y of a regular polygon."""
    angles = 2 * np.pi * np.arange(corners) / corners
    ring = np.stack([radius * np.cos(angles), 0 * angles, radius * np.sin(angles)], axis=1)
    vertices = np.concatenate([ring, ring + np.array([0, 1, 0])])
    following = (np.arange(corners) + 1) % corners
    quads = np.stack(
        [np.arange(corners), following, following + corners, np.arange(corners) + corners], axis=1
    )
    return vertices, edges_of(quads)


@pytest.mark.parametrize("level", [0.1, 0.77])
def test_girth_of_a_prism_is_its_perimeter(level):
    vertices, edges = prism(200, 0.15)
    assert girth(vertices, edges, level) == pytest.approx(2 * 200 * 0.15 * np.sin(np.pi / 200))


def test_girth_spans_a_hollow():
    vertices, edges = prism(8, 1.0)
    dented = np.where(vertices[:, :1] > 0.99, vertices * [0.5, 1, 1], vertices)
    full, hollow = girth(vertices, edges, 0.5), girth(dented, edges, 0.5)
    sides, chord = 2 * 2 * np.sin(np.pi / 8), 2 * np.sin(np.pi / 4)
    assert full - hollow == pytest.approx(sides - chord)


def test_sampled_bodies_have_the_girths_of_the_tables(body, weights):
    edges = torso_edges(body["quads"].astype(int), arm_share(weights))
    found = np.stack([torso_girths(b[: len(weights)], edges) for b in bodies(body, MANY, 0)])
    for values, statistic in zip(found.T, (g.length for g in GIRTHS), strict=True):
        both = (statistic.women + statistic.men) / 2
        spread = np.hypot(statistic.deviation, (statistic.women - statistic.men) / 2)
        assert abs(values.mean() - both) < 0.06  # metres; the mean of so few is 0.015 uncertain
        assert 0.6 * spread < values.std() < 1.5 * spread


def test_fit_gives_each_sex_the_means_of_the_tables_and_leaves_arms_and_joints(body, weights):
    quads = body["quads"].astype(int)
    points = bodies(body, MANY, 1)
    gender = np.random.default_rng(2).uniform(size=MANY)
    points[:, : len(weights), ::2] *= 0.94  # too thin
    fitted = fit_girths(points, weights, quads, gender)
    edges = torso_edges(quads, arm_share(weights))
    found = np.stack([torso_girths(b[: len(weights)], edges) for b in fitted])
    for values, statistic in zip(found.T, (g.length for g in GIRTHS), strict=True):
        assert values.mean() == pytest.approx(statistic.mean(gender).mean(), abs=0.01)
    assert np.array_equal(fitted[:, len(weights) :], points[:, len(weights) :])
    arms = arm_share(weights) == 1
    assert arms.any()
    assert np.array_equal(fitted[:, : len(weights)][:, arms], points[:, : len(weights)][:, arms])
    assert np.array_equal(fitted[..., 1], points[..., 1])  # statures stay
