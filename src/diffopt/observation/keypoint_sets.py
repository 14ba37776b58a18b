"""The names in the contract: SMPL's joints, and the detectors' keypoint sets as points of a body.

A body has 47 landmarks: SMPL's 24 joints, then 23 points of the surface (COCO-17 and three on each foot). A detector's
keypoint is a mean of landmarks; one that the body does not have (a finger, a corner of the mouth) is left out.
"""

JOINT_NAMES: tuple[str, ...] = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle", "right_ankle",
    "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head", "left_shoulder",
    "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hand", "right_hand",
)  # fmt: skip
COCO17: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
FEET: tuple[str, ...] = (
    "left_big_toe", "right_big_toe", "left_small_toe", "right_small_toe", "left_heel", "right_heel",
)  # fmt: skip
SURFACE_NAMES: tuple[str, ...] = COCO17 + FEET

# Each keypoint: the landmarks whose mean it is; an empty tuple where the body has no such point.
_OPENPOSE25: tuple[tuple[str, ...], ...] = (
    ("nose",), ("left_shoulder", "right_shoulder"), ("right_shoulder",), ("right_elbow",), ("right_wrist",),
    ("left_shoulder",), ("left_elbow",), ("left_wrist",), ("left_hip", "right_hip"), ("right_hip",), ("right_knee",),
    ("right_ankle",), ("left_hip",), ("left_knee",), ("left_ankle",), ("right_eye",), ("left_eye",), ("right_ear",),
    ("left_ear",), ("left_big_toe",), ("left_small_toe",), ("left_heel",), ("right_big_toe",), ("right_small_toe",),
    ("right_heel",),
)  # fmt: skip
_BLAZEPOSE33: tuple[tuple[str, ...], ...] = (
    ("nose",), (), ("left_eye",), (), (), ("right_eye",), (), ("left_ear",), ("right_ear",), (), (),
    ("left_shoulder",), ("right_shoulder",), ("left_elbow",), ("right_elbow",), ("left_wrist",), ("right_wrist",),
    (), (), (), (), (), (), ("left_hip",), ("right_hip",), ("left_knee",), ("right_knee",), ("left_ankle",),
    ("right_ankle",), ("left_heel",), ("right_heel",), ("left_big_toe",), ("right_big_toe",),
)  # fmt: skip
KEYPOINT_SETS: dict[str, tuple[tuple[str, ...], ...]] = {
    "coco17": tuple((name,) for name in COCO17),
    "coco23": tuple((name,) for name in SURFACE_NAMES),
    "openpose25": _OPENPOSE25,
    "blazepose33": _BLAZEPOSE33,
    "smpl24": tuple((f"joint:{name}",) for name in JOINT_NAMES),
}
