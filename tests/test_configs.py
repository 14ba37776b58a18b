"""Configurations: complete, loadable, and strict about what they do not know."""

import dataclasses
import re
import typing
from pathlib import Path

import pytest
import yaml

from diffopt.config import (
    Config,
    load_config,
    load_evaluation,
    load_pose_prior_training,
    load_prior_training,
    shipped,
    to_yaml,
)
from diffopt.errors import DiffoptError
from diffopt.evaluation.options import EvaluationOptions
from diffopt.fitting.options import LossWeights, Stage, Update
from diffopt.training.options import PriorTraining
from diffopt.training.pose_prior import PosePriorTraining

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = {path.relative_to(CONFIGS).with_suffix("").as_posix() for path in CONFIGS.rglob("*.yaml")}
SHIPPED = {name for name in FILES if not name.startswith("sweeps/")}


PRIORS = ("prior", "prior_sources")
EVALUATIONS = ("evaluation", "emdb_short", "emdb_full", "emdb_ablations")


def load(name):
    if name in EVALUATIONS:
        return load_evaluation(name)
    if name == "pose_prior":
        return load_pose_prior_training(name)
    return load_prior_training(name) if name in PRIORS else load_config(name)


def refused(*overrides, path=None):
    """The one sentence with which a configuration is refused."""
    with pytest.raises(DiffoptError) as error:
        load_config(path, overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


def missing_fields(schema, tree, path=""):
    """Fields of a dataclass that a tree of YAML does not name, by their dotted path."""
    if dataclasses.is_dataclass(schema):
        hints = typing.get_type_hints(schema)
        for field in dataclasses.fields(schema):
            if not isinstance(tree, dict) or field.name not in tree:
                yield f"{path}{field.name}"
            else:
                yield from missing_fields(hints[field.name], tree[field.name], f"{path}{field.name}.")
    elif typing.get_origin(schema) is dict:
        assert tree or path.endswith(("truth_models.", "published.")), f"{path} is empty"
        for name, value in tree.items():
            yield from missing_fields(typing.get_args(schema)[1], value, f"{path}{name}.")


def test_default_yaml_names_every_field():
    tree = yaml.safe_load((CONFIGS / "default.yaml").read_text())

    # Stages and updates name what they use: who does not move has no step size, a loss left out has no weight.
    missing = [field for field in missing_fields(Config, tree) if not field.startswith("fit.stages.")]

    assert missing == []


@pytest.mark.parametrize("schema", [Config, EvaluationOptions, PriorTraining, PosePriorTraining])
def test_a_default_is_the_same_in_the_code_and_in_the_file_that_names_it(schema):
    name = {Config: "default", EvaluationOptions: "evaluation", PriorTraining: "prior"}.get(schema, "pose_prior")
    assert list(other_defaults(schema(), yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()))) == []


def other_defaults(options, tree, path=""):
    """Fields of which a tree of YAML gives another value than the dataclass; what it names itself has no default."""
    for field in dataclasses.fields(options):
        default, told = getattr(options, field.name), tree.get(field.name)
        if dataclasses.is_dataclass(default):
            yield from other_defaults(default, told or {}, f"{path}{field.name}.")
        elif field.name in tree and not isinstance(default, dict) and field.name != "trained_on" and told != default:
            yield f"{path}{field.name}"


def test_another_default_is_noticed():
    assert list(other_defaults(Config(), {"guidance": {"noise_start": 0.7}, "seed": 0})) == ["guidance.noise_start"]


def test_a_missing_field_is_noticed():
    tree = yaml.safe_load((CONFIGS / "default.yaml").read_text())
    del tree["fit"]["field"]["width"]
    assert "fit.field.width" in set(missing_fields(Config, tree))


def test_default_yaml_names_every_field_of_a_stage_somewhere():
    text = (CONFIGS / "default.yaml").read_text()
    names = [field.name for part in (Stage, Update, LossWeights) for field in dataclasses.fields(part)]
    assert [name for name in names if not re.search(rf"\b{name}\b", text)] == []


