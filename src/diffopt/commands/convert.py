"""`diffopt convert`: other tools' files of one video as observations."""

from pathlib import Path

from diffopt.body.model import load_body
from diffopt.errors import DiffoptError
from diffopt.formats.reading import read, read_all


def convert(
    sources: list[Path],
    out: Path,
    from_format: str | None,
    person: str | None,
    everyone: bool,
    body_model: str,
    keypoint_regressor: Path | None = None,
) -> list[Path]:
    """`diffopt convert`: other tools' files of one video as an observation, or one observation for each person.

    Args:
        sources: the files, in any order.
        out: the observation; with `everyone`, each person's number is put before its suffix.
        from_format: format of the first file; None finds it out.
        person: the files' own number of the person; None takes the one seen longest.
        everyone: convert all people.
        body_model: `free` or the path of a SMPL file.
        keypoint_regressor: as `body.keypoint_regressor`.

    Returns:
        The observations written; none is ever replaced.
    """
    if out.suffix != ".npz":
        raise DiffoptError(f"--out {out}: an observation is one .npz file; end the name in .npz.")
    body = load_body(body_model, keypoint_regressor)
    if everyone:
        people = read_all(sources, from_format, body)
        observations = {out.with_name(f"{out.stem}_{label}.npz"): people[label] for label in people}
    else:
        observations = {out: read(sources, from_format, person, body)}
    for path in observations:
        if path.exists():
            raise DiffoptError(f"{path}: exists already; an observation is never overwritten. Choose another --out.")
    out.parent.mkdir(parents=True, exist_ok=True)
    return [observation.save(path) for path, observation in observations.items()]
