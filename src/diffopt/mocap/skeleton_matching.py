"""A foreign skeleton on the 22 joints of the body: by names, unit, axes and rest pose.

Joints are known by the names of SMPL, Mixamo, CMU, Biovision, Poser and Unity; the spine by its place below the neck.
"""

import re
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from diffopt.body.skeleton import BODY_JOINTS, JOINT_INDEX, JOINT_NAMES, PARENTS
from diffopt.errors import DiffoptError
from diffopt.mocap.bvh_file import Joint

UNITS_M = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254, "CMU's 1/0.45 inch": 0.0254 / 0.45}
USUAL_LEG_M, SHORTEST_LEG_M, LONGEST_LEG_M = 0.82, 0.45, 1.15
"""Hip to ankle along the bones; by it the unit is told, which the format does not say."""
OTHER_REST_DEG = 20.0
"""A limb that is further than this from the T-pose in the file's rest pose has its rotations counted anew; below, the
difference is one of people."""
_LIMBS = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
_NAMINGS: dict[str, tuple[str, ...]] = {
    "SMPL or Biovision": ("hip", "knee", "ankle", "foot toe", "collar", "shoulder", "elbow", "wrist"),
    "Mixamo or CMU": ("upleg", "leg", "foot", "toebase toe", "shoulder", "arm", "forearm", "hand"),
    "Poser": ("thigh", "shin", "foot", "toe", "collar", "shldr", "forearm", "hand"),
    "Unity": ("upperleg", "lowerleg", "foot", "toes", "shoulder", "upperarm", "lowerarm", "hand"),
}
_REQUIRED = tuple(
    f"{side}_{limb}" for side in ("left", "right") for limb in ("hip", "knee", "ankle", "shoulder", "elbow")
)


def match_names(path: Path, joints: list[Joint]) -> dict[int, int]:
    """For each joint of the body that the file has, the number of it in the file."""
    plain = [re.sub(r"[^a-z0-9]", "", joint.name.split(":")[-1].lower()) for joint in joints]
    center = {"pelvis": ("pelvis", "hips", "hip"), "neck": ("neck",), "head": ("head",)}
    found = {joint: next((plain.index(n) for n in names if n in plain), -1) for joint, names in center.items()}
    limbs: dict[str, int] = {}
    for naming in _NAMINGS.values():
        tried = {}
        for side in ("left", "right"):
            for limb, names in zip(_LIMBS, naming, strict=True):
                written = [w for s in (side, side[0]) for name in names.split() for w in (s + name, name + s)]
                tried[f"{side}_{limb}"] = next((plain.index(w) for w in written if w in plain), -1)
        if sum(index >= 0 for index in tried.values()) > sum(index >= 0 for index in limbs.values()):
            limbs = tried
    known = {joint: index for joint, index in (found | limbs).items() if index >= 0}
    missing = [joint for joint in ("pelvis", "head", *_REQUIRED) if joint not in known]
    if missing:
        raise DiffoptError(
            f"{path}: no body by its joints' names, there is no {', '.join(missing)} among "
            f"{', '.join(joint.name for joint in joints[:12])} …. Rename the joints as Mixamo, CMU or SMPL do."
        )
    spine = _spine(joints, known)
    if len(spine) > 3:
        spine = [spine[0], spine[len(spine) // 2], spine[-1]]
    known |= {f"spine{number}": index for number, index in enumerate(spine, start=1)}
    return {JOINT_INDEX[joint]: index for joint, index in known.items()}


def _spine(joints: list[Joint], known: dict[str, int]) -> list[int]:
    """Joints between pelvis and neck, or where the arms branch off if there is no neck, from below."""
    chain, index = [], joints[known.get("neck", known["head"])].parent
    while index >= 0 and index != known["pelvis"]:
        chain.append(index)
        index = joints[index].parent
    return chain[::-1]


def unit_of_length(path: Path, rest: Float[ndarray, "N 3"], names: dict[int, int]) -> float:
    """Metres per unit of length, such that the legs have a person's length."""
    hip, knee, ankle = (rest[names[JOINT_INDEX[f"left_{part}"]]] for part in ("hip", "knee", "ankle"))
    leg = float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))
    fitting = [unit for unit in UNITS_M.values() if SHORTEST_LEG_M <= leg * unit <= LONGEST_LEG_M]
    if not fitting:
        raise DiffoptError(
            f"{path}: the left leg measures {leg:.3g} units, a person's in none of {', '.join(UNITS_M)}. "
            "Scale the file to centimetres."
        )
    return min(fitting, key=lambda unit: abs(np.log(leg * unit / USUAL_LEG_M)))


