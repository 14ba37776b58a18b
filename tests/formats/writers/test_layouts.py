"""What is written in another tool's layout comes back through the importers, and through readers of the tests' own."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from diffopt.body.free import read_free_body
from diffopt.body.model import BodyModel
from diffopt.body.skeleton import PARENTS
from diffopt.errors import DiffoptError
from diffopt.formats.reading import read
from diffopt.formats.writing import EXPORTERS, export
from diffopt.motion.motion import Motion
from diffopt.result.result import Result

TOLERANCE_M = 1e-4


@pytest.fixture(scope="module")
def smpl() -> BodyModel:
    """The free body under the name of SMPL: what a licensed file would be, as far as the layouts go."""
    return BodyModel(replace(read_free_body(), name="smpl"))


@pytest.fixture(scope="module", params=["free", "smpl"])
def fitted(request, body, smpl, wild) -> tuple[Result, BodyModel]:
    """A wild motion with a zooming camera, on either body."""
    changes = {"body_model": request.param, "focal_px": np.linspace(480, 520, wild.num_frames)}
    return replace(wild, **changes), body if request.param == "free" else smpl


def in_camera(points_w, rotation, translation):
    return np.einsum("tij,tkj->tki", rotation, points_w) + translation[:, None]


def observed_joints(observation, body):
    motion = Motion.from_axis_angle(
        *(
            torch.from_numpy(np.asarray(one)).float()
            for one in (observation.body_pose, observation.global_orient_c, observation.transl_c)
        )
    )
    betas = torch.from_numpy(observation.betas).float()
    return body.joints(motion.body_pose, motion.global_orient, motion.transl, betas).numpy()


def written(format, result, body, tmp_path):
    path = export(result, format, tmp_path / f"clip{EXPORTERS[format].suffix}", body)
    if format == "tram":
        return [path / "hps" / "hps_track_0.npy", path / "camera.npy"]
    return [path / "clip_000000_world_results.npz"] if format == "slahmr" else [path]


@pytest.mark.parametrize("format", ["slahmr", "wham", "gvhmr", "tram"])
def test_other_tools_layouts_come_back(tmp_path, fitted, format):
    result, body = fitted

    observation = read(written(format, result, body, tmp_path), body=body)

    joints_c = in_camera(result.joints, result.rotation_w2c, result.translation_w2c)
    np.testing.assert_allclose(observed_joints(observation, body), joints_c, atol=TOLERANCE_M)
    assert observation.fps == pytest.approx(29.97)
    assert observation.image_size_px.tolist() == [640, 360]
    np.testing.assert_allclose(observation.betas, result.betas, atol=1e-6)
    np.testing.assert_allclose(observation.center_px, result.center_px, atol=1e-4)
    np.testing.assert_allclose(observation.focal_px, result.focal_px, rtol=1e-6)

    # The world may be another one: everything relative to the first camera.
    def relative(rotation, translation):
        turn = rotation @ rotation[0].T
        return turn, translation - np.einsum("tij,j->ti", turn, translation[0])

    for found, expected in zip(
        relative(observation.rotation_w2c, observation.translation_w2c),
        relative(result.rotation_w2c, result.translation_w2c),
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, atol=TOLERANCE_M)


@pytest.mark.parametrize("format", ["slahmr", "wham", "gvhmr"])
def test_the_world_is_kept_where_the_layout_has_one(tmp_path, fitted, format):
    result, body = fitted
    observation = read(written(format, result, body, tmp_path), body=body)
    back = np.swapaxes(observation.rotation_w2c, 1, 2)

    joints_w = in_camera(
        observed_joints(observation, body) - observation.translation_w2c[:, None], back, np.zeros((5, 3))
    )

    np.testing.assert_allclose(joints_w, result.joints, atol=TOLERANCE_M)


def test_amass_poses_the_same_body_with_z_up(tmp_path, fitted, smpl):
    result, _ = fitted
    path = export(result, "amass", tmp_path / "clip_poses.npz", fitted[1])

    with np.load(path, allow_pickle=False) as take:
        poses, trans, betas, fps = (take[key] for key in ("poses", "trans", "betas", "mocap_framerate"))
    assert poses.shape == (5, 156) and trans.shape == (5, 3) and betas.shape == (16,)
    assert float(fps) == pytest.approx(29.97)
    shape = betas[:10] if result.body_model == "smpl" else result.betas
    rest = smpl.rest_joints(torch.from_numpy(shape).float()).numpy()
    pelvis = rest[0] if result.body_model == "smpl" else np.array([-0.0018, -0.2233, 0.0282])
    positions, turns = [trans + pelvis], [Rotation.from_rotvec(poses[:, :3])]
    for joint in range(1, 22):
        parent = PARENTS[joint]
        positions.append(positions[parent] + turns[parent].apply(rest[joint] - rest[parent]))
        turns.append(turns[parent] * Rotation.from_rotvec(poses[:, 3 * joint : 3 * joint + 3]))
    x, y, z = np.moveaxis(np.stack(positions, axis=1), -1, 0)

    np.testing.assert_allclose(np.stack([x, z, -y], axis=-1), result.joints[:, :22], atol=TOLERANCE_M)


def test_tum_is_camera_to_world_with_the_scalar_last(tmp_path, wild, body):
    rows = np.loadtxt(export(wild, "tum", tmp_path / "camera.txt", body))

    np.testing.assert_allclose(rows[:, 0], np.arange(5) / 29.97, atol=1e-6)
    turns = Rotation.from_quat(rows[:, 4:]).as_matrix()
    np.testing.assert_allclose(turns.transpose(0, 2, 1), wild.rotation_w2c, atol=1e-6)
    centers = -np.einsum("tji,tj->ti", wild.rotation_w2c, wild.translation_w2c)
    np.testing.assert_allclose(rows[:, 1:4], centers, atol=1e-5)


def test_json_holds_motion_and_cameras_and_can_be_posed(tmp_path, wild, body):
    content = json.loads(export(wild, "json", tmp_path / "clip.json", body).read_text())

    assert content["schema"] == "diffopt/json/1" and content["fps"] == pytest.approx(29.97)
    for name in ("body_pose", "global_orient", "transl", "joints", "rotation_w2c", "translation_w2c", "focal_px"):
        np.testing.assert_allclose(content[name], getattr(wild, name), atol=1e-6)
    offsets = np.array(content["rest_offsets"])
    rotvec = np.concatenate([np.array(content["global_orient"])[:, None], content["body_pose"]], axis=1)
    positions, turns = [offsets[0] + content["transl"]], [Rotation.from_rotvec(rotvec[:, 0])]
    for joint in range(1, 24):
        parent = content["parents"][joint]
        positions.append(positions[parent] + turns[parent].apply(offsets[joint]))
        turns.append(turns[parent] * Rotation.from_rotvec(rotvec[:, joint]))
    np.testing.assert_allclose(np.stack(positions, axis=1), wild.joints, atol=TOLERANCE_M)


def test_whams_world_position_is_between_the_hips(tmp_path, wild, body, motion_of):
    person = pickle.loads(export(wild, "wham", tmp_path / "wham_output.pkl", body).read_bytes())[0]

    motion = motion_of(wild)
    betas = torch.from_numpy(wild.betas).float()
    hips = body.landmarks(motion.body_pose, motion.global_orient, motion.transl, betas)[:, [35, 36]].mean(dim=1)
    np.testing.assert_allclose(person["trans_world"], hips.numpy(), atol=1e-5)
    assert person["pose"].shape == person["pose_world"].shape == (5, 72)


def test_every_format_is_written_whole(tmp_path, wild, body):
    for format, exporter in EXPORTERS.items():
        path = export(wild, format, tmp_path / format / f"clip{exporter.suffix}", body)

        files = [file for file in (tmp_path / format).rglob("*") if file.is_file()]
        assert path.exists() and files and not [file for file in files if "partial" in file.name]


def test_the_wrong_body_and_an_unknown_format_are_refused(tmp_path, wild, smpl):
    with pytest.raises(DiffoptError, match="fitted with the 'free' body but the 'smpl' body is given"):
        export(wild, "amass", tmp_path / "a.npz", smpl)
    with pytest.raises(DiffoptError, match="'fbx' is no known format; expected one of amass, bvh"):
        export(wild, "fbx", tmp_path / "a.fbx")
    assert not list(tmp_path.iterdir())
