"""One person's observation from the parts that one or several files hold."""

import json
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from diffopt.body.model import BodyModel
from diffopt.errors import DiffoptError
from diffopt.formats.camera_checks import check_camera_turn, check_lens
from diffopt.formats.containers import Video
from diffopt.formats.evidence import Settings, Source, at_frames, check_all, keypoints_of
from diffopt.formats.parts import Camera, Lens, Person
from diffopt.formats.placement import (
    Placed,
    camera_between,
    fill_gaps,
    fill_rotations,
    fill_vectors,
    place_bodies,
    shape_for,
    through_lens,
    to_camera_frame,
)
from diffopt.observation.observation import Observation

MAX_LOST_FRAMES = 3
"""Tools drop a frame or two at a video's end."""


def candidates(sources: list[Source]) -> list[tuple[Source, Person]]:
    """Everyone whose body is in the files, the longest track first; the truth only where there is no one else."""
    seen = {(one.format, name): mask for one in sources for name, mask in one.contents.seen.items()}
    people = [
        (source, person.only(seen[source.format, person.name]) if (source.format, person.name) in seen else person)
        for source in sources
        for person in source.contents.people
    ]
    people = [(source, person) for source, person in people if len(person.frames)]
    if not people:
        people = [(source, source.contents.truth) for source in sources if source.contents.truth is not None]
    return sorted(people, key=lambda one: -len(one[1].frames))


def combine_settings(sources: list[Source], video: Video | None, name: str) -> Settings:
    """Frame rate and image size: the video's, else the first file's that has them.

    Raises:
        DiffoptError: no file says how large the image is.
    """
    notes: dict[str, Any] = {}
    fps = video.fps if video else next((one.contents.fps for one in sources if one.contents.fps), None)
    if fps is None:
        fps = 30.0
        notes["fps"] = "not in the files; 30 assumed"
    sizes = [one.contents.image_size_px for one in sources if one.contents.image_size_px]
    size = sizes[0] if sizes else (video.image_size_px if video else None)
    if size is None:
        raise DiffoptError(
            f"{', '.join(one.path for one in sources)}: the size of the image is in none of these files; it places the "
            "body; give the video along with them."
        )
    return Settings(float(fps), size, name, notes)


def observation_of(
    sources: list[Source], source: Source, person: Person, model: BodyModel, settings: Settings, num_frames: int
) -> Observation:
    """The observation of one person.

    Args:
        sources: all files.
        source: the file with the person's body.
        person: whom to take.
        model: the body that the observation is for.
        settings: frame rate, image size, name.
        num_frames: frames of the video.

    Returns:
        Checked: the body falls on the files' 2D.

    Raises:
        DiffoptError: it does not, or the files do not fit together; says which convention looks wrong.
    """
    notes = dict(settings.notes)
    given = _given_camera(sources, source)
    if given is not None and given[1].lens is not None:
        check_lens(given[1].lens, settings.image_size_px, given[0].path)
    old, new = _lenses(sources, source, person, given, settings, notes)
    rotation_w2c = translation_w2c = None
    own_camera = source.contents.camera
    if person.in_world:
        if own_camera is None:
            raise DiffoptError(
                f"{source.path}: the bodies are in a world but the file has no camera; expected cam_R and cam_t; "
                "take a later result of the same run."
            )
        placed = to_camera_frame(place_bodies(person.body, person.frames, model), own_camera)
        rows = np.searchsorted(own_camera.frames, person.frames)
        rotation_w2c, translation_w2c = own_camera.rotation_w2c[rows], own_camera.translation_w2c[rows]
    else:
        placed = place_bodies(person.body, person.frames, model)
    if old is not None:
        placed = through_lens(placed, _rows(old, person.frames, len(person.frames)), at_frames(new, placed.frames))
    check_all(sources, source, person, placed, new, model, settings, rotation_w2c, translation_w2c, notes)

    camera = _camera(given, source, person, placed, sources, model, num_frames, notes)
    filled, seen = fill_gaps(placed, num_frames)
    if given is not None or (own_camera is not None and not person.in_world):
        where = source.path if given is None else given[0].path
        doubt = check_camera_turn(camera.rotation_w2c, filled.global_orient, settings.fps, where)
        if doubt is not None:
            notes["camera_turn"] = doubt
    lens = at_frames(new, np.arange(num_frames))
    keypoint_set, points = keypoints_of(sources, person, filled, lens, model, notes)
    if not np.isfinite(points[..., :2]).any():
        notes["keypoints"] = "none of the detections is near the body"
    transl = filled.pelvis - _rest(model, filled.betas)
    notes |= {"files": {one.path.rsplit("/", 1)[-1]: one.format for one in sources}, "person": person.name}
    return Observation(
        name=settings.name,
        fps=settings.fps,
        image_size_px=np.asarray(settings.image_size_px),
        keypoint_set=keypoint_set,
        keypoints_px=points[..., :2],
        confidence=np.clip(points[..., 2], 0, 1),
        frame_valid=seen,
        body_model=model.name,
        body_pose=_rotvec(filled.body_pose),
        global_orient_c=_rotvec(filled.global_orient),
        transl_c=transl,
        betas=filled.betas,
        rotation_w2c=camera.rotation_w2c,
        translation_w2c=camera.translation_w2c,
        focal_px=lens.focal_px,
        center_px=lens.center_px,
        camera_scale=camera.scale,
        camera_trust=camera.trust,
        gravity_w=camera.gravity_w,
        **_truth(sources, model, num_frames),
        provenance=json.dumps(notes),
    )


