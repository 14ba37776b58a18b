"""One person through a whole video: keypoints, landmarks and mask of every frame in which that person is seen."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from rich.progress import Progress

from diffopt.errors import DiffoptError
from diffopt.frontend.blazepose import KEYPOINTS, BlazePose, Pose, Roi
from diffopt.frontend.video import Video

MASK_SIDE_PX = 320
"""Masks are kept with this many pixels along the longer side: enough to keep the person out of the camera's tracks."""
_LOST_SCORE, _VISIBLE = 0.5, 0.3
_SMALL = 0.8


@dataclass(frozen=True)
class PersonTrack:
    """What the detector saw, before any cleaning; NaN and zeros where `seen` is False."""

    keypoints_px: Float[ndarray, "T 33 2"]
    visibility: Float[ndarray, "T 33"]
    landmarks_c: Float[ndarray, "T 33 3"]
    """Metres about the middle of the hips, as seen by a camera that looks at `crop_center_px`."""
    crop_center_px: Float[ndarray, "T 2"]
    crop_side_px: Float[ndarray, "T"]
    """Side of the square about the whole body: the person's size in the picture."""
    seen: Bool[ndarray, "T"]
    masks: UInt8[ndarray, "T B"]
    """The person's pixels, packed to bits."""
    mask_height: int
    mask_width: int

    def mask(self, frame: int) -> Bool[ndarray, "h w"]:
        size = self.mask_height * self.mask_width
        bits = np.unpackbits(self.masks[frame], count=size)
        return bits.reshape(self.mask_height, self.mask_width).astype(bool)


def track_person(video: Video, blazepose: BlazePose, max_gap_s: float, progress: Progress) -> PersonTrack:
    """Follow the most visible person; look over the whole picture again whenever that person is lost.

    Args:
        video: the frames.
        blazepose: the detector.
        max_gap_s: how long the person may be out of sight, seconds.
        progress: shows the frames done.

    Raises:
        DiffoptError: nobody is found, or the person is lost for longer than `max_gap_s`.
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
        masks=np.zeros((total, (shape[0] * shape[1] + 7) // 8), dtype=np.uint8),
        mask_height=shape[0],
        mask_width=shape[1],
    )
    rois: dict[int, Roi] = {}

    def note(frame: int, roi: Roi, pose: Pose) -> None:
        rois[frame] = roi
        track.keypoints_px[frame] = pose.keypoints_px
        track.visibility[frame] = pose.visibility
        track.landmarks_c[frame] = pose.landmarks_c
        track.crop_center_px[frame] = pose.crop_center_px
        track.crop_side_px[frame] = roi.side_px
        track.masks[frame] = np.packbits(pose.mask[np.ix_(rows, columns)])
        track.seen[frame] = True

    roi = None
    for frame, picture in enumerate(progress.track(video.frames(), total=total, description="keypoints")):
        pose = blazepose.read(picture, roi) if roi is not None else None
        if roi is None or pose is None or not _credible(roi, pose):
            roi = blazepose.find(picture)
            pose = blazepose.read(picture, roi) if roi is not None else None
        if roi is None or pose is None or not _credible(roi, pose):
            roi = None
            continue
        note(frame, roi, pose)
        roi = pose.next_roi
    # Where the finder failed or took a part for the whole, the reader often succeeds once it is known where the person
    # was before and after.
    doubtful = _doubtful(track)
    if rois and doubtful.any():
        sure = {frame: roi for frame, roi in rois.items() if not doubtful[frame]}
        last = int(np.flatnonzero(doubtful)[-1])
        pictures = zip(range(last + 1), video.frames(), strict=False)
        for frame, picture in progress.track(pictures, total=last + 1, description="unseen"):
            if doubtful[frame]:
                roi = _between(sure, frame)
                pose = blazepose.read(picture, roi)
                # Somebody who really is smaller is read as such in the larger crop too.
                as_large = 0.8 < pose.next_roi.side_px / roi.side_px < 1.25
                if _credible(roi, pose) and (as_large or not track.seen[frame]):
                    note(frame, roi, pose)
    _check_seen(video, track.seen, max_gap_s)
    return track


def _credible(roi: Roi, pose: Pose) -> bool:
    """Whether a person was read who is where, as large as and turned as the crop said, and mostly visible.

    A rucksack passes for a small person, but one whose limbs cannot be seen.
    """
    moved = float(np.linalg.norm(pose.next_roi.center_px - roi.center_px)) / roi.side_px
    grown = pose.next_roi.side_px / roi.side_px
    turned = abs(np.angle(np.exp(1j * (pose.next_roi.roll - roi.roll))))
    visible = float((pose.visibility[11:] > _VISIBLE).mean())
    return pose.score >= _LOST_SCORE and moved < 0.3 and 0.5 < grown < 2 and bool(turned < 0.8) and visible > 0.3


def _doubtful(track: PersonTrack) -> Bool[ndarray, "T"]:
    """Frames in which nobody was seen, or somebody much smaller than in most others."""
    if not track.seen.any():
        return ~track.seen
    return ~(track.crop_side_px > _SMALL * np.median(track.crop_side_px[track.seen]))


def _between(rois: dict[int, Roi], frame: int) -> Roi:
    """Where the person should be, by the nearest frames before and after in which it is known."""
    known = np.array(sorted(rois))
    place = int(np.searchsorted(known, frame))
    before, after = (int(known[np.clip(index, 0, len(known) - 1)]) for index in (place - 1, place))
    part = (frame - before) / (after - before) if after > before else 0.0
    first, second = rois[before], rois[after]
    return Roi(
        center_px=(1 - part) * first.center_px + part * second.center_px,
        side_px=(1 - part) * first.side_px + part * second.side_px,
        roll=first.roll,
    )


def _check_seen(video: Video, seen: Bool[ndarray, "T"], max_gap_s: float) -> None:
    if seen.sum() < 2:
        raise DiffoptError(
            f"{video.path}: no person found in {len(seen)} frames ({int(seen.sum())} with one); expected one person, "
            "at least a tenth of the picture high; give another video or span (frontend.start_frame, stop_frame)."
        )
    # The spans between frames in which the person is seen, the clip's two ends included.
    marks = np.concatenate([[-1], np.flatnonzero(seen), [len(seen)]])
    longest = int(np.diff(marks).argmax())
    first, last = int(marks[longest]) + 1, int(marks[longest + 1])
    if last - first > max_gap_s * video.fps:
        raise DiffoptError(
            f"{video.path}: the person is out of sight from frame {first} to {last - 1} "
            f"({(last - first) / video.fps:.1f} s); expected gaps of at most {max_gap_s:g} s; choose a span "
            "without the gap (frontend.start_frame, stop_frame) or raise frontend.max_gap_s."
        )
