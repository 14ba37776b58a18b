"""A camera that travels: structure from motion (COLMAP, Schoenberger and Frahm, 2016) on the scene's tracks.

Keyframes, chosen by how far the picture has moved on, are solved by COLMAP's incremental mapper with the tracks as its
matches. Every other frame is then placed by the scene points it sees, so that no pose is a mere interpolation.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.spatial.transform import Rotation, Slerp

from diffopt.errors import DiffoptError
from diffopt.frontend.tracks import Tracks, choose_keyframes

_NEIGHBOURS = 8
"""Keyframes matched with each one; beyond these, ever more distant ones (16, 32 ...)."""
_MIN_MATCHES = 30
_MAX_ERROR_PX = 2.0
_FOCAL_PROBE = 1.25
_DEPENDENT_POINTS = 30
_MIN_POINTS = 8
_ATTEMPTS = 3
_GOOD_PX = 0.4
"""A model of all keyframes with this mean error, working pixels, needs no second attempt."""
_MIN_SCENE = 50


@dataclass(frozen=True)
class Travel:
    """Path of a camera in a world and scale of its own."""

    rotation_w2c: Float[ndarray, "T 3 3"]
    translation_w2c: Float[ndarray, "T 3"]
    focal_px: float
    focal_spread: float
    """Standard deviation of the logarithm of the focal length by the views alone; 0 if it was given."""
    points_w: Float[ndarray, "P 3"]
    registered: Bool[ndarray, "T"]
    """False where the pose is interpolated."""
    keyframes: int
    residual_px: float
    """Mean reprojection error of the keyframes, working pixels."""


def solve_travel(
    tracks: Tracks,
    frames: int,
    size: tuple[int, int],
    focal_px: float,
    usual_spread: float,
    refine_focal: bool,
    seed: int = 0,
) -> Travel | None:
    """Structure from motion; None if COLMAP finds no model of at least half of the keyframes.

    Args:
        tracks: of the scene, without the person.
        frames: length of the clip.
        size: width and height of the video, pixels.
        focal_px: the known focal length, or where to start.
        usual_spread: standard deviation of the logarithm of focal lengths about the usual one.
        refine_focal: whether to solve for it; `focal_px` is then what it usually is, which counts as far as the
            views leave it open.
        seed: of the robust estimators.
    """
    colmap = _colmap()
    chosen = choose_keyframes(tracks, frames)
    model = _best_model(colmap, tracks, chosen, size, focal_px, usual_spread, refine_focal, seed)
    if model is None or model.num_reg_images() < len(chosen) / 2 or model.num_points3D() < _MIN_SCENE:
        return None
    focal_spread = 0.0
    if refine_focal:
        model, focal_spread = _settle_focal(colmap, model, tracks.pixel, focal_px, usual_spread)
    points, points_of = _scene_points(model, tracks)
    rotation, translation, registered = _keyframe_poses(model, frames)
    focal = float(next(iter(model.cameras.values())).params[0])
    rotation, translation, registered = _place_all(
        colmap, model, tracks, points, points_of, rotation, translation, registered
    )
    return Travel(
        rotation_w2c=rotation,
        translation_w2c=translation,
        focal_px=focal,
        focal_spread=focal_spread,
        points_w=points,
        registered=registered,
        keyframes=model.num_reg_images(),
        residual_px=float(model.compute_mean_reprojection_error() / tracks.pixel),
    )


def _colmap() -> Any:
    try:
        import pycolmap  # absent where no video is ever read
    except ImportError as error:
        raise DiffoptError(
            "Found no pycolmap; expected it for the camera's path; run: pip install 'diffopt[video]'"
        ) from error
    pycolmap.logging.minloglevel = 2
    return pycolmap


def _best_model(
    colmap: Any,
    tracks: Tracks,
    chosen: Int[ndarray, "M"],
    size: tuple[int, int],
    focal_px: float,
    usual_spread: float,
    refine_focal: bool,
    seed: int,
) -> Any:
    """The most credible of a few models.

    A scene grows from its first pair of keyframes; from an unlucky pair it can end with a hundredth of the keyframes or
    a tenth of the focal length, and still be consistent in itself.
    """
    models = []
    for attempt in range(_ATTEMPTS):
        model = _map(colmap, tracks, chosen, size, focal_px, refine_focal, seed + attempt)
        if model is None:
            continue
        error = model.compute_mean_reprojection_error() / tracks.pixel
        away = np.log(next(iter(model.cameras.values())).params[0] / focal_px) / usual_spread
        complete = model.num_reg_images() / len(chosen)
        models.append((complete / max(error, 0.1) / (1 + away**2), model))
        if complete == 1 and error < _GOOD_PX and abs(away) < 2:
            break
    return max(models, key=lambda scored: scored[0], default=(0.0, None))[1]


def _map(
    colmap: Any,
    tracks: Tracks,
    chosen: Int[ndarray, "M"],
    size: tuple[int, int],
    focal_px: float,
    refine_focal: bool,
    seed: int,
) -> Any:
    """The largest model; its images are numbered by frame + 1, the order of a keyframe's points is the tracks'."""
    with tempfile.TemporaryDirectory(prefix="diffopt-sfm-") as folder:
        database = Path(folder) / "database.db"
        _write_database(colmap, database, tracks, chosen, size, focal_px)
        verify = colmap.TwoViewGeometryOptions()
        verify.ransac.max_error = _MAX_ERROR_PX * tracks.pixel
        verify.ransac.random_seed = seed
        colmap.geometric_verification(str(database), two_view_geometry_options=verify)
        options = colmap.IncrementalPipelineOptions()
        options.extract_colors = False
        options.random_seed = seed
        options.num_threads = 2
        options.ba_refine_focal_length = refine_focal
        options.mapper.abs_pose_refine_focal_length = refine_focal
        options.mapper.init_min_tri_angle = 6.0
        options.mapper.filter_max_reproj_error = _MAX_ERROR_PX * tracks.pixel
        options.min_model_size = 4
        options.multiple_models = False
        models = colmap.incremental_mapping(str(database), folder, folder, options=options)
    return max(models.values(), key=lambda model: model.num_reg_images(), default=None)


def _write_database(
    colmap: Any, path: Path, tracks: Tracks, chosen: Int[ndarray, "M"], size: tuple[int, int], focal_px: float
) -> None:
    database = colmap.Database.open(str(path))
    camera = colmap.Camera(
        camera_id=1, model="SIMPLE_PINHOLE", width=size[0], height=size[1], params=[focal_px, size[0] / 2, size[1] / 2]
    )
    camera.has_prior_focal_length = True
    database.write_camera(camera, use_camera_id=True)
    rig = colmap.Rig(rig_id=1)
    rig.add_ref_sensor(camera.sensor_id)
    database.write_rig(rig, use_rig_id=True)
    points = {}
    for frame in chosen.tolist():
        here = tracks.frame == frame
        points[frame] = tracks.point[here]
        image = colmap.Image(name=f"{frame:06d}", camera_id=1, image_id=frame + 1)
        database.write_image(image, use_image_id=True)
        view = colmap.Frame(frame_id=frame + 1, rig_id=1)
        view.add_data_id(image.data_id)
        database.write_frame(view, use_frame_id=True)
        database.write_keypoints(frame + 1, tracks.xy_px[here].astype(np.float32))
    for index, first in enumerate(chosen.tolist()):
        near = list(range(index + 1, index + 1 + _NEIGHBOURS))
        far = [index + 2**power for power in range(4, 12)]
        for second in (int(chosen[i]) for i in near + far if i < len(chosen)):
            _, a, b = np.intersect1d(points[first], points[second], return_indices=True)
            if len(a) >= _MIN_MATCHES:
                database.write_matches(first + 1, second + 1, np.column_stack([a, b]).astype(np.uint32))
    database.close()


def _settle_focal(colmap: Any, model: Any, pixel: float, usual_px: float, usual_spread: float) -> tuple[Any, float]:
    """Weigh what the views say of the focal length against what lenses usually are, and adjust the model to it.

    The views speak through the error of the best model with the focal length held wrong: its logarithm is a parabola
    over log focal, whose depth counts once for every `_DEPENDENT_POINTS` scene points (they share blur, rolling shutter
    and distortion).

    Returns:
        The adjusted model, and the standard deviation of log focal by the views alone.
    """
    options = colmap.BundleAdjustmentOptions()
    options.refine_focal_length = False
    options.print_summary = False
    options.ceres.solver_options.max_num_iterations = 30

    def adjusted(focal_px: float) -> Any:
        copy = colmap.Reconstruction(model)
        camera = next(iter(copy.cameras.values()))
        camera.params = [focal_px, *camera.params[1:]]
        colmap.bundle_adjustment(copy, options)
        copy.update_point_3d_errors()
        return copy

    found = next(iter(model.cameras.values())).params[0]
    factors = np.array([1 / _FOCAL_PROBE, 1.0, _FOCAL_PROBE])
    errors = [adjusted(found * factor).compute_mean_reprojection_error() / pixel for factor in factors]
    bend, slope, _ = np.polyfit(np.log(factors), 2 * np.log(errors), 2)
    bend = max(float(bend), 1e-6)
    evidence = model.num_points3D() / _DEPENDENT_POINTS * bend
    seen_at = np.log(found) - np.clip(slope / (2 * bend), -0.1, 0.1)
    prior = 1 / usual_spread**2
    settled = np.exp((evidence * seen_at + prior * np.log(usual_px)) / (evidence + prior))
    return adjusted(float(settled)), float(evidence**-0.5)


def _scene_points(model: Any, tracks: Tracks) -> tuple[Float[ndarray, "P 3"], dict[int, int]]:
    """The model's points, and which of them belongs to which track."""
    ordered = {image_id: tracks.point[tracks.frame == image_id - 1] for image_id in model.images}
    points, points_of = [], {}
    for point in model.points3D.values():
        for element in point.track.elements:
            points_of[int(ordered[element.image_id][element.point2D_idx])] = len(points)
        points.append(point.xyz)
    return np.asarray(points).reshape(-1, 3), points_of


