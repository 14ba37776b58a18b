"""Every setting of an evaluation: what is scored, on what, and which tables come of it. Read from YAML elsewhere."""

from dataclasses import dataclass, field

from diffopt.evaluation.parallel import ParallelOptions


@dataclass
class Row:
    """One system: a line in every table."""

    kind: str = "given"
    """`fit` (the front end's files, fitted), `initial` (composed, as a fit starts from it) or `given` (taken as is)."""
    files: list[str] = field(default_factory=list)
    """Its files of a sequence, as patterns inside `files`: {sequence} is P0_09_outdoor_walk, {subject} P0, {take}
    09_outdoor_walk. All that match belong together; an observation among them stands alone. None: those of the
    evaluation's `front_end`."""

    recipe: list[str] = field(default_factory=list)
    """How this system fits, as configuration files merged in their order, over the recipe of the evaluation; none:
    that recipe as it is."""


@dataclass
class Published:
    """What a paper reports of a system."""

    values: dict[str, float] = field(default_factory=dict)
    """By the metric's name."""
    by_sequence: dict[str, dict[str, float]] = field(default_factory=dict)
    """The same of single sequences, by their names."""
    source: str = ""
    """The publication."""


@dataclass
class Table:
    """One table of the report."""

    title: str = ""
    columns: list[str] = field(default_factory=list)
    """Metrics, by their names in `evaluation.metrics`, or `seconds_per_100_frames`."""
    sequences: list[str] = field(default_factory=list)
    """Those that count, by name; none: all of the `split`."""
    split: str = ""
    """`emdb1` or `emdb2`, as EMDB's own files are marked; empty: all."""
    mean_over: str = "frames"
    """`frames` (all frames of all sequences alike, as the field does) or `sequences`."""
    by_sequence: list[str] = field(default_factory=list)
    """Metrics that are also shown sequence by sequence."""
    rows: list[str] = field(default_factory=list)
    """Systems that stand in it; none: all."""
    against: str = ""
    """A system: behind the others' figures stands what they differ from it by, published from published ones."""
    published: dict[str, Published] = field(default_factory=dict)
    """By the system's name."""


@dataclass
class EvaluationOptions:
    """What `diffopt evaluate` is told besides how to fit."""

    dataset: str = ""
    """Folder with the truth: EMDB's (P0, P1, ...), or observation files that carry it."""
    protocol: str = "observations"
    """`emdb`, or `observations`: every observation file with truth."""
    files: str = ""
    """Folder with the files of front ends and other systems; empty: the dataset's."""
    sequences: list[str] = field(default_factory=list)
    """Only these; none: all that the tables ask for."""
    segment_frames: int | None = None
    """Cut sequences into segments of this many frames, without the rest; null: whole."""
    max_segments: int | None = None
    """At most this many segments of each sequence; null: all."""
    max_steps: int | None = None
    """At most this many steps of each stage of every recipe, to try an evaluation out; null: as the recipes say."""
    seeds: int = 1
    """Fits of each clip, with `seed` and those that follow."""
    vertices: bool = False
    """Score the mesh as well (mpvpe_mm, g_mpvpe_mm): 0.3 GB per 1,000 frames."""
    truth_models: dict[str, str] = field(default_factory=dict)
    """Your SMPL files by EMDB's genders (male, female, neutral), for the truth; the fit's body stands in for others."""
    front_end: list[str] = field(default_factory=list)
    """Files of rows that name none, as their patterns; under `observations` such rows take the observation itself."""
    rows: dict[str, Row] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    parallel: ParallelOptions = field(default_factory=ParallelOptions)
