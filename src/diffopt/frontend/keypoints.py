"""One person through a whole video: keypoints, landmarks and mask of every frame in which that person can be read."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from rich.progress import Progress

from diffopt.frontend.blazepose import KEYPOINTS, BlazePose, Pose, Roi
from diffopt.frontend.boxes import enlarged, overlap
from diffopt.frontend.fusion import fuse
from diffopt.frontend.thunder import Thunder
from diffopt.frontend.video import Video

MASK_SIDE_PX = 320
"""Masks are kept with this many pixels along the longer side: enough to keep the person out of the camera's tracks."""
_LOST_SCORE, _VISIBLE = 0.3, 0.3
_LOOK_AROUND, _BOX_MARGIN, _GREY_FROM = 0.15, 1.25, 0.1
_BODY_MARGIN, _SAME_BODY = 0.05, 0.4
"""Skin and clothes stand out beyond the keypoints; from this overlap on, a body and a box are one person's."""


@dataclass(frozen=True)
class PersonTrack:
    """What the detectors saw, before any cleaning; NaN and zeros where `seen` is False."""

    keypoints_px: Float[ndarray, "T 33 2"]
    visibility: Float[ndarray, "T 33"]
    landmarks_c: Float[ndarray, "T 33 3"]
    """Metres about the middle of the hips, as seen by a camera that looks at `crop_center_px`."""
    crop_center_px: Float[ndarray, "T 2"]
    crop_side_px: Float[ndarray, "T"]
    """Side of the square about the whole body: the person's size in the picture."""
    seen: Bool[ndarray, "T"]
    exchanged: Bool[ndarray, "T 2"]
    """Of arms and legs: left and right had been exchanged, which is undone."""
    masks: UInt8[ndarray, "T B"]
    """The person's pixels, packed to bits."""
    mask_height: int
    mask_width: int

    def mask(self, frame: int) -> Bool[ndarray, "h w"]:
        size = self.mask_height * self.mask_width
        bits = np.unpackbits(self.masks[frame], count=size)
        return bits.reshape(self.mask_height, self.mask_width).astype(bool)

    def part(self, start: int, stop: int) -> "PersonTrack":
        """Some of the frames."""
        arrays = {name: value[start:stop] for name, value in vars(self).items() if isinstance(value, ndarray)}
        return replace(self, **arrays)


def stretches(seen: Bool[ndarray, "T"], max_gap: float) -> list[tuple[int, int]]:
    """Spans of frames in which somebody is never out of sight for more than `max_gap` frames, the longest first.

    Up to as many frames before the first sight and after the last one belong to them.
    """
    at = np.flatnonzero(seen)
    cuts = np.flatnonzero(np.diff(at) - 1 > max_gap) + 1
    spans = [(int(run[0]), int(run[-1]) + 1) for run in np.split(at, cuts) if len(run)]
    if spans and spans[0][0] <= max_gap:
        spans[0] = (0, spans[0][1])
    if spans and len(seen) - spans[-1][1] <= max_gap:
        spans[-1] = (spans[-1][0], len(seen))
    return sorted(spans, key=lambda span: span[0] - span[1])


