"""A camera that only turns: its rotations and, where the turn shows it, its focal length.

With no baseline a scene point is a direction. All rotations, directions and one focal length are found together by
least squares over all tracks (a bundle adjustment on the sphere), so that errors do not add up from frame to frame.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.transform import Rotation

from diffopt.errors import DiffoptError
from diffopt.frontend.tracks import Tracks

_POINTS_PER_FRAME = 150
_MAX_FRAMES = 300
_MIN_SHARED = 12
_ROUNDS = 60
_ROBUST_PX = 1.0
"""Residuals above this many working pixels lose weight (Cauchy)."""


@dataclass(frozen=True)
class Turning:
    """Rotations of a camera that stays in place; the first one is the identity."""

    rotation_w2c: Float[ndarray, "T 3 3"]
    focal_px: float
    focal_spread: float
    """Standard deviation of the logarithm of the focal length; infinite if it was not refined."""
    residual_px: float
    """Median distance of the tracks from where the model puts them, working pixels."""
    explained: float
    """Part of the observations within two working pixels."""


def solve_turning(
    tracks: Tracks, frames: int, focal_px: float, center_px: Float[ndarray, "2"], refine_focal: bool
) -> Turning:
    """Rotations that explain the tracks best if the camera did not translate.

    Args:
        tracks: of the scene, without the person.
        frames: length of the clip.
        focal_px: starting value.
        center_px: principal point.
        refine_focal: whether to solve for the focal length as well.

    Raises:
        DiffoptError: too few points are shared by two frames in a row.
    """
    chained = _chain(tracks, frames, focal_px, center_px)
    # A long clip is solved at every second, third ... frame; the others are then turned onto the directions found.
    chosen = np.arange(0, frames, -(-frames // _MAX_FRAMES))
    rotations = chained[chosen]
    used = tracks.in_frames(chosen).covering(_POINTS_PER_FRAME)
    names, point = np.unique(used.point, return_inverse=True)
    problem = _Sphere(
        frame=np.searchsorted(chosen, used.frame),
        point=point,
        offset_px=used.xy_px - center_px,
        robust_px=tracks.pixel * _ROBUST_PX,
        frames=len(chosen),
        points=len(names),
    )
    directions = problem.mean_directions(rotations, focal_px)
    focal, damping, covariance = focal_px, 1e-4, np.inf
    cost = problem.cost(rotations, directions, focal)
    for _ in range(_ROUNDS):
        step, covariance = problem.step(rotations, directions, focal, damping, refine_focal)
        tried = problem.moved(rotations, directions, focal, step)
        tried_cost = problem.cost(*tried)
        if tried_cost < cost:
            gain = (cost - tried_cost) / cost
            (rotations, directions, focal), cost, damping = tried, tried_cost, damping / 5
            if gain < 1e-7:
                break
        elif damping > 1e6:
            break
        else:
            damping *= 10
    residual = np.linalg.norm(problem.residuals(rotations, directions, focal), axis=1) / tracks.pixel
    every = chained.copy()
    every[chosen] = rotations
    for frame in np.setdiff1d(np.arange(frames), chosen).tolist():
        every[frame] = _turn_onto(tracks, frame, names, directions, focal, center_px)
    return Turning(
        rotation_w2c=every @ every[0].T,
        focal_px=float(focal),
        focal_spread=float(np.sqrt(covariance)) if refine_focal else np.inf,
        residual_px=float(np.median(residual)),
        explained=float((residual < 2).mean()),
    )


@dataclass
class _Sphere:
    """Gauss-Newton with the directions eliminated (Schur complement)."""

    frame: ndarray
    point: ndarray
    offset_px: ndarray
    """Of each observation from the principal point."""
    robust_px: float
    frames: int
    points: int

    def residuals(self, rotations: ndarray, directions: ndarray, focal: float) -> Float[ndarray, "N 2"]:
        return self._project(rotations, directions, focal)[0] - self.offset_px

    def cost(self, rotations: ndarray, directions: ndarray, focal: float) -> float:
        squared = (self.residuals(rotations, directions, focal) ** 2).sum(axis=1) / self.robust_px**2
        return float(np.log1p(squared).sum())

    def mean_directions(self, rotations: ndarray, focal: float) -> Float[ndarray, "P 3"]:
        rays = np.column_stack([self.offset_px / focal, np.ones(len(self.offset_px))])
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        world = np.einsum("nji,nj->ni", rotations[self.frame], rays)
        total = np.stack([np.bincount(self.point, axis, self.points) for axis in world.T], axis=1)
        return total / np.linalg.norm(total, axis=1, keepdims=True)

    def moved(
        self, rotations: ndarray, directions: ndarray, focal: float, step: tuple[ndarray, ndarray, float]
    ) -> tuple[ndarray, ndarray, float]:
        turn, shift, log_focal = step
        moved = directions + np.einsum("pik,pk->pi", _tangents(directions), shift)
        moved /= np.linalg.norm(moved, axis=1, keepdims=True)
        return Rotation.from_rotvec(turn).as_matrix() @ rotations, moved, focal * float(np.exp(log_focal))

    def step(
        self, rotations: ndarray, directions: ndarray, focal: float, damping: float, refine_focal: bool
    ) -> tuple[tuple[ndarray, ndarray, float], float]:
        """Turns of the frames, shifts of the directions, change of log focal; and that one's variance."""
        projected, in_camera = self._project(rotations, directions, focal)
        residual = projected - self.offset_px
        # Cauchy weights, and every point has one vote: its observations drift together, they are not independent.
        weight = 1 / (1 + (residual**2).sum(axis=1) / self.robust_px**2)
        x, y, z = in_camera.T
        zero = np.zeros_like(x)
        to_pixel = focal * np.stack([np.stack([1 / z, zero, -x / z**2], 1), np.stack([zero, 1 / z, -y / z**2], 1)], 1)
        by_turn = np.cross(in_camera[:, None], to_pixel)
        by_shift = to_pixel @ rotations[self.frame] @ _tangents(directions)[self.point]
        root = np.sqrt(weight)
        rows = np.repeat(np.arange(2 * len(x)).reshape(-1, 2), 3, axis=1).reshape(-1, 2, 3)
        turn_columns = np.broadcast_to((3 * self.frame[:, None] + np.arange(3))[:, None], rows.shape)
        camera = sparse.csr_matrix(
            ((by_turn * root[:, None, None]).ravel(), (rows.ravel(), turn_columns.ravel())),
            shape=(2 * len(x), 3 * self.frames),
        )
        if refine_focal:
            camera = sparse.hstack([camera, sparse.csr_matrix((projected * root[:, None]).reshape(-1, 1))]).tocsr()
        shift_columns = np.broadcast_to((2 * self.point[:, None] + np.arange(2))[:, None], by_shift.shape)
        scene = sparse.csr_matrix(
            ((by_shift * root[:, None, None]).ravel(), (rows[..., :2].ravel(), shift_columns.ravel())),
            shape=(2 * len(x), 2 * self.points),
        )
        goal = -(residual * root[:, None]).ravel()
        blocks = np.einsum("nki,nkj,n->nij", by_shift, by_shift, weight)
        scene_blocks = np.stack(
            [np.bincount(self.point, blocks[:, i, j], self.points) for i in (0, 1) for j in (0, 1)], axis=1
        ).reshape(-1, 2, 2)
        inverse_blocks = np.linalg.inv(scene_blocks * (1 + damping * np.eye(2)))
        inverse = sparse.bsr_matrix((inverse_blocks, np.arange(self.points), np.arange(self.points + 1))).tocsr()
        # Dense from here: nearly every frame shares a point with nearly every other.
        cross = (camera.T @ scene).toarray()
        through = (inverse.T @ cross.T).T
        reduced = (camera.T @ camera).toarray() - through @ cross.T
        # The whole scene may turn: the first camera is held by a heavy weight.
        reduced[:3, :3] += 1e6 * np.eye(3) * np.trace(reduced[:3, :3])
        stiff = reduced + damping * np.diag(np.diag(reduced))
        factor = cho_factor(stiff + 1e-9 * np.trace(stiff) / len(stiff) * np.eye(len(stiff)))
        change = cho_solve(factor, camera.T @ goal - through @ (scene.T @ goal))
        shift = inverse @ (scene.T @ goal - cross.T @ change)
        variance = np.inf
        if refine_focal:
            last = np.zeros(len(stiff))
            last[-1] = 1.0
            noise = (weight[:, None] * residual**2).sum() / weight.sum() * len(x) / max(self.points, 1)
            variance = float(cho_solve(factor, last)[-1] * noise)
        turns = change[: 3 * self.frames].reshape(-1, 3)
        return (turns, shift.reshape(-1, 2), float(change[-1]) if refine_focal else 0.0), variance

    def _project(
        self, rotations: ndarray, directions: ndarray, focal: float
    ) -> tuple[Float[ndarray, "N 2"], Float[ndarray, "N 3"]]:
        in_camera = np.einsum("nij,nj->ni", rotations[self.frame], directions[self.point])
        in_camera[:, 2] = np.maximum(in_camera[:, 2], 1e-3)
        return focal * in_camera[:, :2] / in_camera[:, 2:], in_camera


