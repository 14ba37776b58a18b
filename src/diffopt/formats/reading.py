"""Other tools' result files as observations. One module per format states its convention (table: docs/importers.md).

`read` takes any number of files of one video: bodies, keypoints, a camera, the video itself (for its frame rate and
size). Every body is projected and must fall on the files' own 2D, else the error says which convention looks wrong.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from diffopt.body.model import BodyModel, load_body
from diffopt.errors import DiffoptError
from diffopt.formats.assemble import candidates, combine_settings, observation_of
from diffopt.formats.containers import Video, open_container
from diffopt.formats.evidence import Settings, Source
from diffopt.formats.parts import Contents, Person
from diffopt.formats.recognition import FORMATS, OBSERVATION, VIDEO, name_of, recognise
from diffopt.observation.observation import Observation

__all__ = ["FORMATS", "import_notes", "read", "read_all", "recognise"]

Paths = str | Path | Sequence[str | Path]
NOTED = ("camera", "fps", "focal_px", "keypoints", "imprecise", "camera_turn")
"""What of an import's provenance its user should hear of."""


def read(
    paths: Paths,
    from_format: str | None = None,
    person: int | str | None = None,
    body: BodyModel | None = None,
    name: str | None = None,
) -> Observation:
    """One person's observation from the files of one video.

    Args:
        paths: one file, or several that belong together, in any order; a folder of OpenPose's JSON counts as a file.
        from_format: a key of `FORMATS` for the first file, instead of finding it out.
        person: the file's own number or name of the person; the one seen longest if None.
        body: the body to fit; the free one if None. With SMPL's file the files' betas are kept and the pelvis is exact;
            with the free body its own mean shape is used and the pelvis may be off by up to 3 cm.
        name: the sequence's name; the first file's if None.

    Returns:
        A checked observation; `provenance` says what came from where, what was assumed, and how well the body falls
        on the 2D (parts of the person's size).

    Raises:
        DiffoptError: one sentence with the file, what was found, what was expected and how to mend it.
    """
    files = _files(paths)
    if len(files) == 1 and from_format is None and recognise(files[0]) == OBSERVATION:
        return Observation.load(files[0])
    model = body or load_body()
    sources, video = _open(files, from_format)
    people = candidates(sources)
    source, chosen = _choose(people, person, files)
    settings = combine_settings(sources, video, name or files[0].stem)
    return _one(sources, source, chosen, video, settings, model)


def read_all(
    paths: Paths,
    from_format: str | None = None,
    body: BodyModel | None = None,
    name: str | None = None,
) -> dict[str, Observation]:
    """An observation of everyone in the files, by the files' own number of the person; the longest track first.

    All have the same frames, camera, lens and world. Arguments and errors as for `read`.
    """
    files = _files(paths)
    model = body or load_body()
    sources, video = _open(files, from_format)
    people = candidates(sources)
    _choose(people, None, files)
    settings = combine_settings(sources, video, name or files[0].stem)
    return {_label(people, one): _one(sources, source, one, video, settings, model) for source, one in people}


def import_notes(observation: Observation) -> list[str]:
    """What was taken from where, assumed or doubted when an observation was made of other tools' files, for people."""
    notes = json.loads(observation.provenance)
    return [f"{name}: {notes[name]}" for name in NOTED if name in notes] if "files" in notes else []


def _files(paths: Paths) -> list[Path]:
    files = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    if not files:
        raise DiffoptError("No file to read: give at least one.")
    return files


def _open(files: list[Path], from_format: str | None) -> tuple[list[Source], Video | None]:
    if from_format is not None and from_format not in FORMATS:
        raise DiffoptError(f"'{from_format}' is no known format; expected one of {', '.join(FORMATS)}.")
    sources, video = [], None
    for index, path in enumerate(files):
        content = open_container(path)
        name = from_format if from_format is not None and index == 0 else name_of(content, path)
        if name == VIDEO:
            video = content
        elif name == OBSERVATION:
            raise DiffoptError(f"{path}: an observation is whole; expected other tools' files; give it alone.")
        else:
            sources.append(Source(str(path), name, _parse(path, name, content)))
    if not sources:
        raise DiffoptError(f"{files[0]}: a video alone has no body; expected result files; use `diffopt prepare`.")
    return sources, video


def _parse(path: Path, name: str, content: object) -> Contents:
    try:
        return FORMATS[name].parse(content)
    except DiffoptError as error:
        raise DiffoptError(f"{path} ({name}): {error}") from error
    except (KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DiffoptError(
            f"{path}: not laid out as {name} writes it ({what}); see docs/importers.md; name another format with "
            "`--from`, or write the file again."
        ) from error


def _label(people: list[tuple[Source, Person]], person: Person) -> str:
    """The person's name, made unique where several files name theirs alike."""
    alike = [one for _, one in people if one.name == person.name]
    return person.name if len(alike) == 1 else f"{person.name}.{[one is person for one in alike].index(True)}"


def _choose(people: list[tuple[Source, Person]], person: int | str | None, files: list[Path]) -> tuple[Source, Person]:
    if not people:
        raise DiffoptError(
            f"{', '.join(str(path) for path in files)}: no body in these files; a fit starts from one; add the result "
            "of 4DHumans, WHAM, GVHMR, TRAM or another, or let `diffopt prepare` make one from the video."
        )
    if person is None:
        return people[0]
    for source, one in people:
        if _label(people, one) == str(person):
            return source, one
    known = ", ".join(f"{_label(people, one)} ({len(one.frames)} frames)" for _, one in people)
    raise DiffoptError(f"{files[0]}: no person '{person}'; found {known}; choose one of these.")


def _one(
    sources: list[Source], source: Source, person: Person, video: Video | None, settings: Settings, model: BodyModel
) -> Observation:
    counts = [one.contents.num_frames for one in sources if one.contents.num_frames]
    num_frames = max([*counts, int(person.frames[-1]) + 1])
    if video is not None and abs(video.num_frames - num_frames) > 1:
        num_frames = max(num_frames, video.num_frames)
    return observation_of(sources, source, person, model, settings, num_frames)