def test_default_yaml_explains_every_field():
    text = (CONFIGS / "default.yaml").read_text()
    stages = re.search(r"^  stages:.*?(?=^  \w|^\w)", text, re.MULTILINE | re.DOTALL)
    fields = [line for line in text.replace(stages[0], "").splitlines() if re.match(r" *\w+: *[^ #]", line)]
    assert len(fields) > 50
    assert [line.strip() for line in fields if " # " not in line] == []


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_every_shipped_configuration_loads_by_path_and_by_name(name):
    assert load(name) == {
        **dict.fromkeys(PRIORS, load_prior_training),
        "pose_prior": load_pose_prior_training,
        **dict.fromkeys(EVALUATIONS, load_evaluation),
    }.get(name, load_config)(CONFIGS / f"{name}.yaml")


def test_evaluation_yaml_names_and_explains_every_field():
    text = (CONFIGS / "evaluation.yaml").read_text()
    missing = set(missing_fields(EvaluationOptions, yaml.safe_load(text)))
    # The second table leaves out what the first one shows.
    assert {field for field in missing if not field.startswith("tables.body_and_camera.")} == set()
    fields = [line for line in text.partition("rows:")[0].splitlines() if re.match(r"\w+:", line)]
    assert len(fields) == 11 and all(" # " in line for line in fields)


def test_a_recipe_changes_how_an_evaluation_fits_and_nothing_else():
    plain, paper = load_evaluation("emdb_short"), load_evaluation("emdb_short", recipe="paper")
    assert paper.fit == load_config("paper").fit != plain.fit
    assert (paper.rows, paper.tables) == (plain.rows, plain.tables)


def test_every_row_of_the_ablations_fits_by_its_own_files_and_the_overrides_of_all():
    config = load_evaluation("emdb_ablations", ["fit.min_confidence=0.17"])

    assert [name for name, row in config.rows.items() if not row.recipe] == ["full"]
    for name, own in config.recipes.items():
        alone = load_config(config.rows[name].recipe, ["fit.min_confidence=0.17"])
        assert (own.fit, own.guidance, own.prior) == (alone.fit, alone.guidance, alone.prior), name
        assert (own.fit.stages, own.fit.field, own.prior) != (config.fit.stages, config.fit.field, config.prior), name
    papers = {name for name, row in config.rows.items() if row.recipe[:1] == ["paper"]}
    assert papers == {"paper"} | {f"paper_{name}" for name in config.tables["table_5"].rows if name != "full"}
    assert [*config.tables["table_5"].rows, *config.tables["table_5_paper"].rows] == list(config.rows)


def test_a_rows_recipe_is_merged_over_that_of_the_evaluation():
    config = load_evaluation(None, ["rows.other.kind=fit", "rows.other.recipe=[ablations/no_mdm]"], recipe="paper")
    assert config.recipes["other"].fit == load_config(["paper", "ablations/no_mdm"]).fit != config.fit


def test_the_papers_ablations_stand_beside_both_recipes():
    tables = load_evaluation("emdb_ablations").tables
    own, papers = (tables[name].published for name in ("table_5", "table_5_paper"))
    assert [*papers.values()] == [*own.values()] and set(papers) <= set(tables["table_5_paper"].rows)
    walk = load_evaluation("emdb_short").tables["table_2"].published["DiffOpt (paper)"]
    assert own["full"].values == walk.by_sequence["P0_09_outdoor_walk"]


def test_the_papers_means_are_those_of_its_sequences():
    table = load_evaluation("emdb_short").tables["table_2"]
    assert {name.partition("_")[2] for name in table.sequences} == {
        "09_outdoor_walk", "14_outdoor_climb", "16_outdoor_warmup", "32_outdoor_soccer_warmup_a",
        "37_outdoor_run_circle", "41_indoor_jogging_workout", "58_outdoor_parcours",
    }  # fmt: skip
    for one in table.published.values():
        assert sorted(one.by_sequence) == table.sequences
        for metric in table.columns:
            mean = sum(values[metric] for values in one.by_sequence.values()) / len(table.sequences)
            assert mean == pytest.approx(one.values[metric], abs=0.051)


def test_the_papers_untrimmed_experiment_is_over_all_of_emdb():
    config = load_evaluation("emdb_full")
    assert config.tables["table_4"].sequences == config.sequences == [] and config.segment_frames is None


