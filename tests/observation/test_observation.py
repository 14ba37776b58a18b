import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from diffopt.errors import DiffoptError
from diffopt.observation.observation import FIELDS, SCHEMA, Observation

FRAMES = 6


def values(frames: int = FRAMES) -> dict:
    random = np.random.default_rng(0)
    return {
        "name": "walk",
        "fps": 29.97,
        "image_size_px": np.array([640, 480]),
        "keypoint_set": "coco17",
        "keypoints_px": random.uniform(0, 480, (frames, 17, 2)),
        "confidence": random.uniform(0, 1, (frames, 17)),
        "frame_valid": np.ones(frames, bool),
        "body_model": "free",
        "body_pose": random.normal(size=(frames, 23, 3)),
        "global_orient_c": random.normal(size=(frames, 3)),
        "transl_c": random.normal(4, 1, (frames, 3)),
        "betas": random.normal(size=10),
        "rotation_w2c": np.linalg.qr(random.normal(size=(frames, 3, 3)))[0],
        "translation_w2c": random.normal(size=(frames, 3)),
        "focal_px": np.full(frames, 500.0),
        "center_px": np.tile([320.0, 240.0], (frames, 1)),
        "camera_scale": "unknown",
    }


def proper(rotations: np.ndarray) -> np.ndarray:
    return rotations * np.linalg.det(rotations)[:, None, None]


def observation(**changes) -> Observation:
    fields = values()
    fields["rotation_w2c"] = proper(fields["rotation_w2c"])
    return Observation(**(fields | changes))


def truth(frames: int = FRAMES) -> dict:
    return {
        "truth_body_pose": np.zeros((frames, 23, 3)),
        "truth_global_orient": np.zeros((frames, 3)),
        "truth_transl": np.zeros((frames, 3)),
        "truth_betas": np.zeros(10),
    }


def test_a_file_comes_back_as_it_went(tmp_path):
    keypoints = values()["keypoints_px"]
    keypoints[2, 3] = np.nan
    confidence = values()["confidence"]
    confidence[2, 3] = 0
    saved = observation(
        keypoints_px=keypoints, confidence=confidence, height_m=1.8, provenance=json.dumps({"camera": "x"}), **truth()
    )

    loaded = Observation.load(saved.save(tmp_path / "deep" / "walk.npz"))

    assert loaded.camera_trust == "estimated" and loaded.truth_focal_px is None and loaded.has_truth
    for name, value in asdict(saved).items():
        np.testing.assert_array_equal(getattr(loaded, name), value, err_msg=name)
        assert type(getattr(loaded, name)) is type(value), name
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["walk.npz"]


def test_the_file_holds_plain_arrays_under_the_fixed_names(tmp_path):
    path = observation(gravity_w=np.array([0, -9.81, 0]), **truth()).save(tmp_path / "walk.npz")

    with np.load(path, allow_pickle=False) as archive:
        assert set(archive.files) <= {"schema", *FIELDS}
        assert str(archive["schema"]) == SCHEMA == "diffopt/observation/1"
        assert archive["body_pose"].dtype == np.float32 and archive["frame_valid"].dtype == bool
        np.testing.assert_allclose(archive["gravity_w"], [0, -1, 0])


def test_arrays_go_straight_into_torch():
    seen = observation()

    assert torch.from_numpy(seen.body_pose).dtype == torch.float32
    assert seen.num_frames == FRAMES and not seen.has_truth and not seen.has_truth_camera


def test_cut_takes_every_per_frame_field():
    seen = observation(**truth())
    part = seen.cut(1, 4)

    assert part.num_frames == 3
    np.testing.assert_array_equal(part.keypoints_px, seen.keypoints_px[1:4])
    np.testing.assert_array_equal(part.betas, seen.betas)
    assert part.truth_transl.shape == (3, 3)
    with pytest.raises(DiffoptError, match=r"cannot cut frames \[4, 9\) out of 6"):
        seen.cut(4, 9)


