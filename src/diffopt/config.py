"""The configuration: dataclasses with units, read from YAML and the command line. The only place that knows omegaconf.

Every command reads `default.yaml` first, then the files given by `--config`, one over the other, then `key=value`
overrides. A file that begins with `extends: nothing` stands alone: what was read before it does not count, so that
nothing that `default.yaml` adds can leak into it. A field that does not exist is refused by name.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diffopt.bounds import at_least, out_of_bounds, positive
from diffopt.errors import DiffoptError
from diffopt.evaluation.options import EvaluationOptions
from diffopt.fitting.options import FitOptions, LoggingOptions
from diffopt.frontend.options import FrontendOptions
from diffopt.losses.guidance import Guidance
from diffopt.training.options import PriorTraining
from diffopt.training.pose_prior import PosePriorTraining


@dataclass
class BodyOptions:
    """The body model."""

    model: str = "free"
    """`free` (embedded) or the path of your SMPL file (.pkl or .npz)."""
    keypoint_regressor: str | None = None
    """Weights over your SMPL file's vertices (.npy, .npz or .pkl), 17 rows (COCO) or 23 (with feet); None fits them."""
    height_m: float | None = positive(None)
    """Height of the person, if known; None leaves it to the source, or to be estimated."""


@dataclass
class PriorOptions:
    """The motion prior."""

    path: str = "default"
    """`default` (shipped), the path of a prior trained by `diffopt train-prior` (.safetensors) or of a published MDM
    checkpoint, or `none`: no motion prior at all, neither in the losses nor for the initial path."""


@dataclass
class Config:
    """Everything that `diffopt fit` and `diffopt prepare` can be told."""

    source: str = ""
    """A video, or an observation file (.npz)."""
    out: str = ""
    """The result folder; by default `out/` and the name of the source."""
    overwrite: bool = False
    """Replace a result that is already there."""
    force: bool = False
    """Fit even where too little was seen of the person to trust it."""
    pictures: bool = True
    """Draw the result when the fit is done."""
    seed: int = 0
    """Seed of every random choice."""
    device: str = "auto"
    """`auto`, `cpu` or `cuda`."""
    threads: int = at_least(1, 1)
    """CPU threads of a fit: its tensors are small, and more threads mostly wait for each other."""
    body: BodyOptions = field(default_factory=BodyOptions)
    frontend: FrontendOptions = field(default_factory=FrontendOptions)
    prior: PriorOptions = field(default_factory=PriorOptions)
    guidance: Guidance = field(default_factory=Guidance)
    fit: FitOptions = field(default_factory=FitOptions)
    logging: LoggingOptions = field(default_factory=LoggingOptions)


@dataclass
class SampleOptions:
    """Everything that `diffopt sample` can be told."""

    out: str = "samples"
    """A new folder for the motions and their pictures."""
    count: int = at_least(1, 6)
    """Motions to draw."""
    seconds: float = positive(3.2)
    """Length of each, at most what the prior was trained on."""
    steps: int = at_least(1, 50)
    """Network evaluations per motion."""
    seed: int = 0
    """Seed of the noise."""
    threads: int = at_least(1, 1)
    """CPU threads."""
    prior: PriorOptions = field(default_factory=PriorOptions)


@dataclass
class EvaluationSettings(EvaluationOptions, Config):
    """Everything that `diffopt evaluate` can be told: what to score, and how to fit."""


@dataclass
class EvaluationConfig(EvaluationSettings):
    """An evaluation and the recipes of its rows."""

    recipes: dict[str, Config] = field(default_factory=dict)
    """Of rows that name files for it, by the row's name; the others fit as the evaluation does."""


_Schema = TypeVar("_Schema")


Files = str | Path | Sequence[str | Path] | None
"""YAML files by path, or by the name of one that ships with diffopt (`demo`), each merged over the one before."""
EXTENDS = {"default", "nothing"}
"""What a file says it changes."""


