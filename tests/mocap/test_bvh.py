"""Motions out of .bvh files: those that this package exports, and small ones written here in other programs' ways."""

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from diffopt.body.model import load_body
from diffopt.body.skeleton import JOINT_INDEX
from diffopt.errors import DiffoptError
from diffopt.formats import bvh
from diffopt.mocap.bvh import read_bvh
from diffopt.mocap.clip import AVERAGE_OFFSETS
from diffopt.mocap.reading import read_motions
from diffopt.motion.motion import Motion
from diffopt.result.result import Result

MIXAMO = {
    "Hips": (None, (0, 0, 0)), "Spine": ("Hips", (0, 10, 0)), "Spine1": ("Spine", (0, 12, 0)),
    "Spine2": ("Spine1", (0, 12, 0)), "Neck": ("Spine2", (0, 16, 0)), "Head": ("Neck", (0, 9, 0)),
    "LeftShoulder": ("Spine2", (5, 12, 0)), "LeftArm": ("LeftShoulder", (11, 0, 0)),
    "LeftForeArm": ("LeftArm", (28, 0, 0)), "LeftHand": ("LeftForeArm", (24, 0, 0)),
    "RightShoulder": ("Spine2", (-5, 12, 0)), "RightArm": ("RightShoulder", (-11, 0, 0)),
    "RightForeArm": ("RightArm", (-28, 0, 0)), "RightHand": ("RightForeArm", (-24, 0, 0)),
    "LeftUpLeg": ("Hips", (9, -5, 0)), "LeftLeg": ("LeftUpLeg", (0, -41, 0)),
    "LeftFoot": ("LeftLeg", (0, -41, 0)), "LeftToeBase": ("LeftFoot", (0, -6, 14)),
    "RightUpLeg": ("Hips", (-9, -5, 0)), "RightLeg": ("RightUpLeg", (0, -41, 0)),
    "RightFoot": ("RightLeg", (0, -41, 0)), "RightToeBase": ("RightFoot", (0, -6, 14)),
}  # fmt: skip
"""A skeleton in centimetres, T-pose."""
PAIRS = {
    "Hips": "pelvis",
    "Head": "head",
    "LeftToeBase": "left_foot",
    "LeftHand": "left_wrist",
    "RightLeg": "right_knee",
}


def write(path, skeleton, frames=6, order="ZXY", scale=1.0, turn=None, rename=lambda name: name, seed=0):
    """Write random angles on a skeleton; returns joint positions (T, 3) by name, metres, computed while writing."""
    random = np.random.default_rng(seed)
    turn = np.eye(3) if turn is None else turn
    lines, columns, placed = ["HIERARCHY"], [], {}

    def add(name, depth):
        parent, offset = skeleton[name]
        offset = turn @ np.array(offset, float) * scale
        root = parent is None
        angles = random.normal(0, 25, (frames, 3))
        local = Rotation.from_euler(order, angles, degrees=True).as_matrix()
        path_of_root = turn @ random.normal(0, 20, (3,)) * scale + turn @ np.array([0, 95.0, 0]) * scale
        above, origin = (np.eye(3), np.zeros(3)) if root else placed[parent]
        at = np.tile(path_of_root, (frames, 1)) if root else origin + above @ offset
        placed[name] = (above @ local, at)
        if root:
            columns.append(at)
        columns.append(angles)
        lines.append("  " * depth + f"{'ROOT' if root else 'JOINT'} {rename(name)}")
        lines.append("{")
        lines.append("OFFSET " + " ".join(f"{value:.7f}" for value in offset))
        position = "6 Xposition Yposition Zposition " if root else "3 "
        lines.append("CHANNELS " + position + " ".join(f"{axis}rotation" for axis in order))
        children = [other for other, (over, _) in skeleton.items() if over == name]
        for child in children:
            add(child, depth + 1)
        if not children:
            lines.extend(["End Site", "{", "OFFSET 0 0 0", "}"])
        lines.append("}")

    add(next(iter(skeleton)), 0)
    rows = np.concatenate(columns, axis=1)
    lines += ["MOTION", f"Frames: {frames}", "Frame Time: 0.04"]
    lines += [" ".join(f"{value:.8f}" for value in row) for row in rows]
    path.write_text("\r\n".join(lines) + "\n")
    return {name: at @ turn * 0.01 / scale for name, (_, at) in placed.items()}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    random = np.random.default_rng(0)
    frames, body = 8, load_body()
    pose, orient = random.normal(0, 0.6, (frames, 23, 3)), random.normal(0, 1.5, (frames, 3))
    transl, betas = random.normal(0, 2, (frames, 3)), random.normal(0, 1, 10)
    motion = Motion.from_axis_angle(*(torch.from_numpy(values).float() for values in (pose, orient, transl)))
    joints = body.joints(motion.body_pose, motion.global_orient, motion.transl, torch.from_numpy(betas).float()).numpy()
    result = Result(
        fps=25.0, body_model="free", body_pose=pose, global_orient=orient, transl=transl, betas=betas, joints=joints,
        rotation_w2c=np.tile(np.eye(3), (frames, 1, 1)), translation_w2c=np.zeros((frames, 3)),
        focal_px=np.full(frames, 500.0), center_px=np.full((frames, 2), 200.0), image_size_px=np.array([400, 400]),
        diagnostics={}, config_yaml="", run={},
    )  # fmt: skip
    path = tmp_path_factory.mktemp("subject7") / "take.bvh"
    bvh.write(path, result, body)
    return path, result


