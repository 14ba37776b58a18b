"""The scale of the given camera's travel as a posterior: under which scale do feet stand, as the prior expects?

A candidate scale s moves every foot point through the world by A_t + s C_t per second: A as the camera sees it, C the
camera's own velocity in its unit. At the right s some foot in contact nearly stands in most frames, whoever moves and
however; nothing has to be known of strides. What the prior expects of the legs (`expected_velocity`) is asked the same
way. Both profiles together are the log evidence of a grid of scales, so that several answers, and no answer, show.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from scipy.ndimage import binary_erosion, uniform_filter1d
from scipy.signal import find_peaks

from diffopt.initialisation.options import ScaleOptions

SLOWEST_M_S, FASTEST_M_S = 0.005, 30.0
"""Mean speeds of travelling cameras: below the one a scale decides nothing, above the other nobody films on foot,
horse or wheels."""
LOG_STEP = 0.02
"""Between two candidate scales."""
RIVAL, MOST_RIVALS = 0.1, 2
"""Another maximum this likely, beside the most likely one, is worth telling; and how many of them."""


@dataclass(frozen=True)
class ScalePosterior:
    """Metres per unit of the given camera translation."""

    scale: float
    """The most likely one."""
    log_error: float
    """Half of the central 68 percent interval of ln(scale)."""
    rivals: tuple[float, ...]
    """Up to two other maxima that are not much less likely, most likely first."""

    def holds(self, scale: float) -> bool:
        """Whether a scale lies within the interval."""
        return bool(abs(np.log(scale / self.scale)) <= self.log_error)


def scale_posterior(
    seen_w: Float[ndarray, "T 3"],
    centers: Float[ndarray, "T 3"],
    feet: Float[ndarray, "T F 3"],
    valid: Bool[ndarray, "T"],
    segment: Int[ndarray, "T"],
    fps: float,
    velocity: Float[ndarray, "S 3"] | None,
    least_travel_m: float,
    options: ScaleOptions,
) -> ScalePosterior:
    """How likely every scale is, from feet that stand and from the velocity that the prior expects.

    Args:
        seen_w: pelvis relative to the camera, axes of the world (y up), metres.
        centers: camera centres in the world, in the camera's own unit.
        feet: points of the soles relative to the pelvis, axes of the world, metres.
        valid: frames in which the body was seen.
        segment: which segment of the camera's trajectory a frame belongs to.
        fps: frames per second.
        velocity: what the prior expects of the root between frames, metres per second; None asks the feet alone.
        least_travel_m: how far the camera went at least.
        options: how far feet and prior are trusted.
    """
    reach = min(max(1, round(options.moved_s * fps)), len(seen_w) - 1)
    seen_step = valid[1:] & valid[:-1] & (np.diff(segment) == 0)
    # A step on either side too, since places are smoothed over three frames.
    inner = binary_erosion(seen_step, np.ones(3), border_value=True)
    spans = np.asarray(np.lib.stride_tricks.sliding_window_view(inner, reach).all(axis=1))
    extent = float(np.linalg.norm(centers - centers[0], axis=-1).max())
    pace = float(np.linalg.norm(np.diff(centers, axis=0), axis=-1).mean()) * fps
    logs = np.arange(np.log(SLOWEST_M_S / pace), np.log(FASTEST_M_S / pace), LOG_STEP)
    logs = np.append(np.log(least_travel_m / extent), logs[logs > np.log(least_travel_m / extent)])
    if not spans.any():
        return ScalePosterior(float(np.exp(logs[0])), float(np.ptp(logs)) / 2, ())
    scales = np.exp(logs)
    evidence = _standing_feet(seen_w, centers, feet, spans, reach, fps, scales, options)
    if velocity is not None:
        evidence += _expected_velocity(seen_w, centers, seen_step, fps, velocity, scales, options)
    independent = options.independent_per_s * seen_step.sum() / fps
    likely = np.exp(independent * (evidence - evidence.max()))
    share = np.cumsum(likely) / likely.sum()
    low, high = np.interp([0.16, 0.84], share, logs)
    best = int(likely.argmax())
    peak_log = logs[best]
    if 1 < best < len(logs) - 1:  # between the candidates, where a parabola has its top
        before, here, after = evidence[best - 1 : best + 2]
        peak_log += 0.5 * LOG_STEP * (before - after) / (before - 2 * here + after)
    peaks = [peak for peak in find_peaks(likely, height=RIVAL)[0] if peak != best]
    peaks.sort(key=lambda peak: -likely[peak])
    return ScalePosterior(
        scale=float(np.exp(peak_log)),
        log_error=float(np.hypot((high - low) / 2, options.drift)),
        rivals=tuple(float(scales[peak]) for peak in peaks[:MOST_RIVALS]),
    )


def _standing_feet(
    seen_w: Float[ndarray, "T 3"],
    centers: Float[ndarray, "T 3"],
    feet: Float[ndarray, "T F 3"],
    spans: Bool[ndarray, "N"],
    reach: int,
    fps: float,
    scales: Float[ndarray, "K"],
    options: ScaleOptions,
) -> Float[ndarray, "K"]:
    """Log of the share of frames in which some low foot point stands, under each scale."""

    def moved(places: ndarray) -> ndarray:
        smooth = uniform_filter1d(places, 3, axis=0, mode="nearest")
        return ((smooth[reach:] - smooth[:-reach]) * fps / reach)[spans]

    middle = slice(reach // 2, reach // 2 + len(spans))
    sight = seen_w[middle][spans]
    sight = sight / np.maximum(np.linalg.norm(sight, axis=-1, keepdims=True), 1e-6)
    height = (feet[..., 1] - feet[..., 1].min(axis=1, keepdims=True))[middle][spans]
    low = 1.0 / (1.0 + (height / options.foot_height_m) ** 2)
    body, camera = moved(seen_w[:, None] + feet), moved(centers)[:, None]
    body_along, camera_along = np.einsum("tfi,ti->tf", body, sight), np.einsum("tfi,ti->tf", camera, sight)
    # |A + s C|^2 across the line of sight, as a quadratic in s.
    fixed = (body**2).sum(-1) - body_along**2
    mixed = 2 * ((body * camera).sum(-1) - body_along * camera_along)
    square = (camera**2).sum(-1) - camera_along**2
    standing = np.empty(len(scales))
    for row, scale in enumerate(scales):
        across = (fixed + scale * mixed + scale**2 * square) / options.across_m_s**2
        along = ((body_along + scale * camera_along) / options.along_m_s) ** 2
        standing[row] = (low * np.exp(-0.5 * (across + along))).max(axis=1).mean()
    return np.log(standing + options.no_foot)


def _expected_velocity(
    seen_w: Float[ndarray, "T 3"],
    centers: Float[ndarray, "T 3"],
    seen_step: Bool[ndarray, "S"],
    fps: float,
    velocity: Float[ndarray, "S 3"],
    scales: Float[ndarray, "K"],
    options: ScaleOptions,
) -> Float[ndarray, "K"]:
    """Mean log likelihood, heavy in its tails, of the prior's word under each scale."""
    around = max(1, round(options.expected_s * fps))

    def smooth(values: ndarray) -> ndarray:
        return uniform_filter1d(values, around, axis=0, mode="nearest")[seen_step]

    def averaged(values: ndarray) -> ndarray:  # over the steps that were seen
        known = seen_step[:, None].astype(np.float64)
        return smooth(known * values) / smooth(known) / options.expected_m_s

    body, camera = averaged(np.diff(seen_w, axis=0) * fps - velocity), averaged(np.diff(centers, axis=0) * fps)
    fixed, mixed, square = (body**2).sum(-1), 2 * (body * camera).sum(-1), (camera**2).sum(-1)
    return np.array([-np.log1p(fixed + scale * mixed + scale**2 * square).mean() for scale in scales])