WRONG = {
    "too few frames": ({"body_pose": np.zeros((5, 23, 3))}, r"'body_pose' has T=5 .* but 'keypoints_px' has T=6"),
    "wrong shape": ({"betas": np.zeros(11)}, r"'betas' has shape \(11,\); expected float \(10,\)"),
    "flat pose": ({"body_pose": np.zeros((6, 69))}, r"'body_pose' has shape \(6, 69\); expected float \(T, 23, 3\)"),
    "wrong dtype": ({"frame_valid": np.ones(6)}, "'frame_valid' has dtype float64; expected bool"),
    "objects": ({"transl_c": np.full((6, 3), None)}, "'transl_c' has dtype object"),
    "nan": (
        {"transl_c": np.full((6, 3), np.nan)},
        r"'transl_c' is not finite in 18 places, the first at index \[0, 0\]",
    ),
    "scaled rotation": ({"rotation_w2c": np.tile(1.01 * np.eye(3), (6, 1, 1))}, "'rotation_w2c' is not a rotation"),
    "mirror": ({"rotation_w2c": np.tile(np.diag([1, 1, -1]), (6, 1, 1))}, "determinant -1"),
    "confidence": (
        {"confidence": np.full((6, 17), 87.0)},
        "'confidence' is 87 at frame 0, keypoint 0; expected 0 to 1",
    ),
    "nan keypoint": ({"keypoints_px": np.full((6, 17, 2), np.nan)}, "'keypoints_px' is not finite at frame 0"),
    "unknown set": ({"keypoint_set": "coco18"}, "'keypoint_set' is 'coco18'; expected one of coco17"),
    "other set": ({"keypoint_set": "openpose25"}, "17 keypoints per frame; expected 25"),
    "one frame": ({}, "covers 1 frame"),
    "never seen": ({"frame_valid": np.zeros(6, bool)}, "False in all 6 frames"),
    "focal": ({"focal_px": np.full(6, -500.0)}, "'focal_px' is -500 at index"),
    "fps": ({"fps": 0.0}, "'fps' is 0; expected values above 0"),
    "trust": ({"camera_trust": "tripod"}, "expected one of estimated, known, static"),
    "scale": ({"camera_scale": "feet"}, "expected one of unknown, metric"),
    "gravity": ({"gravity_w": np.zeros(3)}, "'gravity_w' has length 0"),
    "centimetres": ({"height_m": 178.0}, "convert it to metres"),
    "half a truth": ({"truth_betas": np.zeros(10)}, "'truth_body_pose' is missing although 'truth_betas' is given"),
    "provenance": ({"provenance": "by hand"}, "expected a JSON object"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_one_sentence(case):
    changes, message = WRONG[case]

    with pytest.raises(DiffoptError, match=message) as caught:
        observation().cut(0, 1) if case == "one frame" else observation(**changes)

    assert str(caught.value).startswith("Observation 'walk'")
    assert "\n" not in str(caught.value)


def write(path, **changes):
    fields = values()
    fields["rotation_w2c"] = proper(fields["rotation_w2c"])
    entries = {"schema": SCHEMA} | fields | changes
    np.savez(path, **{name: value for name, value in entries.items() if value is not None})
    return path


def test_an_integer_or_double_file_of_another_tool_is_read(tmp_path):
    loaded = Observation.load(write(tmp_path / "a.npz", focal_px=np.full(6, 500)))

    assert loaded.focal_px.dtype == np.float32 and loaded.fps == pytest.approx(29.97)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transl_c": None}, "'transl_c' is missing"),
        ({"schema": None}, "no 'schema' text"),
        ({"schema": "diffopt/observation/2"}, "'schema' is 'diffopt/observation/2'.*write the file again"),
        ({"schema": "diffopt/motion/1"}, "give the right kind of file"),
        ({"gravity": np.zeros(3)}, "'gravity' is not a field .* did you mean 'gravity_w'"),
        ({"body_pose": np.array([{"a": 1}], dtype=object)}, "pickled objects"),
        ({"betas": np.zeros(9)}, "'betas' has shape"),
        ({"frame_valid": np.zeros(6, bool)}, "Observation 'walk': 'frame_valid' is False"),
        ({"name": np.array(3)}, r"'name' is int64 \(\); expected a text"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, changes, message):
    path = write(tmp_path / "wrong.npz", **changes)

    with pytest.raises(DiffoptError, match=message) as caught:
        Observation.load(path)

    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut short"])
def test_a_file_that_is_no_npz_is_named(tmp_path, content):
    path = tmp_path / "wrong.npz"
    path.write_bytes(content)

    with pytest.raises(DiffoptError, match=r"wrong\.npz: not a readable \.npz"):
        Observation.load(path)


def test_missing_truncated_and_single_array_files_are_named(tmp_path):
    with pytest.raises(DiffoptError, match="no such file"):
        Observation.load(tmp_path / "none.npz")
    whole = write(tmp_path / "whole.npz").read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DiffoptError, match="damaged"):
        Observation.load(tmp_path / "half.npz")
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(DiffoptError, match=r"single \.npy array"):
        Observation.load(tmp_path / "single.npy")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = observation().save(tmp_path / "walk.npz")
    before = path.read_bytes()

    def full_disk(*args, **kwargs):
        raise OSError("no space left")

    monkeypatch.setattr(np, "savez_compressed", full_disk)
    with pytest.raises(OSError, match="no space"):
        replace(observation(), name="other").save(path)

    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
