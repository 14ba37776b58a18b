"""Motions from several files and folders as one collection, in which every trial and every person occurs once."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import torch

from diffopt.body.skeleton import BODY_JOINTS, JOINT_INDEX, JOINT_NAMES
from diffopt.bounds import positive
from diffopt.errors import DiffoptError
from diffopt.mocap.clip import KINDS, MotionClip
from diffopt.mocap.reading import read_motions

_PIECE = re.compile(r"(.*?)((?:\.\d+)?)")
"""A trial that was cut at a glitch is several clips: `07_12.1`, `07_12.2`."""


@dataclass
class Source:
    """A file or folder of motions, and how good they are."""

    path: str = ""
    weight: float = positive(1.0)
    """How often its clips are drawn, relative to others of their kind and length."""
    masked: list[str] = field(default_factory=list)
    """Joints whose rotations it does not have (`neck`, `left_collar`, ...): training takes no loss of them, nor of the
    places of the joints that they carry."""


def read_sources(
    first: str, further: Mapping[str, Source], identities: Mapping[str, str], kinds: Mapping[str, str]
) -> list[MotionClip]:
    """Every clip of a file or folder and of further sources.

    A trial (person and name, less the number of its piece) that a later source has again is taken from there alone.

    Args:
        first: file or folder, of weight 1.
        further: more of them, in this order.
        identities: `person/trial` of trials that go by another name, so that the same trial and the same person are
            known for it.
        kinds: what clips are of, by patterns of their names (of the trial's, where it has an identity); the last that
            fits a name holds.

    Raises:
        DiffoptError: a source has no motions, masks a joint that does not exist, or an identity or a kind is malformed.
    """
    for pattern, kind in kinds.items():
        if kind not in KINDS:
            raise DiffoptError(f"Field 'kinds.{pattern}' is '{kind}'. Expected one of {', '.join(KINDS)}.")
    clips: list[MotionClip] = []
    for name, source in {"data": Source(first), **further}.items():
        trusted = _trusted(name, source)
        found = [
            replace(_identified(clip, identities), weight=source.weight, trusted=trusted)
            for clip in read_motions(source.path)
        ]
        again = {_trial(clip) for clip in found}
        clips = [clip for clip in clips if _trial(clip) not in again] + found
    return [replace(clip, kind=_kind(clip, kinds)) for clip in clips]


def _kind(clip: MotionClip, kinds: Mapping[str, str]) -> str:
    fitting = [kind for pattern, kind in kinds.items() if fnmatchcase(clip.name, pattern)]
    return fitting[-1] if fitting else clip.kind


def _identified(clip: MotionClip, identities: Mapping[str, str]) -> MotionClip:
    name, piece = _parts(clip.name)
    if name not in identities:
        return clip
    person, slash, trial = identities[name].partition("/")
    if not (person and slash and trial):
        raise DiffoptError(
            f"Field 'identities.{name}' is '{identities[name]}'; expected person/trial, e.g. cmu016/16_15."
        )
    return replace(clip, subject=person, name=trial + piece)


def _trial(clip: MotionClip) -> tuple[str, str]:
    return clip.subject, _parts(clip.name)[0]


def _parts(name: str) -> tuple[str, str]:
    match = _PIECE.fullmatch(name)
    return (match[1], match[2]) if match else (name, "")


def _trusted(name: str, source: Source) -> torch.Tensor:
    known = JOINT_NAMES[1:BODY_JOINTS]
    if unknown := [joint for joint in source.masked if joint not in known]:
        raise DiffoptError(
            f"Field 'sources.{name}.masked' names {', '.join(unknown)}. Expected joints out of {', '.join(known)}."
        )
    trusted = torch.ones(BODY_JOINTS, dtype=torch.bool)
    trusted[[JOINT_INDEX[joint] for joint in source.masked]] = False
    return trusted