def test_what_this_package_exports_comes_back(exported):
    path, result = exported

    clip = read_bvh(path)

    np.testing.assert_allclose(clip.joints(), result.joints[:, :22], atol=1e-4)
    expected = np.concatenate((result.global_orient[:, None], result.body_pose[:, :21]), axis=1)
    apart = roma.rotmat_geodesic_distance(clip.rotations, roma.rotvec_to_rotmat(torch.from_numpy(expected)).float())
    assert apart.max() < 1e-3
    assert (clip.name, clip.subject, clip.fps) == ("take", path.parent.name, pytest.approx(25.0))


def test_a_folder_of_them_is_read_and_stood_on_the_floor(exported):
    path, result = exported

    (clip,) = read_motions(path.parent)

    shift = clip.joints() - torch.from_numpy(result.joints[:, :22]).float()
    assert shift.std(dim=(0, 1)).max() < 1e-4 and shift[..., [0, 2]].abs().max() < 1e-4
    lowest = clip.joints()[:, [10, 11], 1].amin(dim=1)
    assert lowest.quantile(0.05).item() == pytest.approx(0.02, abs=1e-4)


@pytest.mark.parametrize("order", ["ZXY", "XYZ", "YZX"])
@pytest.mark.parametrize("scale", [0.01, 1.0, 10.0, 1 / 2.54])
def test_order_of_channels_and_unit_do_not_matter(tmp_path, order, scale):
    truth = write(tmp_path / "a.bvh", MIXAMO, order=order, scale=scale, rename=lambda name: f"mixamorig:{name}")

    clip = read_bvh(tmp_path / "a.bvh")

    joints = clip.joints()
    for name, joint in PAIRS.items():
        np.testing.assert_allclose(joints[:, JOINT_INDEX[joint]], truth[name], atol=1e-4)
    assert clip.fps == pytest.approx(25.0)


def test_a_world_with_z_up_is_stood_up(tmp_path):
    z_up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    truth = write(tmp_path / "a.bvh", MIXAMO, turn=z_up)

    clip = read_bvh(tmp_path / "a.bvh")

    np.testing.assert_allclose(clip.joints()[:, JOINT_INDEX["head"]], truth["Head"], atol=1e-4)
    assert clip.offsets[JOINT_INDEX["head"], 1] == pytest.approx(0.09, abs=1e-5)


