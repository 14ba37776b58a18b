"""How the camera moved: not at all, by turning, or through space; decided by what the background shows.

Each answer is the simplest that explains the tracks. A camera that stands still leaves them where they are. One that
only turns moves all of them as directions on a sphere, whatever their distance. What is left has parallax, and only
then does structure from motion have a baseline to work with.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from rich.progress import Progress

from diffopt.bounds import at_least, fraction, positive
from diffopt.errors import DiffoptError
from diffopt.frontend.rotation import Turning, solve_turning
from diffopt.frontend.sfm import solve_travel
from diffopt.frontend.tracks import Tracks

KINDS = ("static", "turning", "travelling")


@dataclass
class CameraOptions:
    """How the camera is found."""

    motion: str = "auto"
    """`auto`, or what is known of it: `static`, `turning` (pan, tilt, tripod), `travelling`."""
    focal_px: float | None = positive(None)
    """Known focal length, pixels of the video; None to find or assume it."""
    scene_points: int = at_least(1, 800)
    """Points of the background followed at a time."""
    usual_focal: float = positive(0.9)
    """Focal length of an unknown camera, in longer sides of its picture. Phones film at 0.75 to 0.9, camcorders at 1
    and more; three clips whose focal length is known lie at 0.875, 0.875 and 0.93."""
    usual_focal_spread: float = positive(0.3)
    """Standard deviation of its logarithm over the cameras that people film with: from wide phones (0.67) to short
    telephoto lenses (1.2). Judgement."""
    focal_dependence: float = at_least(1, 3.0)
    """The spread of a turning camera's focal length is taken to be this much larger than its residuals say, since blur
    and distortion are shared by all points; on three real pans it then covers the error twice over."""
    still_px: float = positive(1.0)
    """A camera stands if points followed through the clip stay within this many working pixels; a tripod's picture
    moves by 0.1."""
    turning_px: float = positive(0.5)
    """A camera turns if what rotation explains is left with less than this error, working pixels ..."""
    turning_explained: float = fraction(0.9)
    """... and is more than this share of the tracks. Real pans leave 0.2 px and explain 98 %; travelling leaves 0.7 px
    and explains 75 % at best."""


@dataclass(frozen=True)
class CameraPath:
    """The camera in a world of its own, whose first frame of a static or turning camera is the identity."""

    kind: str
    reason: str
    """Why it was taken to be that kind, in words and figures."""
    focal_source: str
    """`given`, `found` or `assumed`."""
    focal_spread: float
    """Standard deviation of log focal by the evidence alone; infinite where there is none, 0 where it was given."""
    rotation_w2c: Float[ndarray, "T 3 3"]
    translation_w2c: Float[ndarray, "T 3"]
    """In a scale of its own; 0 unless travelling."""
    focal_px: float
    points_w: Float[ndarray, "P 3"]
    """Points of the scene; empty unless travelling."""
    unplaced: int
    """Frames whose pose is only interpolated."""


def solve_camera(
    tracks: Tracks, frames: int, width: int, height: int, options: CameraOptions, progress: Progress
) -> CameraPath:
    """The camera of a clip from the tracks of its background.

    Raises:
        DiffoptError: an unknown `motion`, or tracks too few to follow the camera.
    """
    if options.motion not in ("auto", *KINDS):
        raise DiffoptError(
            f"frontend.camera.motion is '{options.motion}'; expected one of auto, {', '.join(KINDS)}; use one of these."
        )
    center = np.array([width, height]) / 2
    refine = options.focal_px is None
    usual = options.usual_focal * max(width, height) if options.focal_px is None else options.focal_px
    extent = track_extent(tracks, frames)
    still = f"background points stay within {extent:.2f} px"
    if options.motion == "static" or (options.motion == "auto" and extent < options.still_px):
        source = "assumed" if refine else "given"
        return _standing("static", still, source, np.inf if refine else 0.0, np.tile(np.eye(3), (frames, 1, 1)), usual)

    task = progress.add_task("camera", total=None)
    turning = None
    if options.motion != "travelling":
        turning = solve_turning(tracks, frames, usual, center, refine)
        fits = f"rotation alone explains {turning.explained:.0%} of the background to {turning.residual_px:.2f} px"
        if options.motion == "turning" or (
            turning.residual_px < options.turning_px and turning.explained > options.turning_explained
        ):
            progress.update(task, total=1, completed=1)
            return _turned(turning, tracks, center, usual, options, fits)
    travel = solve_travel(tracks, frames, (width, height), usual, options.usual_focal_spread, refine)
    progress.update(task, total=1, completed=1)
    if travel is None and turning is not None:
        reason = f"structure from motion found no model; {fits}, so parallax is ignored: trust this camera little"
        return _turned(turning, tracks, center, usual, options, reason)
    if travel is None:
        raise DiffoptError(
            "The camera's path was not found: structure from motion registers fewer than half of the keyframes; "
            "expected a textured background with parallax; leave frontend.camera.motion=auto, or bring the camera in "
            "an observation file."
        )
    why = f"only {turning.explained:.0%} explained by rotation" if turning else "as told"
    return CameraPath(
        kind="travelling",
        reason=f"{why}; {travel.keyframes} keyframes, {len(travel.points_w)} points fit to {travel.residual_px:.2f} px",
        focal_source="found" if refine else "given",
        focal_spread=travel.focal_spread,
        rotation_w2c=travel.rotation_w2c,
        translation_w2c=travel.translation_w2c,
        focal_px=travel.focal_px,
        points_w=travel.points_w,
        unplaced=int((~travel.registered).sum()),
    )


def track_extent(tracks: Tracks, frames: int) -> float:
    """How far a typical background point wanders, working pixels: the diagonal of the box about its track.

    Only the quarter of the points that is followed longest counts: a slow pan shows over time.
    """
    if not len(tracks.point):
        raise DiffoptError(
            "No point of the background can be followed; expected some texture beside the person; the camera cannot be "
            "found from this video: set frontend.camera.motion=static if it stands, or bring the camera in an "
            "observation file."
        )
    count = max(len(tracks.point) // frames // 4, 10)
    longest = tracks.longest(count, 2)
    order = np.argsort(longest.point, kind="stable")
    starts = np.flatnonzero(np.diff(longest.point[order], prepend=-1))
    places = longest.xy_px[order]
    box = np.maximum.reduceat(places, starts) - np.minimum.reduceat(places, starts)
    return float(np.median(np.linalg.norm(box, axis=1)) / tracks.pixel)


def _turned(
    turning: Turning, tracks: Tracks, center_px: Float[ndarray, "2"], usual: float, options: CameraOptions, reason: str
) -> CameraPath:
    """The turning camera with its focal length drawn towards the usual one as far as the turn leaves it open."""
    if options.focal_px is not None:
        return _standing("turning", reason, "given", 0.0, turning.rotation_w2c, usual)
    spread = options.focal_dependence * turning.focal_spread
    evidence, prior = spread**-2, options.usual_focal_spread**-2
    settled = float(np.exp((evidence * np.log(turning.focal_px) + prior * np.log(usual)) / (evidence + prior)))
    source = "found" if spread < options.usual_focal_spread else "assumed"
    # The same picture motion is a smaller angle for a longer lens: the rotations belong to their focal length.
    rotation = turning.rotation_w2c
    if abs(np.log(settled / turning.focal_px)) > 1e-3:
        rotation = solve_turning(tracks, len(rotation), settled, center_px, False).rotation_w2c
    return _standing("turning", reason, source, spread, rotation, settled)


def _standing(
    kind: str, reason: str, source: str, spread: float, rotation: Float[ndarray, "T 3 3"], focal: float
) -> CameraPath:
    return CameraPath(
        kind=kind,
        reason=reason,
        focal_source=source,
        focal_spread=spread,
        rotation_w2c=rotation,
        translation_w2c=np.zeros((len(rotation), 3)),
        focal_px=float(focal),
        points_w=np.zeros((0, 3)),
        unplaced=0,
    )
