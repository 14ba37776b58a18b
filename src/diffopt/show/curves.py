"""A fit in six panels: how well it meets the pixels, what the feet do, how far the camera was corrected, the losses."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy import ndarray

from diffopt.body.skeleton import JOINT_INDEX
from diffopt.files.atomic import partial_file
from diffopt.show.palette import CAMERA, FAINT, INK, LEFT, RIGHT, ROOT, SERIES, TRUTH, WARNING
from diffopt.show.scene import Scene

_SIDES = {"left": LEFT, "right": RIGHT}
_TERM_LINES = ("-", "--", ":")
"""Past the last colour, the colours come again with another line."""
_CONTACT_M_S = 0.25
"""A foot slower than this..."""
_CONTACT_M = 0.06
"""...and no higher than this over its lowest height stands."""
_DPI = 130


def write_curves(path: Path, scene: Scene) -> Path:
    """Draw the fit's diagnostics; a panel whose figures are missing says so instead.

    Args:
        path: the `.png` to write.
        scene: the result with its `diagnostics`; true foot heights, where known, are drawn dashed beside the result's.

    Returns:
        `path`.
    """
    found = scene.result.diagnostics
    figure = Figure(figsize=(14, 10), layout="constrained")
    grid = figure.subplots(3, 2)
    panels: tuple[tuple[str, Callable[[Axes, Scene, Mapping[str, Any]], str]], ...] = (
        ("Reprojection error", _reprojection),
        ("Camera correction: angle and place", _pose_correction),
        ("Foot height over the floor", _foot_height),
        ("Camera correction: scales", _scale_correction),
        ("Foot speed", _foot_speed),
        ("Losses by stage", _losses),
    )
    for axes, (title, draw) in zip(grid.flat, panels, strict=True):
        try:
            note = draw(axes, scene, found)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError):
            # Diagnostics are written by many hands and may be cut: a missing curve must not cost the other five.
            axes.clear()
            axes.set_axis_off()
            axes.text(0.5, 0.5, "not in diagnostics.json", ha="center", va="center", color=TRUTH)
            note = ""
        axes.set_title(title, loc="left", fontsize=12, fontweight="bold", color=INK)
        axes.set_title(note, loc="right", fontsize=10, color=TRUTH)
        tidy(axes)
    for axes in grid[:, 0]:
        _shade(axes, scene)
    with partial_file(path) as partial:
        figure.savefig(partial, dpi=_DPI)
    return path


def in_contact(height_m: Float[ndarray, "T"], speed_m_s: Float[ndarray, "T"]) -> Bool[ndarray, "T"]:
    """When a foot stands: slow and low."""
    return (speed_m_s < _CONTACT_M_S) & (height_m < np.nanmin(height_m) + _CONTACT_M)


def _reprojection(axes: Axes, scene: Scene, found: Mapping[str, Any]) -> str:
    error = _per_frame(scene, found["reprojection_px"])
    axes.plot(scene.seconds, error, color=ROOT, lw=1.6)
    axes.axhline(float(np.nanmedian(error)), color=TRUTH, lw=1, ls=":")
    axes.set(ylabel="px", xlabel="s", ylim=(0, None), xlim=_span(scene))
    return f"median {np.nanmedian(error):.1f} px, worst {np.nanmax(error):.1f} px"


def _foot_height(axes: Axes, scene: Scene, found: Mapping[str, Any]) -> str:
    heights = {side: _per_frame(scene, found["foot_height_m"][side]) for side in _SIDES}
    speeds = found.get("foot_speed_m_s", {})
    lowest = min(0.0, *(float(np.nanmin(height)) for height in heights.values()))
    for row, (side, color) in enumerate(_SIDES.items()):
        axes.plot(scene.seconds, 100 * heights[side], color=color, lw=1.6, label=side)
        if scene.truth is not None:
            # Both by the same point, so that the offset between a sole and a joint does not look like an error.
            joint = JOINT_INDEX[f"{side}_foot"]
            offset = heights[side] - scene.result.joints[:, joint, 1]
            axes.plot(scene.seconds, 100 * (scene.truth.joints[:, joint, 1] + offset), "--", color=color, lw=1)
        if side in speeds:
            standing = in_contact(heights[side], _per_frame(scene, speeds[side]))
            level = 100 * lowest - 2.5 - 2.2 * row
            axes.plot(scene.seconds, np.where(standing, level, np.nan), color=color, lw=5, solid_capstyle="butt")
    axes.axhline(0, color=FAINT, lw=1, zorder=0)
    axes.set(ylabel="cm", xlabel="s", xlim=_span(scene))
    _legend_above(axes)
    return "bars: foot contact" + (", dashed: truth" if scene.truth is not None else "")


def _foot_speed(axes: Axes, scene: Scene, found: Mapping[str, Any]) -> str:
    for side, color in _SIDES.items():
        axes.plot(scene.seconds, _per_frame(scene, found["foot_speed_m_s"][side]), color=color, lw=1.6, label=side)
    axes.axhline(_CONTACT_M_S, color=TRUTH, lw=1, ls=":")
    axes.set(ylabel="m/s", xlabel="s", ylim=(0, None), xlim=_span(scene))
    _legend_above(axes)
    return f"dotted: contact below {_CONTACT_M_S:g} m/s"


def _pose_correction(axes: Axes, scene: Scene, found: Mapping[str, Any]) -> str:
    rotation = _per_frame(scene, found["correction"]["rotation_deg"])
    translation = _per_frame(scene, found["correction"]["translation_m"])
    axes.plot(scene.seconds, rotation, color=ROOT, lw=1.6)
    axes.set(xlabel="s", ylim=(0, None), xlim=_span(scene))
    axes.set_ylabel("rotation, degrees", color=ROOT)
    beside = axes.twinx()
    beside.plot(scene.seconds, 100 * translation, color=CAMERA, lw=1.6)
    beside.set(ylim=(0, None))
    beside.set_ylabel("translation, cm", color=CAMERA)
    tidy(beside)
    return f"at most {np.nanmax(rotation):.2f}°, {100 * np.nanmax(translation):.1f} cm"


def _scale_correction(axes: Axes, scene: Scene, found: Mapping[str, Any]) -> str:
    focal = _per_frame(scene, found["correction"]["focal_scale"])
    translation = _per_frame(scene, found["correction"]["translation_scale"])
    axes.plot(scene.seconds, 100 * (focal - 1), color=ROOT, lw=1.6, label="focal length")
    axes.plot(scene.seconds, 100 * (translation - 1), color=CAMERA, lw=1.6, label="translation")
    axes.axhline(0, color=FAINT, lw=1, zorder=0)
    axes.set(ylabel="change, %", xlabel="s", xlim=_span(scene))
    _legend_above(axes)
    return ""


def _losses(axes: Axes, scene: Scene, found: Mapping[str, Any]) -> str:
    losses = found["losses"]
    terms = list(dict.fromkeys(term for stage in losses.values() for term in stage))
    if not terms:
        raise KeyError("losses")
    styles = {
        term: (SERIES[number % len(SERIES)], _TERM_LINES[number // len(SERIES) % len(_TERM_LINES)])
        for number, term in enumerate(terms)
    }
    labelled: set[str] = set()
    for number, (stage, curves) in enumerate(losses.items()):
        steps = [step for curve in curves.values() for step, _ in curve]
        if number % 2:
            axes.axvspan(min(steps), max(steps), color=INK, alpha=0.045, lw=0)
        middle = (min(steps) + max(steps)) / 2
        axes.text(
            middle,
            0.03,
            stage.replace("_", " "),
            transform=axes.get_xaxis_transform(),
            ha="center",
            fontsize=9,
            color=TRUTH,
        )
        for term, curve in curves.items():
            step, value = _numbers(curve).T
            label = None if term in labelled else term.replace("_", " ")
            labelled.add(term)
            color, line = styles[term]
            axes.plot(step, np.where(value > 0, value, np.nan), line, color=color, lw=1.4, label=label)
    axes.set(yscale="log", xlabel="optimizer step")
    axes.margins(x=0)
    low, high = axes.get_ylim()
    axes.set_ylim(low / 3, high)  # room for the stages' names
    axes.legend(frameon=False, fontsize=8.5, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.14), handlelength=1.6)
    return ""


def _shade(axes: Axes, scene: Scene) -> None:
    for start, stop in scene.low_trust:
        axes.axvspan(start / scene.result.fps, stop / scene.result.fps, color=WARNING, alpha=0.18, lw=0, zorder=0)


def _per_frame(scene: Scene, values: Any) -> Float[ndarray, "T"]:
    numbers = _numbers(values)
    if numbers.shape != (scene.result.num_frames,):
        raise ValueError(f"{numbers.shape} values for {scene.result.num_frames} frames")
    if not np.isfinite(numbers).any():
        raise ValueError("no finite value")
    return numbers


def _numbers(values: Any) -> Float[ndarray, "*N"]:
    # JSON's null, which stands for what is not finite, becomes NaN.
    return np.asarray(values, dtype=np.float64)


def _span(scene: Scene) -> tuple[float, float]:
    return 0.0, float(scene.seconds[-1])


def _legend_above(axes: Axes) -> None:
    """A legend in a strip of its own over the curves."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.16 * (high - low))
    axes.legend(frameon=False, fontsize=9, ncols=2, loc="upper right", borderaxespad=0.2, handlelength=1.4)


def tidy(axes: Axes) -> None:
    """Axes that stand back behind what they measure."""
    for name in ("top", "right"):
        axes.spines[name].set_visible(False)
    for name in ("left", "bottom"):
        axes.spines[name].set_color(FAINT)
    axes.tick_params(color=FAINT, labelcolor=INK, labelsize=9)
    axes.grid(axis="y", color=FAINT, lw=0.5, alpha=0.6)
