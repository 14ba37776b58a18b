"""Root trajectory, scale and contacts from one linear least-squares problem.

Three kinds of evidence, all linear in the root trajectory x_t and in the scale s of the camera's translation:

* sight: in the world, the body seen at p_t from a camera at centre s c_t stands at x_t = a_t + s c_t (a_t is p_t turned
  into the world); well known across the line of sight, poorly along it;
* feet: while a foot is in contact, the root moves by what the foot moves backwards under it; or, where a motion prior
  is at hand, by what it expects of the legs (`expected_velocity`), which knows of flight as well; both only while
  somebody is seen, since legs that are made up for the time between do not walk;
* inertia: bodies do not jerk.

Where the camera was lost (`tracking_lost`), its trajectory is in segments, and where each stands is unknown too.

Which foot is down is not known, so the feet's evidence is reweighted until it agrees with itself.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from jaxtyping import Bool, Float, Int
from numpy import ndarray

from diffopt.initialisation.options import Evidence

Sparse: TypeAlias = Any
"""A scipy sparse matrix; its type stubs do not know their own products."""
NEAREST_M = 0.5
"""Nobody is filmed whole from nearer, whatever an initial body says."""


@dataclass(frozen=True)
class RootTrajectory:
    """What the evidence says."""

    root: Float[ndarray, "T 3"]
    """Pelvis in the world, metres; the origin is the first camera."""
    scale: float
    """Metres per unit of the given camera translation; 1 where the camera does not travel or is metric already."""
    contact: Float[ndarray, "T F"]
    """How far each foot point is taken to be down, 0 to 1."""
    camera_shift: Float[ndarray, "T 3"]
    """What is to be added to the scaled camera centres, metres: where each segment of the camera's path stands."""


def solve_root_trajectory(
    seen_w: Float[ndarray, "T 3"],
    sight_w: Float[ndarray, "T 3"],
    depth_m: Float[ndarray, "T"],
    centers: Float[ndarray, "T 3"],
    feet: Float[ndarray, "T F 3"],
    valid: Bool[ndarray, "T"],
    fps: float,
    find_scale: bool,
    evidence: Evidence,
    least_travel_m: float,
    velocity: Float[ndarray, "S 3"] | None = None,
    segment: Int[ndarray, "T"] | None = None,
    iterations: int = 15,
) -> RootTrajectory:
    """Find the root's path, and the scale of the camera's travel if it is not known.

    Args:
        seen_w: pelvis relative to the camera, axes of the world (y up), metres.
        sight_w: unit vectors from the camera to the pelvis, axes of the world.
        depth_m: distance of the pelvis from the camera, metres.
        centers: camera centres in the world, in the camera's own unit, the first one at the origin.
        feet: points of the soles relative to the pelvis, axes of the world, metres.
        valid: frames in which the body was seen.
        fps: frames per second.
        find_scale: whether the unit of `centers` is unknown; they must then not all be one point.
        evidence: how far each kind of evidence is trusted.
        least_travel_m: how far the camera went at least, where its scale is sought.
        velocity: what a prior expects of the root between frames, metres per second; it then speaks for the feet.
        segment: which segment of the camera's path a frame belongs to, from 0 on; None if it is whole.
        iterations: reweightings.

    Returns:
        Path, scale, which feet are down, and where the pieces of the camera's path stand.
    """
    num_frames = len(seen_w)
    segment = np.zeros(num_frames, dtype=int) if segment is None else segment
    num_unknowns = 3 * num_frames + 3 * int(segment[-1])
    # In units of the whole travel the scale is a number of order one, like the other unknowns.
    extent = float(np.linalg.norm(centers, axis=-1).max()) if find_scale else 1.0
    travel = centers / extent
    sight_rows, sight_values = _sight_equations(seen_w, sight_w, depth_m, travel, valid, find_scale, evidence, segment)
    inertia_rows = _inertia_rows(num_frames, fps, evidence)
    lowest = feet[..., 1].min(axis=1, keepdims=True)
    down = 1.0 / (1.0 + ((feet[..., 1] - lowest) / evidence.foot_height_m) ** 2)
    seen_step = valid[1:] & valid[:-1]
    step_down = 0.5 * (down[1:] + down[:-1]) * seen_step[:, None]
    # The root's step that keeps the foot where it is.
    steps = -(feet[1:] - feet[:-1])
    # A path that the feet did not make themselves leaves even those that stand some speed.
    tolerance = 2 * evidence.contact_m_s if velocity is None else 2 * evidence.expected_m_s
    contact = step_down
    unknowns = np.zeros(num_unknowns + 1)
    for _ in range(iterations):
        if velocity is None:
            feet_rows, feet_values = _feet_equations(steps, contact, fps, evidence)
        else:
            weight = np.repeat(seen_step / evidence.expected_m_s, 3)
            feet_rows = scipy.sparse.diags(weight * fps) @ _differences(num_frames, 1)
            feet_values = weight * velocity.reshape(-1)
        path_rows: Sparse = scipy.sparse.vstack([feet_rows, inertia_rows])
        path_rows.resize(path_rows.shape[0], num_unknowns + 1)
        matrix: Sparse = scipy.sparse.vstack([sight_rows, path_rows], format="csc")
        values = np.concatenate([sight_values, feet_values, np.zeros(inertia_rows.shape[0])])
        normal: Sparse = (matrix.T @ matrix + 1e-9 * scipy.sparse.identity(matrix.shape[1])).tocsc()
        unknowns = _solve_forward(normal, matrix.T @ values, least_travel_m if find_scale else None)
        root = unknowns[: 3 * num_frames].reshape(num_frames, 3)
        slip = np.linalg.norm((root[1:] - root[:-1])[:, None] - steps, axis=-1) * fps
        # Cauchy weights: a foot that would have to slide is taken for a swinging one.
        contact = step_down / (1.0 + (slip / tolerance) ** 2)
    scale = float(unknowns[-1]) / extent if find_scale else 1.0
    shifts = np.concatenate([np.zeros((1, 3)), unknowns[3 * num_frames : -1].reshape(-1, 3)])
    return RootTrajectory(root, scale, np.concatenate([contact, contact[-1:]]), shifts[segment])


