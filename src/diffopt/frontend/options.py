"""Every setting of the front end, with its unit."""

from dataclasses import dataclass, field

from diffopt.bounds import at_least, positive
from diffopt.frontend.camera import CameraOptions
from diffopt.frontend.inverse_kinematics import BodyOptions


@dataclass
class FrontendOptions:
    """From a video to an observation."""

    start_frame: int = at_least(0, 0)
    """First frame of the span to use."""
    stop_frame: int | None = at_least(1, None)
    """The frame after the last one; None means to the end."""
    max_fps: float = positive(60.0)
    """A faster video is thinned out to this rate, Hz."""
    max_gap_s: float = at_least(0, 2.0)
    """How long somebody may be out of sight, seconds; of somebody who is for longer the longest stretch is taken."""
    person: str | None = None
    """Whom to take: a number of `diffopt people`, or a point of a frame, `x,y@frame` or `x,y@1.5s`, pixels; None takes
    the one whom the film is mostly about."""
    blazepose: str | None = None
    """Folder with `pose_detection/` and `pose_landmark/`; None finds it in the installed mediapipe package."""
    camera: CameraOptions = field(default_factory=CameraOptions)
    body: BodyOptions = field(default_factory=BodyOptions)