def test_another_rest_pose_gives_the_same_rotations(tmp_path):
    """Arms that hang down at rest: positions stay, and a level arm is what counts as not turned."""
    hanging = dict(MIXAMO)
    for side, out in (("Left", 1), ("Right", -1)):
        for part, length in (("ForeArm", 28), ("Hand", 24)):
            hanging[side + part] = (MIXAMO[side + part][0], (0.3 * out * length, -np.sqrt(1 - 0.09) * length, 0))
    truth = write(tmp_path / "a.bvh", hanging)

    clip = read_bvh(tmp_path / "a.bvh")

    np.testing.assert_allclose(clip.joints()[:, JOINT_INDEX["left_wrist"]], truth["LeftHand"], atol=1e-4)
    toes = clip.joints()[:, JOINT_INDEX["right_foot"]]
    np.testing.assert_allclose(toes, truth["RightToeBase"], atol=1e-4)
    elbow = clip.offsets[JOINT_INDEX["left_elbow"]] / clip.offsets[JOINT_INDEX["left_elbow"]].norm()
    usual = AVERAGE_OFFSETS[JOINT_INDEX["left_elbow"]]
    assert torch.dot(elbow, usual / usual.norm()) > 0.999


def test_joints_that_the_file_lacks_are_put_where_people_have_them(tmp_path):
    """Two joints in the spine, no collars, no toes, no neck: still 22 joints, none on another."""
    lacking = {"LeftShoulder", "RightShoulder", "LeftToeBase", "RightToeBase", "Spine2", "Neck"}
    above = {"LeftArm": ("Spine1", (16, 24, 0)), "RightArm": ("Spine1", (-16, 24, 0)), "Head": ("Spine1", (0, 37, 0))}
    small = {name: above.get(name, value) for name, value in MIXAMO.items() if name not in lacking}
    truth = write(tmp_path / "a.bvh", small)

    clip = read_bvh(tmp_path / "a.bvh")

    for name, joint in (("LeftHand", "left_wrist"), ("Head", "head"), ("RightFoot", "right_ankle")):
        np.testing.assert_allclose(clip.joints()[:, JOINT_INDEX[joint]], truth[name], atol=1e-4)
    assert clip.offsets[1:].norm(dim=-1).min() > 0.02
    collar, shoulder = clip.offsets[13], clip.offsets[16]
    assert collar[0] > 0 and shoulder[0] > 0
    assert clip.offsets[10, 2] > 0.05  # the toe points ahead


def test_joints_in_between_are_skipped_with_their_turns_kept(tmp_path):
    """CMU's skeleton has one more joint at each hip."""
    more = MIXAMO | {"LHipJoint": ("Hips", (3, 0, 0)), "LeftUpLeg": ("LHipJoint", (6, -5, 0))}
    truth = write(tmp_path / "more.bvh", more)

    clip = read_bvh(tmp_path / "more.bvh")

    joints = clip.joints()
    np.testing.assert_allclose(joints[:, 7] - joints[:, 1], truth["LeftFoot"] - truth["LeftUpLeg"], atol=1e-4)
    torch.testing.assert_close(clip.offsets[1], torch.tensor([0.09, -0.05, 0.0]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("MOTION", "NOTION"), "no BVH motion"),
        (lambda text: text.replace("Head", "Kopf"), "there is no head among Hips, Spine"),
        (lambda text: text.replace("Frames: 6", "Frames: 7"), "values for 7 frames of 69 channels"),
        (lambda text: text[: text.index("JOINT Head")] + text[text.index("MOTION") :], "hierarchy breaks off"),
        (lambda text: text.replace("OFFSET 0.0000000 -41.", "OFFSET 0.0000000 -7000."), "left leg measures"),
        (lambda text: text.replace("Xrotation", "Wrotation"), "unknown channels"),
        (lambda text: text.replace("Frame Time: 0.04", "Frame Time: fast"), "no number"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path, change, message):
    path = tmp_path / "a.bvh"
    write(path, MIXAMO)
    path.write_text(change(path.read_text()))

    with pytest.raises(DiffoptError, match=message):
        read_bvh(path)
