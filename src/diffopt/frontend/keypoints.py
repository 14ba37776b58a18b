"""One person through a whole video: keypoints, landmarks and mask of every frame in which that person is seen."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8
from numpy import ndarray
from rich.progress import Progress

from diffopt.errors import DiffoptError
from diffopt.frontend.blazepose import KEYPOINTS, BlazePose
from diffopt.frontend.video import Video

MASK_SIDE_PX = 320
"""Masks are kept with this many pixels along the longer side: enough to keep the person out of the camera's tracks."""
_LOST_SCORE = 0.5


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
    roi = None
    for frame, picture in enumerate(progress.track(video.frames(), total=total, description="keypoints")):
        pose = blazepose.read(picture, roi) if roi is not None else None
        if pose is None or pose.score < _LOST_SCORE:
            roi = blazepose.find(picture)
            pose = blazepose.read(picture, roi) if roi is not None else None
        if roi is None or pose is None or pose.score < _LOST_SCORE:
            roi = None
            continue
        track.keypoints_px[frame] = pose.keypoints_px
        track.visibility[frame] = pose.visibility
        track.landmarks_c[frame] = pose.landmarks_c
        track.crop_center_px[frame] = pose.crop_center_px
        track.crop_side_px[frame] = roi.side_px
        track.masks[frame] = np.packbits(pose.mask[np.ix_(rows, columns)])
        track.seen[frame] = True
        roi = pose.next_roi
    _check_seen(video, track.seen, max_gap_s)
    return track


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