def _chain(tracks: Tracks, frames: int, focal: float, center: Float[ndarray, "2"]) -> Float[ndarray, "T 3 3"]:
    """A first guess: each frame turned against the one before, robustly."""
    bounds = np.searchsorted(tracks.frame, np.arange(frames + 1))
    rotations = [np.eye(3)]
    for frame in range(1, frames):
        before, now = (slice(bounds[i], bounds[i + 1]) for i in (frame - 1, frame))
        _, a, b = np.intersect1d(tracks.point[before], tracks.point[now], return_indices=True)
        if len(a) < _MIN_SHARED:
            raise DiffoptError(
                f"The camera's motion cannot be followed from frame {frame - 1} to {frame}: {len(a)} points of the "
                f"background are seen in both; expected at least {_MIN_SHARED}; choose a span without the cut or the "
                "empty view (frontend.start_frame, stop_frame), or bring a camera with an observation file."
            )
        rays = [
            np.column_stack([(tracks.xy_px[where][index] - center) / focal, np.ones(len(index))])
            for where, index in ((before, a), (now, b))
        ]
        first, second = (ray / np.linalg.norm(ray, axis=1, keepdims=True) for ray in rays)
        rotations.append(_turn_between(first, second) @ rotations[-1])
    return np.stack(rotations)


