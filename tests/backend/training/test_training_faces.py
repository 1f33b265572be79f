"""Laws of the synthetic faces and of what is fitted on them."""

import numpy as np
import pytest

from hund_backend.body.file import load_body_file
from hund_backend.descent.face.model import FaceModel
from hund_backend.training.faces.fit_face import shares_of
from hund_backend.training.faces.pictures import SIZE_PX, FacePainter

NAMES = load_body_file().arkit_names


@pytest.fixture(scope="module")
def painter():
    return FacePainter(load_body_file())


def test_a_picture_depends_on_its_seed_alone(painter):
    def picture(seed):
        rng = np.random.default_rng(seed)
        return painter.render(painter.sample(rng), rng)

    one, two, other = picture(3), picture(3), picture(4)
    np.testing.assert_array_equal(one.image, two.image)
    assert (one.image != other.image).any() and one.image.shape == (SIZE_PX, SIZE_PX, 3)
    assert np.isfinite(one.pixels).all()


def test_no_face_does_two_opposite_things(painter):
    rng = np.random.default_rng(0)
    for _ in range(50):
        arkit = painter.sample(rng).arkit
        assert arkit.min() >= 0 and arkit.max() <= 1

        def value(name, arkit=arkit):
            return arkit[NAMES.index(name)]

        assert min(value("jawLeft"), value("jawRight")) == 0
        assert min(value("eyeLookInLeft"), value("eyeLookOutLeft")) == 0
        assert value("mouthClose") <= value("jawOpen")


def test_known_weights_are_found_again():
    model, rng = FaceModel.load(), np.random.default_rng(1)
    geometry, network = rng.random((400, 52)), rng.random((400, 52))
    truth = 0.7 * geometry + 0.2 * network
    shares = shares_of(model, truth, geometry, network)
    np.testing.assert_allclose(shares, np.tile([0.7, 0.2], (52, 1)), atol=0.01)


def test_the_model_is_symmetric():
    model = FaceModel.load()
    mirror = list(model.mirror)
    np.testing.assert_allclose(model.shares, model.shares[mirror], atol=1e-6)
    assert [mirror[row] for row in mirror] == list(range(52))
