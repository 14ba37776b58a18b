"""From a video to an observation: of one person, or of everybody with one camera."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from diffopt.body.model import BodyModel, load_body
from diffopt.frontend.choice import choose, seen_again
from diffopt.frontend.contact_sheet import write_contact_sheet
from diffopt.frontend.keypoints import stretches
from diffopt.frontend.neighbours import keep_apart
from diffopt.frontend.options import FrontendOptions
from diffopt.frontend.people import People
from diffopt.frontend.stages import Stages
from diffopt.frontend.trust import MIN_SEEN_S, doubt
from diffopt.frontend.video import Video, open_video
from diffopt.observation.observation import Observation

_TOLD = 3
"""Of those who could be meant as well, so many are named at most."""


def look(
    path: Path, options: FrontendOptions, cache_dir: Path, progress: Progress | None = None
) -> tuple[Video, People]:
    """The span of a video that is asked for, and everybody in it; arguments and errors as of `prepare`."""
    video = open_video(Path(path), options.start_frame, options.stop_frame, options.max_fps)
    with nullcontext(progress) if progress is not None else stage_progress() as shown:
        return video, Stages(video, options, Path(cache_dir), load_body(), shown).people()


def prepare(
    path: Path,
    options: FrontendOptions,
    cache_dir: Path,
    body: BodyModel | None = None,
    height_m: float | None = None,
    progress: Progress | None = None,
    sheet: Path | None = None,
    force: bool = False,
) -> Observation:
    """See a video: keypoints, camera and initial body of one person in it.

    Args:
        path: the video.
        options: what to use of it, whom is meant, and what is known.
        cache_dir: where intermediate results are kept; a rerun with other settings repeats only what they touch.
        body: the body to fit; None is the free body.
        height_m: height of the person, if known.
        progress: shows stages, frames and time left, and says what was found; None makes one.
        sheet: where to draw everybody, if it must be asked who is meant; None is `people.jpg` beside what is kept.
        force: go on however little was seen.

    Returns:
        An observation without truth, of the longest stretch in which the person is seen; with gravity and metric scale
        where the scene shows its ground.

    Raises:
        DiffoptError: no such file, not a video, nobody in it or nobody to be trusted, no background to follow, or a
            part of the installation missing.
    """
    video = open_video(Path(path), options.start_frame, options.stop_frame, options.max_fps)
    with nullcontext(progress) if progress is not None else stage_progress() as shown:
        stages = Stages(video, options, Path(cache_dir), body or load_body(), shown)
        sheet = sheet or Path(cache_dir) / "people.jpg"
        people = stages.people()
        if people.count == 0:
            raise stages.refusal("nobody found", people, None, sheet, "a clearer video, or another span")
        choice = choose(people, options.person, video, options.start_frame)
        if choice.rivals:
            write_contact_sheet(sheet, video, people, options.start_frame, choice.person)
            others = ", ".join(f"frontend.person={rival}" for rival in choice.rivals[:_TOLD])
            stages.say(f"person 1 is taken, by a little; if another is meant, see {sheet} and add {others}")
        track = stages.read(people, choice.person)
        spans = stretches(track.seen, options.max_gap_s * video.fps)
        span = spans[0] if spans else None
        doubtful = doubt(track, span, people.boxes(choice.person, video.num_frames), video)
        if span is None or (doubtful and not force):
            mend = "another person (frontend.person=2) or another span (frontend.start_frame, stop_frame)"
            mend += "" if span is None else "; force=true fits all the same"
            raise stages.refusal(f"person {choice.person}: {doubtful}", people, choice.person, sheet, mend)
        _tell_rest(stages, people, choice.person, spans)
        return stages.observe(people, {choice.person: track}, span, height_m)[choice.person]


def prepare_everyone(
    path: Path,
    options: FrontendOptions,
    cache_dir: Path,
    body: BodyModel | None = None,
    progress: Progress | None = None,
    sheet: Path | None = None,
) -> dict[str, Observation]:
    """See a video: everybody who is seen for a second, with one camera; by number. As `prepare` otherwise.

    Raises:
        DiffoptError: as `prepare`, or nobody is seen for a second.
    """
    video = open_video(Path(path), options.start_frame, options.stop_frame, options.max_fps)
    with nullcontext(progress) if progress is not None else stage_progress() as shown:
        stages = Stages(video, options, Path(cache_dir), body or load_body(), shown)
        people = stages.people()
        enough = MIN_SEEN_S * video.fps
        tracks = {person: stages.read(people, person) for person in _seen_for(people, enough)}
        boxes = {person: people.boxes(person, video.num_frames) for person in tracks}
        tracks, taken = keep_apart(tracks, boxes)
        kept = {person: track for person, track in tracks.items() if track.seen.sum() >= enough}
        sheet = write_contact_sheet(sheet or Path(cache_dir) / "people.jpg", video, people, options.start_frame)
        if not kept:
            raise stages.refusal("nobody seen for a second", people, None, sheet, "another span, or a closer video")
        if short := people.count - len(kept):
            stages.say(
                f"{len(kept)} people; {short} more are left out, seen or read for less than {MIN_SEEN_S:g} s: {sheet}"
            )
        if taken:
            stages.say(f"in {taken} frames somebody was read off a neighbour; there they count as out of sight")
        found = stages.observe(people, kept, (0, video.num_frames), None)
    return {str(person): replace(one, name=f"{one.name}_{person}") for person, one in found.items()}


def _seen_for(people: People, frames: float) -> list[int]:
    spans = {person: people.span(person) for person in range(1, people.count + 1)}
    return [person for person, (start, stop) in spans.items() if stop - start >= frames]


def _tell_rest(stages: Stages, people: People, person: int, spans: list[tuple[int, int]]) -> None:
    """Of a person who is fitted in part: in which frames, and where else they may be seen."""
    start = stages.options.start_frame
    (first, stop), *others = spans
    elsewhere = [f"frames {start + a}-{start + b - 1}" for a, b in others]
    for other in seen_again(people, person)[:_TOLD]:
        a, b = people.span(other)
        elsewhere.append(f"perhaps again as person {other}, frames {start + a}-{start + b - 1}")
    if stop - first < stages.video.num_frames:
        stages.say(
            f"person {person} is fitted in frames {start + first}-{start + stop - 1}, the longest stretch in sight"
        )
    if elsewhere:
        stages.say(f"person {person} is also seen: {'; '.join(elsewhere)}")


def stage_progress() -> Progress:
    """One line per stage: what, how many of how many, time passed and left."""
    return Progress(
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
