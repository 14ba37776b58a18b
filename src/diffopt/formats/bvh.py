"""Motion as a Biovision hierarchy (.bvh): centimetres, degrees, rotations about z, x, y in turn (R = Rz Rx Ry)."""

import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from diffopt.body.model import BodyModel
from diffopt.body.skeleton import JOINT_NAMES, PARENTS
from diffopt.files.atomic import partial_file
from diffopt.result.result import Result

_ORDER = "ZXY"
_CHANNELS = "Zrotation Xrotation Yrotation"
_CM = 100.0


def write(path: Path, result: Result, body: BodyModel) -> Path:
    """Write the motion as a skeleton of SMPL's 24 joints; the root's position is where the pelvis is in the world.

    Args:
        path: the file to write; one that is there is replaced once the new one is complete.
        result: the motion.
        body: the body that the motion's `betas` belong to; gives the lengths of the bones.

    Returns:
        `path`.
    """
    with torch.no_grad():
        offsets = body.skeleton(torch.as_tensor(result.betas).float()).double().numpy()
    lines = ["HIERARCHY"]
    order = _write_joint(lines, 0, 0, offsets)
    rotations = np.concatenate([result.global_orient[:, None], result.body_pose], axis=1).astype(np.float64)
    angles = np.stack([_euler_degrees(rotations[:, joint]) for joint in order], axis=1)
    positions = (offsets[0] + result.transl) * _CM
    rows = np.concatenate([positions, angles.reshape(len(angles), -1)], axis=1)
    lines += ["MOTION", f"Frames: {len(rows)}", f"Frame Time: {1 / result.fps:.8f}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in rows]
    with partial_file(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


def _write_joint(lines: list[str], joint: int, depth: int, offsets: Float[ndarray, "24 3"]) -> list[int]:
    """Append a joint and all below it; returns them in the order of their channels."""
    indent = "\t" * depth
    offset = np.zeros(3) if joint == 0 else offsets[joint] * _CM
    lines.append(f"{indent}{'ROOT' if joint == 0 else 'JOINT'} {JOINT_NAMES[joint]}")
    lines.append(f"{indent}{{")
    lines.append(f"{indent}\tOFFSET {_numbers(offset)}")
    position = "6 Xposition Yposition Zposition " if joint == 0 else "3 "
    lines.append(f"{indent}\tCHANNELS {position}{_CHANNELS}")
    order = [joint]
    children = [child for child, parent in enumerate(PARENTS) if parent == joint]
    for child in children:
        order += _write_joint(lines, child, depth + 1, offsets)
    if not children:
        # Where a bone without a child ends is not in the body model: half the last bone on, for viewers to draw.
        lines += [f"{indent}\tEnd Site", f"{indent}\t{{", f"{indent}\t\tOFFSET {_numbers(offset / 2)}", f"{indent}\t}}"]
    lines.append(f"{indent}}}")
    return order


def _euler_degrees(rotvec: Float[ndarray, "T 3"]) -> Float[ndarray, "T 3"]:
    with warnings.catch_warnings():
        # At gimbal lock scipy chooses one of the equal triples and warns; the rotation is right all the same.
        warnings.simplefilter("ignore", UserWarning)
        angles = Rotation.from_rotvec(rotvec).as_euler(_ORDER)
    # Viewers interpolate the numbers: no jumps of whole turns.
    return np.degrees(np.unwrap(angles, axis=0))


def _numbers(values: Float[ndarray, "3"]) -> str:
    return " ".join(f"{value:.6f}" for value in values)
