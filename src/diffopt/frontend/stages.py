"""The stages from a video to observations; each kept on disk for the next run."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from numpy import ndarray
from rich.progress import Progress

from diffopt.body.keypoints import FOOT_POINTS
from diffopt.body.model import BodyModel
from diffopt.body.stature import resize
from diffopt.errors import DiffoptError
from diffopt.frontend.blazepose import BlazePose
from diffopt.frontend.cache import cached
from diffopt.frontend.camera import CameraPath, solve_camera
from diffopt.frontend.cleaning import CleanTrack, clean_track
from diffopt.frontend.contact_sheet import write_contact_sheet
from diffopt.frontend.finders import FINDERS
from diffopt.frontend.ground import Ground, find_ground
from diffopt.frontend.inverse_kinematics import InitialBody, fit_body
from diffopt.frontend.keypoints import PersonTrack, track_person
from diffopt.frontend.options import FrontendOptions
from diffopt.frontend.people import People, find_people
from diffopt.frontend.thunder import THUNDER, Thunder
from diffopt.frontend.tracks import Tracks, track_scene
from diffopt.frontend.video import Video, content_hash
from diffopt.initialisation.gravity import up_from_bodies
from diffopt.initialisation.options import GravityOptions
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation

_MAKE = 6
"""Counted up whenever a stage starts to answer differently: what older versions kept is then built anew."""
_NEAR = 0.5
"""Whoever is smaller, in heights of the one who is fitted, is far behind: they move little in the picture, and a room
full of people has little else for the camera to be known by."""


class Stages:
    """One video on its way: who is in it, how each moves, how the camera did."""

    def __init__(
        self, video: Video, options: FrontendOptions, cache_dir: Path, body: BodyModel, progress: Progress
    ) -> None:
        self.video, self.options = video, options
        self._cache_dir, self._body, self._progress = cache_dir, body, progress
        self._key: dict[str, Any] = {
            "make": _MAKE,
            "video": content_hash(video.path),
            "span": [options.start_frame, options.stop_frame, options.max_fps],
            "finders": FINDERS,
            "max_gap_s": options.max_gap_s,
        }
        self._read_key = {**self._key, "blazepose": options.blazepose, "thunder": THUNDER}

    def say(self, text: str) -> None:
        self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def refusal(self, found: str, people: People, person: int | None, sheet: Path, mend: str) -> DiffoptError:
        """Why nothing is fitted, with everybody drawn to choose from."""
        write_contact_sheet(sheet, self.video, people, self.options.start_frame, person)
        return DiffoptError(f"{self.video.path}: {found}. See {sheet} and choose {mend}.")

    def people(self) -> People:
        """Everybody."""
        return cached(
            self._cache_dir, "people", self._key, People,
            lambda: find_people(self.video, self.options.max_gap_s, self._progress),
        )  # fmt: skip

    def read(self, people: People, person: int) -> PersonTrack:
        """Keypoints, landmarks and masks of somebody."""
        blazepose = self.options.blazepose
        boxes = people.boxes(person, self.video.num_frames)
        others = people.others(person, self.video.num_frames)
        return cached(
            self._cache_dir, "keypoints", {**self._read_key, "person": person}, PersonTrack,
            lambda: track_person(
                self.video, BlazePose(Path(blazepose) if blazepose else None), Thunder(), boxes, others,
                self._progress, f"person {person}",
            ),
        )  # fmt: skip

    def observe(
        self, people: People, tracks: Mapping[int, PersonTrack], span: tuple[int, int], height_m: float | None
    ) -> dict[int, Observation]:
        """Observations of those who were read, with one camera, which nobody in the picture had a say in."""
        video, options = self.video.part(*span), self.options
        parts = {person: track.part(*span) for person, track in tracks.items()}
        clean = {person: clean_track(part, video.fps, video.width, video.height) for person, part in parts.items()}
        key = {**self._read_key, "stretch": span, "read": sorted(parts)}
        tall = _NEAR * max(people.height_px(person) for person in parts)
        others = [k for k in range(1, people.count + 1) if k not in parts and people.height_px(k) > tall]
        boxes = [people.boxes(person, self.video.num_frames)[slice(*span)] for person in others]
        scene = cached(
            self._cache_dir, "scene", {**key, "scene_points": options.camera.scene_points}, Tracks,
            lambda: track_scene(
                video, list(parts.values()), np.reshape(boxes, (-1, video.num_frames, 4)), options.camera.scene_points,
                self._progress,
            ),
        )  # fmt: skip
        key["camera"] = asdict(options.camera)
        camera = cached(
            self._cache_dir, "camera", key, CameraPath,
            lambda: solve_camera(
                scene, video.num_frames, video.width, video.height, options.camera, self._progress
            ),
        )  # fmt: skip
        initial = {person: self._body_of(key, person, clean[person], camera, video, height_m) for person in parts}
        ground = _first_ground(self._body, initial, camera, clean)
        self.say(_scene_summary(video, camera, ground))
        for person in parts:
            self.say(_person_summary(person, clean[person], initial[person]))
        return {
            person: self._observation(
                people, person, video, span[0], camera, clean[person], initial[person], ground, height_m
            )
            for person in parts
        }

    def _body_of(
        self, key: dict[str, Any], person: int, clean: CleanTrack, camera: CameraPath, video: Video,
        height_m: float | None,
    ) -> InitialBody:  # fmt: skip
        focal, center = _lens(video, camera)
        body_key = {**key, "person": person, "body": asdict(self.options.body), "model": self._body.fingerprint()}
        initial = cached(
            self._cache_dir, "body", body_key, InitialBody,
            lambda: fit_body(self._body, clean, focal, center, video.fps, self.options.body, self._progress),
        )  # fmt: skip
        return initial if height_m is None else _of_height(initial, self._body, height_m)

    def _observation(
        self, people: People, person: int, video: Video, offset: int, camera: CameraPath, clean: CleanTrack,
        initial: InitialBody, ground: Ground | None, height_m: float | None,
    ) -> Observation:  # fmt: skip
        focal, center = _lens(video, camera)
        start = self.options.start_frame + offset
        notes = {
            "span": [start, start + video.num_frames],
            "person": person,
            "people": people.count,
            **_provenance(video, camera, clean, initial, ground),
            "options": asdict(self.options),
        }
        return Observation(
            name=video.path.stem,
            fps=video.fps,
            image_size_px=np.array([video.width, video.height]),
            keypoint_set="blazepose33",
            keypoints_px=clean.keypoints_px,
            confidence=clean.confidence,
            frame_valid=clean.frame_valid,
            body_model=self._body.name,
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
            provenance=json.dumps(notes),
        )


def _lens(video: Video, camera: CameraPath) -> tuple[ndarray, ndarray]:
    focal = np.full(video.num_frames, camera.focal_px, dtype=np.float32)
    return focal, np.tile(np.array([video.width, video.height], dtype=np.float32) / 2, (video.num_frames, 1))


def _of_height(initial: InitialBody, body: BodyModel, height_m: float) -> InitialBody:
    sized = resize(body, torch.as_tensor(initial.betas), torch.as_tensor(initial.transl_c), height_m)
    return replace(initial, betas=sized.betas.numpy(), transl_c=sized.transl_c.numpy())


def _first_ground(
    body: BodyModel,
    initial: Mapping[int, InitialBody],
    camera: CameraPath,
    clean: Mapping[int, CleanTrack],
) -> Ground | None:
    """The ground under whoever is seen longest of those who stand on it: all have one world and one scale."""
    for person in sorted(initial, key=lambda one: -int(clean[one].frame_valid.sum())):
        ground = _ground_under(body, initial[person], camera, clean[person].frame_valid)
        if ground is not None:
            return ground
    return None


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


def _scene_summary(video: Video, camera: CameraPath, ground: Ground | None) -> str:
    focal = f"focal {camera.focal_px:.0f} px {camera.focal_source}"
    if camera.focal_source == "found":
        focal += f" (±{camera.focal_spread:.0%})"
    floor = "no ground seen in the scene: scale and gravity come from the person"
    if ground is not None:
        floor = f"ground seen by {ground.points} points: gravity and scale are taken from it (±{ground.spread:.1%})"
    return (
        f"{video.num_frames} frames at {video.fps:.4g} Hz, {video.width}x{video.height}\n"
        f"camera {camera.kind}: {camera.reason}; {focal}\n{floor}"
    )


def _person_summary(person: int, clean: CleanTrack, initial: InitialBody) -> str:
    return (
        f"person {person} seen in {clean.frame_valid.mean():.0%}, left and right exchanged in {clean.swapped_frames}; "
        f"initial body {initial.residual_px:.1f} px from the keypoints (median)"
    )


def _provenance(
    video: Video, camera: CameraPath, clean: CleanTrack, initial: InitialBody, ground: Ground | None
) -> dict[str, object]:
    return {
        "made_by": f"diffopt prepare {version('diffopt')}",
        "video": str(video.path.resolve()),
        "clock": video.source_rate,
        "finders": ", ".join(FINDERS),
        "keypoints": f"BlazePose full (mediapipe's network files), {THUNDER}",
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
    }