def load_config(path: Files = None, overrides: Sequence[str] = ()) -> Config:
    """The defaults, changed by files and by overrides.

    Args:
        path: files, merged in their order, e.g. `["paper", "ablations/no_mdm"]`.
        overrides: `key=value` with dots into groups, e.g. `fit.stages.guidance.steps=500`.

    Raises:
        DiffoptError: a file is missing or not YAML, or a field does not exist or has the wrong type.
    """
    config = load_as(Config, [shipped("default"), *_found(path)], overrides)
    _check(config)
    return config


def load_evaluation(path: Files = None, overrides: Sequence[str] = (), recipe: Files = None) -> EvaluationConfig:
    """How systems are scored: `default.yaml`, a recipe, `evaluation.yaml` or a file in its place, and overrides.

    Args:
        path: rows and tables.
        overrides: as for `load_config`; they hold in every row.
        recipe: how to fit, as `diffopt fit --config` takes it; None: the default. A row's own recipe is merged over it.

    Raises:
        DiffoptError: as `load_config`.
    """

    def load(row: Sequence[str] = ()) -> EvaluationSettings:
        layers = [shipped("default"), *_found(recipe), *_found(row), *(_found(path) or [shipped("evaluation")])]
        settings = load_as(EvaluationSettings, layers, overrides)
        _check(settings)
        return settings

    settings = load()
    recipes: dict[str, Config] = {name: load(row.recipe) for name, row in settings.rows.items() if row.recipe}
    return EvaluationConfig(**vars(settings), recipes=recipes)


def load_prior_training(path: Files = None, overrides: Sequence[str] = ()) -> PriorTraining:
    """How a motion prior is trained: `prior.yaml`, changed by a file and by overrides.

    Raises:
        DiffoptError: as `load_config`.
    """
    return load_as(PriorTraining, [shipped("prior"), *_found(path)], overrides)


def load_pose_prior_training(path: Files = None, overrides: Sequence[str] = ()) -> PosePriorTraining:
    """How a pose prior is trained: `pose_prior.yaml`, changed by a file and by overrides.

    Raises:
        DiffoptError: as `load_config`.
    """
    return load_as(PosePriorTraining, [shipped("pose_prior"), *_found(path)], overrides)


def load_sample(overrides: Sequence[str] = ()) -> SampleOptions:
    """What to draw from a motion prior, changed by overrides.

    Raises:
        DiffoptError: as `load_config`.
    """
    return load_as(SampleOptions, [], overrides)


def load_as(schema: type[_Schema], layers: Sequence[Path], overrides: Sequence[str]) -> _Schema:
    """YAML files, one over the other, then overrides, as an instance of a dataclass.

    Raises:
        DiffoptError: as `load_config`.
    """
    tree = OmegaConf.structured(schema)
    for layer in layers:
        change = _read(layer)
        if _extends(change, layer) == "nothing":
            tree = OmegaConf.structured(schema)
        tree = _within_bounds(_merge(tree, change, str(layer)), str(layer))
    for override in overrides:
        key, separator, value = override.partition("=")
        if not separator or not key:
            raise DiffoptError(f"'{override}': expected key=value, e.g. `seed=1` or `fit.stages.guidance.steps=500`.")
        try:
            change = OmegaConf.from_dotlist([override])
        except yaml.YAMLError as error:
            raise DiffoptError(
                f"'{override}': the value cannot be read; put it in quotes of its own, `{key}='\"{value}\"'`."
            ) from error
        tree = _within_bounds(_merge(tree, change, f"'{override}'"), f"'{override}'")
    return OmegaConf.to_object(tree)  # type: ignore[return-value]


def to_yaml(config: Any) -> str:
    """The whole configuration as YAML; read again, it is the same whatever `default.yaml` may have become."""
    return "extends: nothing\n" + OmegaConf.to_yaml(OmegaConf.structured(config))


