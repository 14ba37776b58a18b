"""Where detectors see the limbs of a SMPL file that brings no keypoint regressor: read off the free body.

COCO's hips, shoulders, knees and so on are none of SMPL's joints, and SMPL's joints are not where the free body has
its own, so that no offset from a joint carries over. The skin does: the free body takes the file's shape, and its
keypoints, in place then, become means of the file's vertices around them.

It is assumed that the file's rest pose is SMPL's (arms out, facing +z, legs a little apart), which the free body shares
to a few degrees, and that annotators place a keypoint alike on both bodies once their skins agree.
"""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.optimize import nnls
from scipy.spatial import KDTree

from diffopt.body.arrays import BodyArrays
from diffopt.body.skeleton import JOINT_INDEX, PARENTS
from diffopt.geometry.mesh import vertex_normals
from diffopt.observation.keypoint_sets import SURFACE_NAMES

HINGES: tuple[str, ...] = tuple(
    f"{side}_{part}" for side in ("left", "right") for part in ("elbow", "wrist", "knee", "ankle")
)
"""Joints that every skeleton has at nearly the same place, since the limb is thin there."""
_ROUNDS = 20
_LANDMARK_M = 0.02
_SKIN_M = 0.1
"""Standard deviation of one vertex; ten times what it is off by, since a hundred neighbours are off together."""
_FARTHEST_M = 0.05
"""Skin farther apart than this does not correspond."""
_PLACE_M, _TURN_RAD, _BETA = 1.0, 0.05, 1.5
"""What the free body's place, joints and shape vary by."""


def register(
    free: BodyArrays,
    template: Float[ndarray, "V 3"],
    faces: Int[ndarray, "F 3"],
    joints: Float[ndarray, "24 3"],
    vertex_ids: dict[str, int],
) -> Float[ndarray, "N 3"]:
    """The free body's vertices in the shape of another body, metres.

    Gauss-Newton on distances from point to plane (Chen and Medioni, 1991), over place, small turns of all joints, and
    betas; it begins from the landmarks, which hold the skin from sliding along itself.

    Args:
        free: the free body.
        template: the other body at rest, SMPL's rest pose, metres.
        faces: its triangles, counter-clockwise seen from outside.
        joints: its joints, metres; only the `HINGES` are read.
        vertex_ids: its vertices at keypoints of the face and the feet, by our names.
    """
    basis, spread = _basis(free)
    rows = np.stack(
        [free.surface_regressor[SURFACE_NAMES.index(name)] for name in vertex_ids]
        + [free.joint_regressor[JOINT_INDEX[name]] for name in HINGES]
    )
    marks = np.concatenate([template[list(vertex_ids.values())], joints[[JOINT_INDEX[name] for name in HINGES]]])
    to_marks = np.einsum("kn,ndp->kdp", rows, basis).reshape(-1, len(spread)) / _LANDMARK_M
    from_marks = (marks - rows @ free.v_template).ravel() / _LANDMARK_M
    hands = free.lbs_weights[:, [JOINT_INDEX["left_hand"], JOINT_INDEX["right_hand"]]].sum(axis=1) > 0.5
    tree, normals = KDTree(template), vertex_normals(template, faces)

    vertices, skin, gaps = free.v_template, np.zeros((0, len(spread))), np.zeros(0)
    for _ in range(_ROUNDS):
        design = np.concatenate([to_marks, skin, np.diag(1 / spread)])
        solution = np.linalg.lstsq(design, np.concatenate([from_marks, gaps, np.zeros(len(spread))]), rcond=None)[0]
        vertices = free.v_template + basis @ solution
        found, nearest = map(np.asarray, tree.query(vertices))
        planes = normals[nearest]
        alike = np.einsum("nd,nd->n", planes, vertex_normals(vertices, free.faces)) > 0.5
        kept = alike & (found < _FARTHEST_M) & ~hands
        skin = np.einsum("nd,ndp->np", planes[kept], basis[kept]) / _SKIN_M
        gaps = np.einsum("nd,nd->n", planes[kept], template[nearest[kept]] - free.v_template[kept]) / _SKIN_M
    return vertices


def transfer(
    row: Float[ndarray, " N"], registered: Float[ndarray, "N 3"], template: Float[ndarray, "V 3"]
) -> Float[ndarray, " V"]:
    """A mean of one body's vertices as a mean of another's, at the same place.

    Each vertex hands its weight to the nearest one over there, so that the point is carried by the same parts of the
    body when it moves; non-negative least squares then mends the place.

    Args:
        row: weights, non-negative, of sum 1.
        registered: the one body in the shape of the other, metres.
        template: the other, metres.

    Returns:
        Weights, non-negative, of sum 1, over no more vertices than `row` has.
    """
    target = row @ registered
    weighed = np.flatnonzero(row)
    columns, given = np.unique(KDTree(template).query(registered[weighed])[1], return_inverse=True)
    handed = np.bincount(given, row[weighed])
    # A place kept to the tenth of a millimetre, a sum of 1, and weights near those handed over.
    design = np.concatenate(
        [(template[columns] - target).T / 1e-4, np.full((1, len(columns)), 1e4), np.eye(len(columns))]
    )
    weights = nnls(design, np.concatenate([np.zeros(3), [1e4], handed]))[0]
    moved = np.zeros(len(template))
    moved[columns] = weights / weights.sum()
    return moved


def _basis(free: BodyArrays) -> tuple[Float[ndarray, "N 3 P"], Float[ndarray, " P"]]:
    """How each vertex moves, to first order, with place, turns about the joints, and betas; and what these vary by."""
    carried = free.lbs_weights.copy()
    for joint in range(len(PARENTS) - 1, 0, -1):  # a joint turns all that hangs from it
        carried[:, PARENTS[joint]] += carried[:, joint]
    arms = free.v_template[:, None] - free.joint_regressor @ free.v_template
    turns = np.stack([np.cross(axis, arms) for axis in np.eye(3)], axis=-1) * carried[..., None, None]
    place = np.broadcast_to(np.eye(3), (len(arms), 3, 3))
    basis = np.concatenate([place, np.moveaxis(turns, 1, 2).reshape(len(arms), 3, -1), free.shapedirs], axis=-1)
    count = 3 * len(PARENTS)
    return basis, np.repeat([_PLACE_M, _TURN_RAD, _BETA], [3, count, free.shapedirs.shape[-1]])
