"""From a video to an observation: the person, the camera, the initial body; each kept on disk for the next run."""

import json
from contextlib import nullcontext
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool
from numpy import ndarray
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from diffopt.body.keypoints import FOOT_POINTS
from diffopt.body.model import BodyModel, load_body
from diffopt.body.stature import resize
from diffopt.frontend.blazepose import BlazePose
from diffopt.frontend.cache import cached
from diffopt.frontend.camera import CameraPath, solve_camera
from diffopt.frontend.cleaning import CleanTrack, clean_track
from diffopt.frontend.ground import Ground, find_ground
from diffopt.frontend.inverse_kinematics import InitialBody, fit_body
from diffopt.frontend.keypoints import PersonTrack, track_person
from diffopt.frontend.options import FrontendOptions
from diffopt.frontend.tracks import Tracks, track_scene
from diffopt.frontend.video import Video, content_hash, open_video
from diffopt.initialisation.gravity import up_from_bodies
from diffopt.initialisation.options import GravityOptions
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation

_MAKE = 4
"""Counted up whenever a stage starts to answer differently: what older versions kept is then built anew."""


def prepare(
    path: Path,
    options: FrontendOptions,
    cache_dir: Path,
    body: BodyModel | None = None,
    height_m: float | None = None,
    progress: Progress | None = None,
) -> Observation:
    """See a video: keypoints, camera and initial body of the person in it.

    Args:
        path: the video.
        options: what to use of it, and what is known.
        cache_dir: where intermediate results are kept; a rerun with other settings repeats only what they touch.
        body: the body to fit; None is the free body.
        height_m: height of the person, if known.
        progress: shows stages, frames and time left, and says what was found; None makes one.

    Returns:
        An observation without truth; with gravity and metric scale where the scene shows its ground.

    Raises:
        DiffoptError: no such file, not a video, nobody in it, the person lost for long, no background to follow, or a
            part of the installation missing.
    """
    path, cache_dir = Path(path), Path(cache_dir)
    video = open_video(path, options.start_frame, options.stop_frame, options.max_fps)
    body = body or load_body()
    span = {
        "make": _MAKE,
        "video": content_hash(path),
        "span": [options.start_frame, options.stop_frame, options.max_fps],
    }
    with stage_progress() if progress is None else nullcontext(progress) as shown:
        blazepose = Path(options.blazepose) if options.blazepose else None
        person = cached(
            cache_dir,
            "keypoints",
            {**span, "max_gap_s": options.max_gap_s, "blazepose": options.blazepose},
            PersonTrack,
            lambda: track_person(video, BlazePose(blazepose), options.max_gap_s, shown),
        )
        clean = clean_track(person, video.fps, video.width, video.height)
        scene_key = {**span, "blazepose": options.blazepose, "scene_points": options.camera.scene_points}
        tracks = cached(
            cache_dir, "scene", scene_key, Tracks,
            lambda: track_scene(video, person, options.camera.scene_points, shown),
        )  # fmt: skip
        camera_key = {**scene_key, "camera": asdict(options.camera)}
        camera = cached(
            cache_dir, "camera", camera_key, CameraPath,
            lambda: solve_camera(tracks, video.num_frames, video.width, video.height, options.camera, shown),
        )  # fmt: skip
        focal = np.full(video.num_frames, camera.focal_px, dtype=np.float32)
        center = np.tile(np.array([video.width, video.height], dtype=np.float32) / 2, (video.num_frames, 1))
        initial = cached(
            cache_dir, "body", {**camera_key, "body": asdict(options.body), "model": body.name}, InitialBody,
            lambda: fit_body(body, clean, focal, center, video.fps, options.body, shown),
        )  # fmt: skip
        if height_m is not None:
            initial = _of_height(initial, body, height_m)
        ground = _ground_under(body, initial, camera, clean.frame_valid)
        shown.console.print(_summary(video, clean, camera, initial, ground), highlight=False)
    return Observation(
        name=path.stem,
        fps=video.fps,
        image_size_px=np.array([video.width, video.height]),
        keypoint_set="blazepose33",
        keypoints_px=clean.keypoints_px,
        confidence=clean.confidence,
        frame_valid=clean.frame_valid,
        body_model=body.name,
        body_pose=initial.body_pose,
        global_orient_c=initial.global_orient_c,
        transl_c=initial.transl_c,
        betas=initial.betas,
        rotation_w2c=camera.rotation_w2c,
        translation_w2c=camera.translation_w2c * np.float32(1.0 if ground is None else ground.scale),
        focal_px=focal,
        center_px=center,
        camera_scale="unknown" if ground is None else "metric",
        gravity_w=None if ground is None else ground.down_w,
        height_m=height_m,
        camera_trust="static" if camera.kind == "static" else "estimated",
        provenance=json.dumps(_provenance(path, video, options, clean, camera, initial, ground)),
    )


