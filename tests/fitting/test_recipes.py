"""Recipes measure what they name: the paper's stages and losses, and ablations that take out one thing."""

import dataclasses
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
import yaml

from diffopt.body.skeleton import BODY_JOINTS
from diffopt.config import load_config, shipped
from diffopt.errors import DiffoptError
from diffopt.fitting import run
from diffopt.fitting.options import FitOptions
from diffopt.losses.guidance import Guidance, guidance_loss, guidance_target
from diffopt.losses.reprojection import reprojection_loss
from diffopt.losses.warmup import articulation_loss, warmup_loss

MOTION, CAMERA = {"motion"}, {"camera"}
TABLE_1 = {
    "warmup": [(MOTION, {"warmup"})],
    "guidance": [(MOTION, {"diffusion", "articulation"}), (CAMERA, {"reprojection"})],
    "finetune": [(MOTION | CAMERA, {"diffusion", "warmup", "reprojection"})],
}
"""The paper's Table 1: by stage and turn, who moves under which losses; eqs. 4, 6, 7 and 11 are their plain sums."""
ABLATIONS = sorted(path.stem for path in (shipped("default").parent / "ablations").glob("*.yaml"))
LEARN = ("pose", "warmup")
"""Stages in which the field learns the initial motion."""


def weighed(update):
    """The losses of an update that count, with their weights."""
    return {name: weight for name, weight in dataclasses.asdict(update.losses).items() if weight}


def table(fit):
    """The stages that are run, as `TABLE_1` writes them."""
    return {
        name: [
            ({who for who in ("motion", "camera") if getattr(update, who)}, set(weighed(update)))
            for update in stage.updates.values()
        ]
        for name, stage in fit.stages.items()
        if stage.steps > 0
    }


def test_the_papers_recipe_is_its_table_1():
    fit = load_config("paper").fit
    assert table(fit) == TABLE_1
    assert {w for stage in fit.stages.values() for u in stage.updates.values() for w in weighed(u).values()} == {1.0}


def test_the_papers_guidance_is_its_equation_3():
    guidance = load_config("paper").guidance
    assert (guidance.noise_end, guidance.noise_start, guidance.annealed) == (0.0, 1.0, False)  # t ~ U(0, 1)
    assert guidance.one_norm and guidance.score_weighting and guidance.draws == guidance.denoise_steps == 1
    assert guidance.articulation_noise == 1.0


def test_the_papers_start_and_camera_are_its_own():
    fit = load_config("paper").fit
    assert fit.root_trajectory == "composed" and fit.field.kind == "cosine"
    assert fit.correction.focal_per_frame and not fit.correction.travel_scale
    assert not any(stage.solve_world for stage in fit.stages.values())


def test_nothing_that_the_default_gains_leaks_into_the_papers_recipe(tmp_path):
    gained = tmp_path / "gained.yaml"
    gained.write_text("fit: {stages: {finetune: {updates: {all: {losses: {floor: 1.0}}}}, extra: {steps: 9}}}\n")
    assert load_config([gained, "paper"]) == load_config("paper")
    tree = yaml.safe_load(shipped("paper").read_text())
    del tree["fit"]["stages"]  # each names what it uses
    for options, group in ((Guidance(), tree["guidance"]), (FitOptions(), tree["fit"])):
        assert names(dataclasses.asdict(options)) - {"stages"} == names(group)


def names(tree, path=""):
    """Dotted names of all the fields of a tree that are not groups."""
    groups = {f"{path}{key}.": value for key, value in tree.items() if isinstance(value, dict) and value}
    inside = set().union(*(names(value, key) for key, value in groups.items()))
    return inside | {f"{path}{key}" for key in tree if f"{path}{key}." not in groups}


class Terms(pl.Callback):
    """The losses of every step, and those of the same objective written out from its parts."""

    def __init__(self):
        self.steps = []

    def on_train_batch_start(self, trainer, fit, batch, batch_idx):
        objective = fit.objective(batch, fit.global_step)
        with torch.no_grad():
            motion, initial = fit.field(torch.linspace(0, 1, batch.num_frames)), fit.start.motion
            cameras = fit.correction(fit.start.cameras)
            landmarks = fit.body.landmarks(motion.body_pose, motion.global_orient, motion.transl, batch.betas)
            points_c = (batch.regressor @ landmarks) @ cameras.rotation_w2c.mT + cameras.translation_w2c[:, None]
            pixels = (
                cameras.focal_px[:, None, None] * points_c[..., :2] / points_c[..., 2:] + cameras.center_px[:, None]
            )
            # The noise of a step comes after its windows, from the generator that drew both.
            phases = objective._prior_phases
            dense = fit.field(phases.flatten())
            joints = fit.body.joints(dense.body_pose, dense.global_orient, dense.transl, batch.betas)[:, :BODY_JOINTS]
            features = fit.prior.features(
                dense.body_rotations().unflatten(0, phases.shape), joints.unflatten(0, phases.shape)
            )
            target = guidance_target(fit.prior, fit.guidance, features, fit.progress, objective.generator)
            self.expected = {
                "warmup": warmup_loss(motion, initial, batch.trust),
                "articulation": articulation_loss(motion.body_pose, initial.body_pose, batch.trust),
                "reprojection": reprojection_loss(
                    pixels, batch.keypoints_px, batch.confidence, objective.scale_px[:, None]
                ),
                "diffusion": guidance_loss(fit.prior, fit.guidance, features, target),
            }

    def on_train_batch_end(self, trainer, fit, outputs, batch, batch_idx):
        self.steps.append((fit.stage, dict(fit.losses), self.expected))