def track_person(
    video: Video,
    blazepose: BlazePose,
    thunder: Thunder,
    boxes_px: Float[ndarray, "T 4"],
    others_px: Float[ndarray, "P T 4"],
    progress: Progress,
    description: str,
) -> PersonTrack:
    """Read one person where that one was followed.

    Args:
        video: the frames.
        blazepose: the reader of keypoints, landmarks and mask.
        thunder: the second opinion on keypoints.
        boxes_px: about the person; NaN in frames in which nobody is looked for.
        others_px: about everybody else.
        progress: shows the frames done.
        description: what to show them under.
    """
    total = video.num_frames
    shrink = MASK_SIDE_PX / max(video.width, video.height)
    shape = (max(round(video.height * shrink), 1), max(round(video.width * shrink), 1))
    rows = np.minimum((np.arange(shape[0]) + 0.5) / shrink, video.height - 1).astype(int)
    columns = np.minimum((np.arange(shape[1]) + 0.5) / shrink, video.width - 1).astype(int)
    track = PersonTrack(
        keypoints_px=np.full((total, KEYPOINTS, 2), np.nan),
        visibility=np.zeros((total, KEYPOINTS)),
        landmarks_c=np.full((total, KEYPOINTS, 3), np.nan),
        crop_center_px=np.full((total, 2), np.nan),
        crop_side_px=np.full(total, np.nan),
        seen=np.zeros(total, dtype=bool),
        exchanged=np.zeros((total, 2), dtype=bool),
        masks=np.zeros((total, (shape[0] * shape[1] + 7) // 8), dtype=np.uint8),
        mask_height=shape[0],
        mask_width=shape[1],
    )
    roi = None
    for frame, picture in enumerate(progress.track(video.frames(), total=total, description=description)):
        box, reading = boxes_px[frame], None
        if not np.isnan(box).any():
            reading = _read(blazepose, thunder, picture, box, others_px[:, frame], roi)
        if reading is None:
            roi = None
            continue
        roi, pose, track.exchanged[frame] = reading
        track.keypoints_px[frame] = pose.keypoints_px
        track.visibility[frame] = pose.visibility
        track.landmarks_c[frame] = pose.landmarks_c
        track.crop_center_px[frame] = pose.crop_center_px
        track.crop_side_px[frame] = roi.side_px
        track.masks[frame] = np.packbits(pose.mask[np.ix_(rows, columns)])
        track.seen[frame] = True
        roi = pose.next_roi
    return track


def _read(
    blazepose: BlazePose,
    thunder: Thunder,
    picture: UInt8[ndarray, "H W 3"],
    box_px: Float[ndarray, "4"],
    others_px: Float[ndarray, "P 4"],
    before: Roi | None,
) -> tuple[Roi, Pose, Bool[ndarray, "2"]] | None:
    """The first look that shows the box's person; a reader takes whoever is in front, unless that one is hidden."""
    views = [picture]
    near = others_px[overlap(enlarged(box_px[None], _LOOK_AROUND), np.nan_to_num(others_px))[0] > 0]
    if len(near):
        views.append(_without(picture, box_px, near))
    for shown in views:
        for roi in _regions(blazepose, shown, box_px, before):
            pose = blazepose.read(shown, roi)
            if _credible(roi, pose) and _fits(pose.keypoints_px, pose.visibility, box_px):
                # With nobody else to be seen: Thunder knows no region of the frame before to hold on to.
                points = thunder.read(views[-1], _about(box_px))
                if not _fits(points.keypoints_px, points.scores, box_px):
                    return roi, pose, np.zeros(2, dtype=bool)
                return roi, *fuse(pose, points, roi.side_px)
    return None


def _regions(
    blazepose: BlazePose, picture: UInt8[ndarray, "H W 3"], box_px: Float[ndarray, "4"], before: Roi | None
) -> Iterator[Roi]:
    """Where the last frame pointed, what is found in the box, all of the box."""
    if before is not None:
        yield before
    found = _find(blazepose, picture, box_px)
    if found is not None:
        yield found
    yield _about(box_px)


def _without(
    picture: UInt8[ndarray, "H W 3"], box_px: Float[ndarray, "4"], others_px: Float[ndarray, "P 4"]
) -> UInt8[ndarray, "H W 3"]:
    """The picture with others greyed outside of the person's box."""
    shown = picture.copy()
    boxes = np.concatenate([others_px, enlarged(box_px[None], _GREY_FROM)]).clip(0).astype(int).tolist()
    for x0, y0, x1, y1 in boxes[:-1]:
        shown[y0:y1, x0:x1] = 128
    x0, y0, x1, y1 = boxes[-1]
    shown[y0:y1, x0:x1] = picture[y0:y1, x0:x1]
    return shown


def _find(blazepose: BlazePose, picture: UInt8[ndarray, "H W 3"], box_px: Float[ndarray, "4"]) -> Roi | None:
    """The person by the finder that also sees how a body is turned, in the box alone."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = enlarged(box_px[None], _LOOK_AROUND)[0].clip(0, [width, height, width, height]).astype(int)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    roi = blazepose.find(np.ascontiguousarray(picture[y0:y1, x0:x1]))
    return None if roi is None else replace(roi, center_px=roi.center_px + np.array([x0, y0]))


def _about(box_px: Float[ndarray, "4"]) -> Roi:
    return Roi((box_px[:2] + box_px[2:]) / 2, _BOX_MARGIN * float(np.max(box_px[2:] - box_px[:2])), 0.0)


def _fits(keypoints_px: Float[ndarray, "K 2"], certainty: Float[ndarray, "K"], box_px: Float[ndarray, "4"]) -> bool:
    """Whether the body read is the box's, and not that of a neighbour; limbs out of the picture have no say."""
    sure = keypoints_px[certainty > _VISIBLE]
    if len(sure) < 2:
        return False
    body = np.concatenate([sure.min(axis=0), sure.max(axis=0)])
    return bool(overlap(enlarged(body[None], _BODY_MARGIN), box_px[None])[0, 0] > _SAME_BODY)


def _credible(roi: Roi, pose: Pose) -> bool:
    """Whether a person was read who is where, as large as and turned as the crop said, and mostly visible.

    A rucksack passes for a small person, but one whose limbs cannot be seen.
    """
    moved = float(np.linalg.norm(pose.next_roi.center_px - roi.center_px)) / roi.side_px
    grown = pose.next_roi.side_px / roi.side_px
    turned = abs(np.angle(np.exp(1j * (pose.next_roi.roll - roi.roll))))
    visible = float((pose.visibility[11:] > _VISIBLE).mean())
    return pose.score >= _LOST_SCORE and moved < 0.3 and 0.5 < grown < 2 and bool(turned < 0.8) and visible > 0.3
