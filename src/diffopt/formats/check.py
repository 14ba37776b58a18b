"""The check on load: the body, projected, must fall on the files' own 2D; if not, which convention would make it fit.

With the free body in the place of SMPL it sees what moves the body by more than a tenth of its size: a wrong camera,
lens, root (against keypoints) or axis. It does not see a wrong shape, nor a person 10 % taller than the free body.

How far the body is away does not alone tell a wrong convention from a tool that is imprecise: an estimator whose depths
are an eighth too large, as happens, is as far off as a root in the place of `transl`. What tells is that with the right
convention a wrong file fits, while no convention makes an imprecise one fit. So between tolerance and limit only a file
that fits in another way is refused. docs/importers.md has what was measured.
"""

import numpy as np

from diffopt.body.model import BodyModel
from diffopt.errors import DiffoptError
from diffopt.formats.misreadings import crop_readings, other_readings
from diffopt.formats.view import View, misfit

KEYPOINT_TOLERANCE, KEYPOINT_LIMIT = 0.10, 0.13
"""Median distance from the 2D, in parts of the person's size in the image (the diagonal of its box). Within the
tolerance nothing is asked; beyond the limit the files are refused, whatever the reason."""
BOX_TOLERANCE, BOX_LIMIT = 0.06, 0.10
"""Boxes say less: one wrong edge is forgiven, so what moves the body counts for less."""
BEHIND = "behind the camera"
MUCH_BETTER = 1.5
"""Another convention must come nearer by this factor: one of the many comes a little nearer by chance."""


def check(view: View, model: BodyModel, where: str, what: str) -> float:
    """Measure the distance between body and 2D.

    Args:
        view: body, lens and 2D.
        model: the body to pose.
        where: the file, for the error.
        what: the 2D, for the error.

    Returns:
        The median distance in parts of the person's size; above `tolerance` the tool is imprecise.

    Raises:
        DiffoptError: another convention fits, and says which; or it is more than the limit.
    """
    allowed = tolerance(view)
    limit = BOX_LIMIT if view.detections is None else KEYPOINT_LIMIT
    found = misfit(view, model)
    if found.median <= allowed:
        return found.median
    readings = list(other_readings(view))
    if found.median > limit:
        # They take the person's place and size from the 2D, so they would mend what is only imprecise.
        readings += crop_readings(view)
    others = [(misfit(other, model), name, mend) for name, mend, other in readings]
    fitting = [one for one in others if one[0].median <= allowed]
    # Rounded up, lest it look as if what is refused were allowed.
    away = f"{np.ceil(100 * found.median):.0f}% of the person's size away" if np.isfinite(found.median) else BEHIND
    head = f"{where}: the body does not fall on {what}: it is {away}"
    best, name, mend = min(fitting, key=lambda one: one[0].whole, default=(found, "", ""))
    if best.whole < found.whole / MUCH_BETTER:
        raise DiffoptError(
            f"{head} (at most {allowed:.0%} is expected). It fits ({best.median:.0%}) with another convention: {name}; "
            f"{mend}."
        )
    if found.median <= limit:
        return found.median
    tried = ", ".join(dict.fromkeys(name.split(" (")[0] for _, name, _ in others))
    raise DiffoptError(
        f"{head} (at most {limit:.0%} is expected of an imprecise tool). No other convention fits either (tried: "
        f"{tried}); are the files of the same video, person and image size?"
    )


def tolerance(view: View) -> float:
    """Up to here a body falls on its 2D."""
    return BOX_TOLERANCE if view.detections is None else KEYPOINT_TOLERANCE