def test_each_step_of_the_papers_recipe_adds_up_the_losses_of_its_row(walk, body, small_prior, tmp_path, monkeypatch):
    """Eqs. 4, 6, 7 and 11, term by term: no term may be missing, weighed twice, or computed from something else."""
    steps = [f"fit.stages.{name}.steps=4" for name in TABLE_1]
    config = load_config("paper", [*steps, "logging.wandb=disabled"])
    terms, trainer = Terms(), pl.Trainer
    monkeypatch.setattr(run.pl, "Trainer", lambda **o: trainer(**o | {"callbacks": [*o["callbacks"], terms]}))
    run.fit_sequence(
        walk, body, small_prior, config.fit, config.guidance, config.logging, 0, "cpu", tmp_path, show_progress=False
    )

    turns = {stage: 0 for stage in TABLE_1}
    for stage, losses, expected in terms.steps:
        _, row = TABLE_1[stage][turns[stage] % len(TABLE_1[stage])]
        turns[stage] += 1
        assert set(losses) == row | {"total"}
        for name in row:
            assert torch.isclose(losses[name], expected[name], rtol=1e-3, atol=1e-6), (stage, name)
        assert torch.isclose(losses["total"], sum(expected[name] for name in row), rtol=1e-3, atol=1e-6)
    assert turns == dict.fromkeys(TABLE_1, 4)


@pytest.mark.parametrize("recipe", [None, "paper"])
def test_the_prior_speaks_in_guidance_and_in_fine_tuning(recipe):
    stages = load_config(recipe).fit.stages
    assert "diffusion" in weighed(stages["guidance"].updates["human"])
    assert "diffusion" in weighed(stages["finetune"].updates["all"])


@pytest.mark.parametrize("ablation", ABLATIONS)
@pytest.mark.parametrize("recipe", [(), ("paper",)])
def test_ablations_stack_on_the_default_and_on_the_papers_recipe(recipe, ablation):
    whole, without = load_config(recipe), load_config([*recipe, f"ablations/{ablation}"])
    # The paper's recipe has no terms for contact to leave out.
    assert (without == whole) == (recipe == ("paper",) and ablation == "no_contact")
    # What is left out is left out, and who moves in the stages that stay is as before.
    kept = {name for name, stage in without.fit.stages.items() if stage.steps > 0}
    assert kept <= {name for name, stage in whole.fit.stages.items() if stage.steps > 0} | {"pose"}
    for name in kept & set(whole.fit.stages):
        assert list(without.fit.stages[name].updates) == list(whole.fit.stages[name].updates)


@pytest.mark.parametrize("recipe", [(), ("paper",)])
def test_each_of_table_5s_rows_leaves_out_what_its_name_says(recipe):
    def ablated(name):
        return load_config([*recipe, f"ablations/{name}"])

    def stages(config):
        return [name for name, stage in config.fit.stages.items() if stage.steps > 0]

    whole = load_config(recipe)
    assert stages(ablated("no_mdm")) == [name for name in stages(whole) if name != "guidance"]
    assert ablated("no_mdm").prior == whole.prior and ablated("no_mdm").fit.root_trajectory == whole.fit.root_trajectory
    assert stages(ablated("no_warmup")) == [name for name in stages(whole) if name not in LEARN]
    assert stages(ablated("no_finetuning")) == [name for name in stages(whole) if name != "finetune"]
    assert ablated("learnable_tensors").fit.field.kind == "free"
    assert ablated("vposer").prior.path == ablated("no_prior").prior.path == "none"
    assert ablated("no_prior").fit == whole.fit


@pytest.mark.parametrize(("recipe", "name"), [((), "single_stage"), (("paper",), "single_stage_paper")])
def test_a_single_stage_has_the_steps_and_the_losses_of_all(recipe, name):
    whole, single = load_config(recipe).fit.stages, load_config([*recipe, f"ablations/{name}"]).fit.stages
    assert [stage for stage, options in single.items() if options.steps > 0] == ["finetune"]
    assert single["finetune"].steps == sum(stage.steps for stage in whole.values())
    assert single["finetune"].updates == whole["finetune"].updates


def test_without_a_prior_none_is_read_and_none_is_asked(walk, body, short_recipe, tmp_path, monkeypatch):
    assert run.prior_for(short_recipe.fit, "none") is None
    with pytest.raises(DiffoptError, match="nowhere"):
        run.prior_for(short_recipe.fit, tmp_path / "nowhere")
    losses = set()

    class Watch(pl.Callback):
        def on_train_batch_end(self, trainer, fit, outputs, batch, batch_idx):
            losses.update(fit.losses)

    trainer = pl.Trainer
    monkeypatch.setattr(run.pl, "Trainer", lambda **o: trainer(**o | {"callbacks": [*o["callbacks"], Watch()]}))
    run.fit_sequence(
        walk, body, None, short_recipe.fit, short_recipe.guidance, short_recipe.logging, 0, "cpu", Path(tmp_path),
        show_progress=False,
    )  # fmt: skip
    assert "diffusion" not in losses and "reprojection" in losses


def test_the_prior_that_tells_the_path_is_read_even_if_no_loss_weighs_it(short_recipe):
    silent = run.without_prior(short_recipe.fit)
    assert run.prior_for(silent, "default") is not None
    assert run.prior_for(dataclasses.replace(silent, root_trajectory="composed"), "default") is None
