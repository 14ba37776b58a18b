"""A fit of a known motion beside the truth: where it went, how far off it was, how upright, in which poses."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from PIL import Image
from torch import Tensor

from diffopt.body.skeleton import JOINT_INDEX, PARENTS
from diffopt.evaluation.metrics import Track, w_mpjpe_mm
from diffopt.files.atomic import partial_file
from diffopt.geometry.alignment import align_clip
from diffopt.show.curves import tidy
from diffopt.show.palette import FAINT, INK, ROOT, TRUTH, WARNING
from diffopt.show.scene import heading_alignment
from diffopt.show.top_view import draw_path, draw_scale_bar, draw_seconds, draw_squares, limits, on_floor

_MOMENTS = 5
"""Of which the bodies are drawn."""
_COMPOSED = WARNING
_DPI = 100
_COLORS = 64
"""Lines and text need no more, and the file is a quarter of the size."""
_NOTE = (
    "Path and root error: laid on the truth by one rigid move (G-MPJPE). Height, tilt and bodies: by a turn about the\n"
    "vertical and a move over the floor only, so that a wrong up and a wrong height show. Bodies: root on root."
)


@dataclass(frozen=True)
class FittedCase:
    """What a panel shows. Tracks are in float64."""

    title: str
    figures: str
    """What the fit came to, in a line."""
    fps: float
    true: Track
    """With the true camera."""
    composed: Track
    """The given bodies in the world by the given camera, its scale put right."""
    fitted: Track


def write_panels(path: Path, cases: Sequence[FittedCase]) -> Path:
    """Draw the cases under each other."""
    figure = Figure(figsize=(12, 6.3 * len(cases) + 0.5), layout="constrained")
    for part, case in zip(figure.subfigures(len(cases), 1, squeeze=False)[:, 0], cases, strict=True):
        _draw_case(part, case)
    figure.supxlabel(_NOTE, fontsize=9, color=TRUTH)
    with partial_file(path) as partial:
        figure.savefig(partial, dpi=_DPI)
        with Image.open(partial) as picture:
            small = picture.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE)
        small.save(partial, optimize=True)
    return path


def _draw_case(figure: SubFigure, case: FittedCase) -> None:
    figure.suptitle(f"{case.title}\n{case.figures}", x=0.01, ha="left", fontsize=11, color=INK)
    grid = figure.add_gridspec(3, 2, width_ratios=[1, 1.6], height_ratios=[1.2, 1, 1.7])
    true = case.true.joints
    seconds = np.arange(len(true)) / case.fps
    composed, fitted = (align_clip(track.joints, true)[0] for track in (case.composed, case.fitted))
    paths = [on_floor(joints[:, 0].numpy()) for joints in (true, composed, fitted)]
    _paths(figure.add_subplot(grid[:2, 0]), *paths, seconds)
    _errors(figure.add_subplot(grid[0, 1]), case, composed, fitted, seconds)
    rotation, shift = heading_alignment(case.fitted.joints.numpy(), true.numpy())
    upright = case.fitted.joints.numpy() @ rotation.T + shift
    height, tilt = (figure.add_subplot(cell) for cell in grid[1, 1].subgridspec(1, 2))
    _height(height, true[:, 0, 1].numpy(), upright[:, 0, 1], seconds)
    _tilt(tilt, case, seconds)
    strips = [figure.add_subplot(cell) for cell in grid[2, :].subgridspec(1, 2)]
    _bodies(strips, case, upright)


def _paths(
    axes: Axes,
    true: Float[np.ndarray, "T 2"],
    composed: Float[np.ndarray, "T 2"],
    fitted: Float[np.ndarray, "T 2"],
    seconds: Float[np.ndarray, "T"],
) -> None:
    low, high = limits(np.concatenate([true, composed, fitted]), margin_m=0.2)
    axes.set_aspect("equal", adjustable="box")
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    draw_squares(axes)
    axes.plot(*composed.T, color=_COMPOSED, lw=1.4, label="composed, true scale", zorder=3)
    draw_path(axes, fitted, ROOT, "fit")
    axes.plot(*true.T, "--", color=TRUTH, lw=1.6, label="truth", zorder=6)
    draw_seconds(axes, fitted, seconds, ROOT)
    draw_scale_bar(axes)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=3, frameon=False, fontsize=9, handlelength=1.6)
    _titles(axes, "Root from above")


def _errors(
    axes: Axes,
    case: FittedCase,
    composed: Float[Tensor, "T 24 3"],
    fitted: Float[Tensor, "T 24 3"],
    seconds: Float[np.ndarray, "T"],
) -> None:
    """Both estimates' errors, as laid on the truth over the whole clip and over its beginning."""
    true = case.true.joints
    for track, laid, color in ((case.composed, composed, _COMPOSED), (case.fitted, fitted, ROOT)):
        axes.plot(seconds, 100 * (laid - true)[:, 0].norm(dim=-1).numpy(), color=color, lw=1.8)
        axes.plot(seconds, w_mpjpe_mm(track.joints, true).error_mm.numpy() / 10, ":", color=color, lw=1.5)
    axes.set(ylabel="cm", ylim=(0, None), xlim=(0, seconds[-1]))
    tidy(axes)
    _titles(axes, "Root error", "dotted: all joints, laid on the first two frames (W-MPJPE100)")