def _turn_onto(
    tracks: Tracks,
    frame: int,
    names: ndarray,
    directions: Float[ndarray, "P 3"],
    focal: float,
    center: Float[ndarray, "2"],
) -> Float[ndarray, "3 3"]:
    """The rotation of a frame from the directions of the points that it sees."""
    here = tracks.frame == frame
    _, a, b = np.intersect1d(names, tracks.point[here], return_indices=True)
    rays = np.column_stack([(tracks.xy_px[here][b] - center) / focal, np.ones(len(b))])
    return _turn_between(directions[a], rays / np.linalg.norm(rays, axis=1, keepdims=True))


def _turn_between(first: Float[ndarray, "N 3"], second: Float[ndarray, "N 3"]) -> Float[ndarray, "3 3"]:
    """The rotation that takes most of the unit vectors `first` to `second` (Kabsch, reweighted)."""
    weight = np.ones(len(first))
    turn = Rotation.identity()
    for _ in range(10):
        turn = Rotation.align_vectors(second, first, weights=weight)[0]
        error = np.linalg.norm(turn.apply(first) - second, axis=1)
        weight = 1 / (1 + (error / max(np.median(error), 1e-6)) ** 2)
    return turn.as_matrix()


def _tangents(directions: Float[ndarray, "P 3"]) -> Float[ndarray, "P 3 2"]:
    """Two unit vectors across each direction."""
    axis = np.eye(3)[np.abs(directions).argmin(axis=1)]
    first = np.cross(directions, axis)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(directions, first)], axis=-1)