def shipped(name: str) -> Path:
    """A configuration that ships with diffopt."""
    return Path(str(files("diffopt") / "configs" / f"{name}.yaml"))


def find(path: str | Path) -> Path:
    """A YAML file by its path, or by the name of one that ships with diffopt."""
    if Path(path).is_file():
        return Path(path)
    named = shipped(Path(path).with_suffix("").as_posix().removeprefix("configs/"))
    if named.is_file():
        return named
    folder = shipped("default").parent
    known = ", ".join(sorted(file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.yaml")))
    raise DiffoptError(f"{path}: no such configuration. Give a YAML file, or the name of one that ships: {known}.")


def _found(path: Files) -> list[Path]:
    if path is None:
        return []
    return [find(path)] if isinstance(path, str | Path) else [find(one) for one in path]


def _extends(tree: Any, path: Path) -> str:
    """What a file changes, by its field `extends`, which is no setting and is taken out."""
    extends = str(tree.pop("extends", "default"))
    if extends not in EXTENDS:
        raise DiffoptError(f"{path}: field 'extends' is '{extends}'; choose one of {', '.join(sorted(EXTENDS))}.")
    return extends


def _read(path: Path) -> Any:
    try:
        tree = OmegaConf.load(path)
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise DiffoptError(f"{path}: not readable as YAML ({' '.join(str(error).split())}).") from error
    if not OmegaConf.is_dict(tree):
        raise DiffoptError(f"{path}: holds a list; expected fields and their values, e.g. `seed: 1`.")
    return tree


def _merge(tree: Any, change: Any, where: str) -> Any:
    try:
        return OmegaConf.merge(tree, change)
    except TypeError as error:  # a list where fields with names are expected
        raise DiffoptError(f"{where}: does not fit ({error}); name a field inside it.") from None
    except OmegaConfBaseException as error:
        if not (error.full_key or error.key):  # a value where a group of fields is expected
            raise DiffoptError(
                f"{where}: does not fit ({str(error).splitlines()[0]}); name a field inside it."
            ) from None
        key = str(error.full_key or error.key)
        parent, _, name = key.rpartition(".")
        group = OmegaConf.select(tree, parent) if parent else tree
        known = [str(other) for other in group] if OmegaConf.is_dict(group) else []
        if name in known or not known:
            message = str(error.msg or error).splitlines()[0]
            raise DiffoptError(f"{where}: field '{key}' does not fit ({message}).") from None
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known here are {', '.join(sorted(known))}."
        raise DiffoptError(f"{where}: there is no field '{key}'; {hint}") from None


def _within_bounds(tree: Any, where: str) -> Any:
    """The same tree, which was within its bounds before a change."""
    for key, value, expected in out_of_bounds(OmegaConf.to_object(tree)):
        raise DiffoptError(f"{where}: field '{key}' is {value:g}; expected {expected}.")
    return tree


def _check(config: Config) -> None:
    """What the types cannot say."""
    choices = {
        "device": (config.device, ("auto", "cpu", "cuda")),
        "fit.field.kind": (config.fit.field.kind, ("local", "cosine", "free")),
        "fit.root_trajectory": (config.fit.root_trajectory, ("prior", "feet", "composed")),
        "logging.wandb": (config.logging.wandb, ("offline", "online", "disabled")),
    }
    for key, (value, allowed) in choices.items():
        if value not in allowed:
            raise DiffoptError(f"Field '{key}' is '{value}'; choose one of {', '.join(allowed)}.")
    if not any(stage.steps > 0 for stage in config.fit.stages.values()):
        raise DiffoptError("Field 'fit.stages' has no stage with steps > 0, so nothing would be fitted.")
    for name, stage in config.fit.stages.items():
        if stage.steps > 0 and not stage.updates:
            raise DiffoptError(f"Field 'fit.stages.{name}.updates' is empty; say who moves under which losses.")