def _height(
    axes: Axes, true_m: Float[np.ndarray, "T"], fitted_m: Float[np.ndarray, "T"], seconds: Float[np.ndarray, "T"]
) -> None:
    axes.plot(seconds, 100 * fitted_m, color=ROOT, lw=1.8)
    axes.plot(seconds, 100 * true_m, "--", color=TRUTH, lw=1.4)
    axes.set(ylabel="cm", xlabel="s", xlim=(0, seconds[-1]))
    tidy(axes)
    _titles(axes, "Root height")


def _tilt(axes: Axes, case: FittedCase, seconds: Float[np.ndarray, "T"]) -> None:
    for track, style, color in ((case.fitted, "-", ROOT), (case.true, "--", TRUTH)):
        tilt = track.root_rotation[:, 1, 1].clamp(-1, 1).arccos().rad2deg()
        axes.plot(seconds, tilt.numpy(), style, color=color, lw=1.6)
    axes.set(ylabel="degrees", xlabel="s", ylim=(0, None), xlim=(0, seconds[-1]))
    tidy(axes)
    _titles(axes, "Root tilt from the vertical")


def _bodies(strips: Sequence[Axes], case: FittedCase, upright: Float[np.ndarray, "T 24 3"]) -> None:
    """Truth and fit at a few moments, the roots upon each other but for their height; from two sides."""
    frames = np.linspace(0, len(upright) - 1, _MOMENTS).round().astype(int)
    pair = [joints[frames] for joints in (case.true.joints.numpy(), upright)]
    beside = [(joints - joints[:, :1])[..., [0, 2]] for joints in pair]
    reach = max(0.5, *(float(np.linalg.norm(flat, axis=-1).max()) for flat in beside)) + 0.1
    top = max(float(joints[..., 1].max()) for joints in pair) + 0.15
    bottom = min(0.0, *(float(joints[..., 1].min()) for joints in pair)) - 0.05
    places = 2 * reach * np.arange(_MOMENTS)
    # Pixels hide an error of depth from the camera itself, so its x axis alone would flatter; its z axis shows depth.
    for axes, axis, title in zip(strips, (0, 2), ("As filmed", "From the side, camera on the left"), strict=True):
        across = case.true.rotation_w2c[frames, axis].numpy()[:, [0, 2]]
        across /= np.linalg.norm(across, axis=1, keepdims=True)
        axes.axhline(0, color=FAINT, lw=1.5, zorder=0)
        for joints, flat, color, width, alpha in zip(pair, beside, (TRUTH, ROOT), (4.5, 1.8), (0.45, 1.0), strict=True):
            points = np.stack([np.einsum("mjk,mk->mj", flat, across) + places[:, None], joints[..., 1]], axis=-1)
            for body in points:
                axes.plot(*_stick_figure(body).T, color=color, lw=width, alpha=alpha, solid_capstyle="round")
                axes.plot(*body[JOINT_INDEX["head"]], "o", color=color, ms=2.5 * width, alpha=alpha, mew=0)
        axes.set_aspect("equal")
        axes.set(xlim=(-reach, places[-1] + reach), ylim=(bottom, top), yticks=[])
        axes.set_xticks(places, [f"{frame / case.fps:.1f} s" for frame in frames])
        axes.tick_params(length=0, labelsize=9, labelcolor=INK)
        axes.spines[:].set_visible(False)
        _titles(axes, title)


def _stick_figure(joints: Float[np.ndarray, "24 2"]) -> Float[np.ndarray, "N 2"]:
    """The bones as one line with gaps: drawn one by one, see-through bones would be darker where they meet."""
    gap = np.full(2, np.nan)
    return np.stack([part for joint in range(1, 24) for part in (joints[PARENTS[joint]], joints[joint], gap)])


def _titles(axes: Axes, title: str, note: str = "") -> None:
    axes.set_title(title, loc="left", fontsize=10, fontweight="bold", color=INK)
    axes.set_title(note, loc="right", fontsize=8.5, color=TRUTH)