def _solve_forward(normal: Sparse, values: Float[ndarray, "N"], least_travel_m: float | None) -> Float[ndarray, "N"]:
    """The solution in which the camera does not travel backwards: its scale is held where it would fall too low."""
    unknowns = _solve(normal, values)
    if least_travel_m is None or unknowns[-1] >= least_travel_m:
        return unknowns
    column = np.asarray(normal[:-1, [-1]].todense())[:, 0]
    path = _solve(normal[:-1, :-1], values[:-1] - least_travel_m * column)
    return np.append(path, least_travel_m)


def _solve(normal: Sparse, values: Float[ndarray, "N"]) -> Float[ndarray, "N"]:
    return np.asarray(scipy.sparse.linalg.spsolve(normal, values))


def _sight_equations(
    seen_w: Float[ndarray, "T 3"],
    sight_w: Float[ndarray, "T 3"],
    depth_m: Float[ndarray, "T"],
    travel: Float[ndarray, "T 3"],
    valid: Bool[ndarray, "T"],
    find_scale: bool,
    evidence: Evidence,
    segment: Int[ndarray, "T"],
) -> tuple[Sparse, Float[ndarray, "N"]]:
    """x_t - s c_t - b_segment(t) = a_t, weighted across and along the line of sight; of the first segment b is zero."""
    along = sight_w[:, :, None] * sight_w[:, None, :]
    across = np.eye(3) - along
    far = np.maximum(depth_m, NEAREST_M)
    weight = across / (evidence.across_rad * far)[:, None, None] + along / (evidence.along * far)[:, None, None]
    weight = weight * valid[:, None, None]
    path: Sparse = scipy.sparse.block_diag(list(weight), format="csr")
    of_segment: Sparse = scipy.sparse.kron(
        scipy.sparse.csr_matrix((segment[:, None] == np.arange(1, segment[-1] + 1)).astype(float)), np.eye(3)
    )
    turned = np.einsum("tij,tj->ti", weight, travel).reshape(-1, 1)
    known = np.einsum("tij,tj->ti", weight, seen_w).reshape(-1)
    scale = -turned if find_scale else 0 * turned
    rows: Sparse = scipy.sparse.hstack([path, -path @ of_segment, scipy.sparse.csr_matrix(scale)]).tocsr()
    return rows, known if find_scale else known + turned[:, 0]


def _differences(num_frames: int, order: int) -> Sparse:
    """Finite differences of a path, per axis."""
    stencil = {1: [-1.0, 1.0], 2: [1.0, -2.0, 1.0]}[order]
    one: Sparse = scipy.sparse.diags_array(stencil, offsets=range(order + 1), shape=(num_frames - order, num_frames))  # type: ignore[call-overload]
    rows: Sparse = scipy.sparse.kron(one, scipy.sparse.identity(3))
    return rows.tocsr()


def _inertia_rows(num_frames: int, fps: float, evidence: Evidence) -> Sparse:
    if num_frames < 3:
        return scipy.sparse.csr_matrix((0, 3 * num_frames))
    return _differences(num_frames, 2) * (fps**2 / evidence.acceleration_m_s2)


def _feet_equations(
    steps: Float[ndarray, "S F 3"], contact: Float[ndarray, "S F"], fps: float, evidence: Evidence
) -> tuple[Sparse, Float[ndarray, "N"]]:
    """x_t+1 - x_t = the step that keeps the foot in place, for every foot point that is down."""
    moves = _differences(len(steps) + 1, 1)
    rows: list[Sparse] = []
    values: list[ndarray] = []
    for point in range(steps.shape[1]):
        weight = np.repeat(np.sqrt(contact[:, point]), 3) * fps / evidence.contact_m_s
        rows.append(scipy.sparse.diags(weight) @ moves)
        values.append(weight * steps[:, point].reshape(-1))
    stacked: Sparse = scipy.sparse.vstack(rows)
    return stacked.tocsr(), np.concatenate(values)