def _given_camera(sources: list[Source], source: Source) -> tuple[Source, Camera] | None:
    """A camera file beside the body's."""
    for one in sources:
        if one is not source and one.contents.camera is not None and one.contents.truth is None:
            return one, one.contents.camera
    return None


def _lenses(
    sources: list[Source],
    source: Source,
    person: Person,
    given: tuple[Source, Camera] | None,
    settings: Settings,
    notes: dict[str, Any],
) -> tuple[Lens | None, Lens]:
    """The lens that the body was placed with (None: the other one), and the observation's; rows or one row for all."""
    width, height = settings.image_size_px
    diagonal = Lens(np.array([np.hypot(width, height)]), np.array([[width / 2, height / 2]]))
    own = source.contents.camera.lens if source.contents.camera else None
    from_camera = given[1].lens if given else None
    of_same_tool = from_camera if given and given[0].format == source.format else None
    truth = next((one.contents.camera.lens for one in sources if one.contents.truth and one.contents.camera), None)
    placed_with = person.lens or own or of_same_tool or diagonal
    chosen = from_camera or (None if person.depth_follows_focal else person.lens) or own or truth
    if chosen is None:
        notes["focal_px"] = "not in the files; the image's diagonal assumed"
        chosen = diagonal
    return (None if placed_with is chosen else placed_with), chosen


def _rows(lens: Lens, frames: ndarray, count: int) -> Lens:
    """A lens for a person's rows, whether it is given per row, per frame or once."""
    if len(lens.focal_px) == count:
        return lens
    return at_frames(lens, frames)


def _camera(
    given: tuple[Source, Camera] | None,
    source: Source,
    person: Person,
    placed: Placed,
    sources: list[Source],
    model: BodyModel,
    num_frames: int,
    notes: dict[str, Any],
) -> Camera:
    """The camera over all frames: a camera file's, the body file's, one from two bodies, the truth's, or a tripod."""
    own, body_frames = source.contents.camera, source.contents.num_frames
    truth = next((one.contents.camera for one in sources if one.contents.truth is not None), None)
    if given is not None:
        notes["camera"], camera = f"from {given[0].format}", given[1]
    elif own is not None:
        notes["camera"], camera = "the body file's own", own
    elif person.world is not None:
        rotation, translation = camera_between(placed, place_bodies(person.world, person.frames, model))
        notes["camera"] = "from the same body in the camera frame and in the world"
        down = np.array([0.0, -1.0, 0.0])
        camera = Camera(person.frames, rotation, translation, scale="metric", gravity_w=down)
    elif truth is not None:
        notes["camera"], camera = "the true one", truth
    else:
        notes["camera"] = "none in the files; taken as standing still"
        camera = Camera(np.arange(1), np.eye(3)[None], np.zeros((1, 3)), scale="unknown")
    counts = (given[0].contents.num_frames, body_frames) if given is not None else (None, None)
    if given is not None and counts[0] and counts[1] and abs(counts[0] - counts[1]) > MAX_LOST_FRAMES:
        raise DiffoptError(
            f"{given[0].path}: the camera covers {counts[0]} frames but the body's file {counts[1]}; expected files of "
            "one video; give those, or cut them to the same frames."
        )
    if given is not None and camera.frames[-1] < person.frames[-1] - 1:
        raise DiffoptError(
            f"{given[0].path}: the camera ends at frame {camera.frames[-1]} but the person is seen until frame "
            f"{person.frames[-1]}; expected a pose for every frame; run SLAM on the whole video (its trajectory is "
            "filled in between key frames)."
        )
    rotation = fill_rotations(camera.frames, camera.rotation_w2c, num_frames)
    # Centres move on straight lines between the known frames; translations of a turning camera do not.
    centers = -np.einsum("nji,nj->ni", camera.rotation_w2c, camera.translation_w2c)
    translation = -np.einsum("nij,nj->ni", rotation, fill_vectors(camera.frames, centers, num_frames))
    return Camera(
        np.arange(num_frames), rotation, translation, camera.scale, camera.trust, camera.lens, camera.gravity_w
    )


def _truth(sources: list[Source], model: BodyModel, num_frames: int) -> dict[str, Any]:
    source = next((one for one in sources if one.contents.truth is not None), None)
    if source is None:
        return {}
    person, camera = source.contents.truth, source.contents.camera
    assert person is not None and camera is not None and camera.lens is not None
    if len(person.frames) != num_frames:
        raise DiffoptError(
            f"{source.path}: the truth covers {len(person.frames)} frames but the other files {num_frames}; expected "
            "files of the same video; give those of one sequence."
        )
    placed = place_bodies(person.body, person.frames, model)
    betas = shape_for(person.body, model)
    return {
        "truth_body_pose": _rotvec(placed.body_pose),
        "truth_global_orient": _rotvec(placed.global_orient),
        "truth_transl": placed.pelvis - _rest(model, betas),
        "truth_betas": betas,
        "truth_rotation_w2c": camera.rotation_w2c,
        "truth_translation_w2c": camera.translation_w2c,
        "truth_focal_px": camera.lens.focal_px,
    }


def _rest(model: BodyModel, betas: Float[ndarray, "10"]) -> Float[ndarray, "3"]:
    return model.rest_joints(torch.as_tensor(betas).float())[0].double().numpy()


def _rotvec(rotations: ndarray) -> ndarray:
    return Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_rotvec().reshape(rotations.shape[:-1])
