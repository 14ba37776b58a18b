"""Where the body's mass is: the centre of mass from the joints.

Segment masses and centres: Winter, Biomechanics and Motor Control of Human Movement, table 4.1 (after Dempster).
"""

from jaxtyping import Float
from numpy import ndarray

from diffopt.body.skeleton import JOINT_INDEX

_LIMBS: tuple[tuple[str, str, float, float], ...] = (
    ("shoulder", "elbow", 0.028, 0.436),
    ("elbow", "wrist", 0.016, 0.430),
    ("wrist", "wrist", 0.006, 0.0),
    ("hip", "knee", 0.100, 0.433),
    ("knee", "ankle", 0.0465, 0.433),
    ("ankle", "foot", 0.0145, 0.5),
)
"""From, to, part of the body's mass, where along the segment its centre lies; one side."""
_TRUNK, _HEAD = 0.497, 0.081


def center_of_mass(joints: Float[ndarray, "*T 24 3"]) -> Float[ndarray, "*T 3"]:
    """Centre of mass of a body whose joints are given, in their frame and unit."""

    def at(name: str) -> ndarray:
        return joints[..., JOINT_INDEX[name], :]

    hips = (at("left_hip") + at("right_hip")) / 2
    center = _TRUNK * (hips + at("neck")) / 2 + _HEAD * at("head")
    for side in ("left", "right"):
        for start, end, mass, share in _LIMBS:
            first, last = at(f"{side}_{start}"), at(f"{side}_{end}")
            center = center + mass * (first + share * (last - first))
    return center
