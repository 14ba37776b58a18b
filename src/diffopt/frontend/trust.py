"""Whether what was read of somebody is enough to fit a motion to."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from diffopt.frontend.keypoints import PersonTrack
from diffopt.frontend.video import Video

MIN_SEEN_S = 1.0
"""Of less, nothing about a path can be said."""
_MIN_READ = 0.5
_MIN_SIDE_PX = 40.0


def doubt(
    track: PersonTrack, span: tuple[int, int] | None, boxes_px: Float[ndarray, "T 4"], video: Video
) -> str | None:
    """What speaks against a fit, in words; None where nothing does.

    Args:
        track: what was read of the person.
        span: the longest stretch without a long gap; None where nothing was read.
        boxes_px: where the person was followed; NaN elsewhere.
        video: the frames.
    """
    if span is None:
        return "the body cannot be read in any frame"
    part = track.part(*span)
    read, followed = int(part.seen.sum()), int(np.isfinite(boxes_px[slice(*span), 0]).sum())
    seconds = (span[1] - span[0]) / video.fps
    if seconds < MIN_SEEN_S and span[1] - span[0] < video.num_frames:
        return f"seen for {seconds:.1f} s at most; expected {MIN_SEEN_S:g} s"
    if read < _MIN_READ * followed or read < 2:
        return f"the body can be read in {read} of {followed} frames only; expected more than {_MIN_READ:.0%}"
    side = float(np.median(part.crop_side_px[part.seen]))
    if side < _MIN_SIDE_PX:
        return f"{side:.0f} pixels high; expected {_MIN_SIDE_PX:.0f}"
    return None