def stage_progress() -> Progress:
    """One line per stage: what, how many of how many, time passed and left."""
    return Progress(
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )


def _of_height(initial: InitialBody, body: BodyModel, height_m: float) -> InitialBody:
    sized = resize(body, torch.as_tensor(initial.betas), torch.as_tensor(initial.transl_c), height_m)
    return replace(initial, betas=sized.betas.numpy(), transl_c=sized.transl_c.numpy())


def _ground_under(
    body: BodyModel, initial: InitialBody, camera: CameraPath, frame_valid: Bool[ndarray, "T"]
) -> Ground | None:
    """The ground of the scene under the initial bodies, in the camera's world."""
    motion = Motion.from_axis_angle(
        torch.as_tensor(initial.body_pose), torch.as_tensor(initial.global_orient_c), torch.as_tensor(initial.transl_c)
    )
    betas = torch.as_tensor(initial.betas)
    landmarks_c = body.landmarks(motion.body_pose, motion.global_orient, motion.transl, betas).double().numpy()
    rotation = camera.rotation_w2c.astype(np.float64)
    joints_w = np.einsum("tji,tkj->tki", rotation, landmarks_c[:, :24])
    pelvis_w = joints_w[:, 0]
    # A first guess, as good for the ground as any: the recipe's own, which asks again, is not known here.
    trust = frame_valid.astype(np.float64)
    up_w = up_from_bodies(joints_w - pelvis_w[:, None], trust, pelvis_w, rotation, GravityOptions())
    # From the skin of heel and toe down to the ground.
    down_c = -(rotation @ up_w)[:, None] * body.sole_heights(betas).double().numpy()[:, None]
    return find_ground(
        camera.points_w.astype(np.float64),
        rotation,
        camera.translation_w2c.astype(np.float64),
        landmarks_c[:, FOOT_POINTS] + down_c,
        up_w,
        frame_valid,
    )


def _summary(video: Video, clean: CleanTrack, camera: CameraPath, initial: InitialBody, ground: Ground | None) -> str:
    focal = f"focal {camera.focal_px:.0f} px {camera.focal_source}"
    if camera.focal_source == "found":
        focal += f" (±{camera.focal_spread:.0%})"
    floor = "no ground seen in the scene: scale and gravity come from the person"
    if ground is not None:
        floor = f"ground seen by {ground.points} points: gravity and scale are taken from it (±{ground.spread:.1%})"
    return (
        f"{video.num_frames} frames at {video.fps:.4g} Hz, {video.width}x{video.height}; person seen in "
        f"{clean.frame_valid.mean():.0%}, left and right exchanged in {clean.swapped_frames}\n"
        f"camera {camera.kind}: {camera.reason}; {focal}\n"
        f"{floor}\n"
        f"initial body {initial.residual_px:.1f} px from its keypoints (median)"
    )


def _provenance(
    path: Path,
    video: Video,
    options: FrontendOptions,
    clean: CleanTrack,
    camera: CameraPath,
    initial: InitialBody,
    ground: Ground | None,
) -> dict[str, object]:
    return {
        "made_by": f"diffopt prepare {version('diffopt')}",
        "video": str(path.resolve()),
        "clock": video.source_rate,
        "span": [options.start_frame, options.start_frame + video.num_frames],
        "keypoints": "BlazePose full (mediapipe's network files)",
        "swapped_frames": clean.swapped_frames,
        "rejected_keypoints": clean.rejected_keypoints,
        "camera": camera.kind,
        "camera_reason": camera.reason,
        "camera_frames_interpolated": camera.unplaced,
        "focal": camera.focal_source,
        "focal_log_spread": camera.focal_spread if np.isfinite(camera.focal_spread) else None,
        "ground": None if ground is None else {"points": ground.points, "log_scale_spread": ground.spread},
        "body": "inverse kinematics on landmarks and keypoints",
        "body_residual_px": initial.residual_px,
        "options": asdict(options),
    }