def _keyframe_poses(
    model: Any, frames: int
) -> tuple[Float[ndarray, "T 3 3"], Float[ndarray, "T 3"], Bool[ndarray, "T"]]:
    """Poses of the keyframes; between them rotations along great circles and straight lines of camera centres."""
    posed = sorted((image.image_id - 1, image.cam_from_world()) for image in model.images.values() if image.has_pose)
    times = np.array([frame for frame, _ in posed])
    turns = Rotation.from_matrix(np.stack([pose.rotation.matrix() for _, pose in posed]))
    centers = -np.stack([pose.rotation.matrix().T @ pose.translation for _, pose in posed])
    every = np.arange(frames).clip(times[0], times[-1])
    rotation = Slerp(times, turns)(every).as_matrix() if len(times) > 1 else np.repeat(turns.as_matrix(), frames, 0)
    center = np.stack([np.interp(every, times, axis) for axis in centers.T], axis=1)
    return rotation, -np.einsum("tij,tj->ti", rotation, center), np.isin(np.arange(frames), times)


def _place_all(
    colmap: Any,
    model: Any,
    tracks: Tracks,
    points: Float[ndarray, "P 3"],
    points_of: dict[int, int],
    rotation: Float[ndarray, "T 3 3"],
    translation: Float[ndarray, "T 3"],
    registered: Bool[ndarray, "T"],
) -> tuple[Float[ndarray, "T 3 3"], Float[ndarray, "T 3"], Bool[ndarray, "T"]]:
    """Refine every frame's pose on the scene points that it sees."""
    rotation, translation, registered = rotation.copy(), translation.copy(), registered.copy()
    camera = next(iter(model.cameras.values()))
    options = colmap.AbsolutePoseRefinementOptions()
    options.loss_function_scale = tracks.pixel
    options.gradient_tolerance = 1e-3
    which = np.array([points_of.get(int(point), -1) for point in tracks.point])
    bounds = np.searchsorted(tracks.frame, np.arange(len(rotation) + 1))
    for frame in range(len(rotation)):
        here = np.arange(bounds[frame], bounds[frame + 1])
        here = here[which[here] >= 0]
        if len(here) < _MIN_POINTS:
            continue
        start = colmap.Rigid3d(colmap.Rotation3d(rotation[frame]), translation[frame])
        found = colmap.refine_absolute_pose(
            start, tracks.xy_px[here], points[which[here]], np.ones(len(here), dtype=bool), camera, options
        )
        if found is not None:
            rotation[frame] = found["cam_from_world"].rotation.matrix()
            translation[frame] = found["cam_from_world"].translation
            registered[frame] = True
    return rotation, translation, registered