def axes_at_rest(rest: Float[ndarray, "N 3"], names: dict[int, int]) -> Float[ndarray, "3 3"]:
    """Rotation of the file's axes onto y up, facing +z: by whole right angles, read from the rest pose."""
    left, right, head, pelvis = (rest[names[JOINT_INDEX[name]]] for name in ("left_hip", "right_hip", "head", "pelvis"))
    x = np.eye(3)[np.abs(left - right).argmax()] * np.sign((left - right)[np.abs(left - right).argmax()])
    up = (head - pelvis) * (x == 0)
    y = np.eye(3)[np.abs(up).argmax()] * np.sign(up[np.abs(up).argmax()])
    return np.stack((x, y, np.cross(x, y)))


def places_at_rest(
    rest: Float[ndarray, "N 3"], names: dict[int, int], average: Float[ndarray, "22 3"]
) -> Float[ndarray, "22 3"]:
    """Where the body's joints are in the file's rest pose; what the file lacks is put where an average body has it."""
    places = np.full((BODY_JOINTS, 3), np.nan)
    places[list(names)] = rest[list(names.values())]
    leg = [JOINT_INDEX["left_knee"], JOINT_INDEX["left_ankle"]]
    lengths = np.linalg.norm(average, axis=1)
    size = np.linalg.norm(places[leg] - places[[PARENTS[joint] for joint in leg]], axis=1).sum() / lengths[leg].sum()
    for joint in range(1, BODY_JOINTS):
        if joint in names:
            continue
        parent, chain = PARENTS[joint], _chain_below(joint, names)
        if chain:
            share = lengths[joint] / lengths[[joint, *chain]].sum()
            places[joint] = places[parent] + share * (places[chain[-1]] - places[parent])
        else:
            # A hand goes on as the forearm does, a toe points ahead.
            forearm = "wrist" in JOINT_NAMES[joint]
            direction = places[parent] - places[PARENTS[parent]] if forearm else average[joint]
            places[joint] = places[parent] + size * lengths[joint] * direction / np.linalg.norm(direction)
    return places


def _chain_below(joint: int, names: dict[int, int]) -> list[int]:
    """From the joint's child down to the first joint that the file has; the way to the neck where ways part."""
    chain = [joint]
    while chain[-1] not in names:
        children = [other for other in range(BODY_JOINTS) if PARENTS[other] == chain[-1]]
        if not children:
            return []
        chain.append(children[0])
    return chain[1:]


def turns_at_rest(
    places: Float[ndarray, "22 3"], names: dict[int, int], average: Float[ndarray, "22 3"]
) -> Float[ndarray, "22 3 3"]:
    """For each joint the rotation from the T-pose to the file's rest pose, none for joints that nearly agree."""
    turns = np.tile(np.eye(3), (BODY_JOINTS, 1, 1))
    for joint in range(1, BODY_JOINTS):
        name = JOINT_NAMES[joint]
        if joint not in names or "wrist" in name:
            turns[joint] = turns[PARENTS[joint]]
        elif any(part in name for part in ("hip", "knee", "shoulder", "elbow")):
            child = PARENTS.index(joint)
            turn = Rotation.align_vectors(places[child] - places[joint], average[child])[0]
            if np.degrees(turn.magnitude()) > OTHER_REST_DEG:
                turns[joint] = turn.as_matrix()
    return turns