def test_configurations_ship_inside_the_package():
    folder = shipped("default").parent
    assert {path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.yaml")} == FILES


def test_the_printed_configuration_is_the_configuration(tmp_path):
    config = load_config(overrides=["seed=3", "fit.stages.guidance.steps=7", "fit.field.bandwidth_hz=4"])
    printed = tmp_path / "printed.yaml"
    printed.write_text(to_yaml(config))
    assert load_config(printed) == config


def test_a_file_changes_only_what_it_names_and_overrides_win(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("seed: 1\nfit: {stages: {guidance: {steps: 11, updates: {human: {losses: {diffusion: 2.5}}}}}}\n")
    default, config = load_config(), load_config(file, ["seed=2"])

    assert config.seed == 2
    guidance = config.fit.stages["guidance"]
    assert (guidance.steps, guidance.updates["human"].losses.diffusion) == (11, 2.5)
    assert (
        guidance.updates["human"].losses.articulation
        == default.fit.stages["guidance"].updates["human"].losses.articulation
    )
    assert config.fit.stages["finetune"] == default.fit.stages["finetune"]


def test_several_files_are_merged_in_their_order(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("seed: 1\nthreads: 3\n")
    second.write_text("seed: 2\n")
    config = load_config([first, second])
    assert (config.seed, config.threads) == (2, 3)
    assert load_config([first, "ablations/learnable_tensors"]).fit.field.kind == "free"


def test_what_stands_before_a_file_that_extends_nothing_does_not_count(tmp_path):
    before, alone = tmp_path / "before.yaml", tmp_path / "alone.yaml"
    before.write_text("fit: {stages: {finetune: {updates: {all: {losses: {floor: 7.0}}}}}}\nseed: 3\n")
    alone.write_text("extends: nothing\nfit: {stages: {only: {steps: 1, updates: {all: {motion: true}}}}}\n")
    config = load_config([before, alone], ["threads=2"])
    assert (list(config.fit.stages), config.seed, config.threads) == (["only"], 0, 2)
    assert list(load_config([alone, before]).fit.stages) == ["only", "finetune"]


def test_what_a_file_extends_is_one_of_two(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("extends: [paper]\n")
    assert "choose one of default, nothing" in refused(path=file)


def test_a_printed_configuration_does_not_take_on_other_stages(tmp_path):
    alone = tmp_path / "alone.yaml"
    alone.write_text("extends: nothing\nfit: {stages: {only: {steps: 1, updates: {all: {motion: true}}}}}\n")
    printed = tmp_path / "printed.yaml"
    printed.write_text(to_yaml(load_config(alone)))
    assert load_config(printed) == load_config(alone)


def test_a_stage_of_ones_own_can_be_added():
    stages = load_config(
        overrides=["fit.stages.polish.steps=5", "fit.stages.polish.updates.all.losses.reprojection=1"]
    ).fit.stages
    assert list(stages)[-1] == "polish" and stages["polish"].updates["all"].losses.reprojection == 1


def test_values_are_of_the_declared_type():
    config = load_config(overrides=["source=12", "out=a=b", "fit.stages.guidance.motion_lr=1e-5", "pictures=false"])
    assert (config.source, config.out, config.pictures) == ("12", "a=b", False)
    assert config.fit.stages["guidance"].motion_lr == 1e-5


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("sede=1", "did you mean 'seed'?"),
        ("fit.stages.guidance.stepz=5", "did you mean 'steps'?"),
        ("fit.stages.guidance.updates.human.losses.difusion=1", "did you mean 'diffusion'?"),
        ("qqq=1", "known here are"),
    ],
)
def test_a_misspelt_field_is_refused_and_the_right_one_named(override, told):
    message = refused(override)
    assert override.partition("=")[0] in message and told in message


def test_a_misspelt_field_in_a_file_is_refused_with_the_files_name(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("fit:\n  feild: {width: 3}\n")
    message = refused(path=file)
    assert str(file) in message and "did you mean 'field'?" in message


@pytest.mark.parametrize(
    "override", ["seed=one", "seed=1.5", "pictures=perhaps", "fit.stages.guidance.steps=many", "seed=null"]
)
def test_a_value_of_the_wrong_type_is_refused(override):
    assert f"field '{override.partition('=')[0]}' does not fit" in refused(override)


@pytest.mark.parametrize("override", ["fit=3", "fit.stages.guidance=3", "body.model.path=x", "fit.stages=[1]"])
def test_a_group_is_not_a_value(override):
    assert override in refused(override) and "None" not in refused(override)


@pytest.mark.parametrize("override", ["seed", "=3", "="])
def test_an_override_is_key_and_value(override):
    assert "expected key=value" in refused(override)


def test_a_value_that_is_no_yaml_is_refused_with_the_way_to_quote_it():
    message = refused("source=[a].mp4")
    quoted = message.partition("`")[2].rpartition("`")[0].replace("'", "")  # as the shell would hand it over
    assert load_config(overrides=[quoted]).source == "[a].mp4"


@pytest.mark.parametrize("text", ["- a\n", "a: [b\n", "hello\n", "seed: 1\nseed: 2\n"])
def test_a_file_that_holds_no_fields_is_refused_by_name(text, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    assert str(file) in refused(path=file)


def test_an_unknown_configuration_is_refused_with_those_that_ship():
    message = refused(path="nowhere")
    assert "nowhere" in message and "default" in message and "demo" in message


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["device=tpu"], "auto, cpu, cuda"),
        (["logging.wandb=maybe"], "offline, online, disabled"),
        (["fit.field.kind=spline"], "local, cosine, free"),
        (["guidance.noise_start=1.5"], "'guidance.noise_start' is 1.5; expected 0 to 1."),
        (["fit.field.bandwidth_hz=0"], "'fit.field.bandwidth_hz' is 0; expected more than 0."),
        (["fit.field.bandwidth_hz=.nan"], "expected more than 0."),
        (["fit.reprojection_scale=.inf"], "expected more than 0."),
        (["fit.stages.guidance.steps=-1"], "'fit.stages.guidance.steps' is -1; expected 0 or more."),
        (["fit.stages.mine.steps=5"], "fit.stages.mine.updates"),
        ([f"fit.stages.{name}.steps=0" for name in load_config().fit.stages], "nothing would be fitted"),
    ],
)
def test_what_the_types_cannot_say_is_checked_too(overrides, told):
    assert told in refused(*overrides)


def test_a_number_out_of_bounds_is_refused_with_the_file_that_says_so(tmp_path):
    fine, wrong = tmp_path / "fine.yaml", tmp_path / "wrong.yaml"
    fine.write_text("guidance: {noise_end: 0.1}\n")
    wrong.write_text("guidance: {noise_end: -0.1}\n")
    assert f"{wrong}: field 'guidance.noise_end' is -0.1; expected 0 to 1." == refused(path=[fine, wrong])


def numbers_without_bounds(schema, path=""):
    for field, kind in zip(dataclasses.fields(schema), typing.get_type_hints(schema).values(), strict=True):
        for part in typing.get_args(kind) or (kind,):
            if dataclasses.is_dataclass(part):
                yield from numbers_without_bounds(part, f"{path}{field.name}.")
            elif part in (int, float) and "bounds" not in field.metadata:
                yield f"{path}{field.name}"


def test_every_number_says_between_which_values_it_makes_sense():
    assert list(numbers_without_bounds(Config)) == ["seed"]


def test_the_priors_recipe_is_as_strict():
    assert load_prior_training("prior", ["steps=5"]) == dataclasses.replace(load_prior_training("prior"), steps=5)
    with pytest.raises(DiffoptError, match="did you mean 'learning_rate'"):
        load_prior_training("prior", ["lerning_rate=1"])
    assert isinstance(load_prior_training(), PriorTraining)


def test_the_pose_prior_takes_the_place_of_the_motion_prior_wherever_that_stood():
    def weighed(config, loss):
        stages = load_config(config).fit.stages.items()
        return [(s, u) for s, stage in stages for u, update in stage.updates.items() if getattr(update.losses, loss)]

    assert weighed("ablations/vposer", "diffusion") == weighed(None, "pose_prior") == []
    assert weighed("ablations/vposer", "pose_prior") == weighed(None, "diffusion") != []


def test_both_priors_are_trained_on_the_same_people():
    motions, poses = load_prior_training(), load_pose_prior_training()
    assert (motions.validation, motions.excluded) == (poses.validation, poses.excluded)
