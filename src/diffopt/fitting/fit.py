"""One video as a LightningModule: its parameters are the motion field and the camera corrections."""

from dataclasses import fields
from typing import Any

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.model import BodyModel
from diffopt.device import generator_on, on_device
from diffopt.fitting.batch import SequenceBatch
from diffopt.fitting.objective import Objective
from diffopt.fitting.options import FitOptions, LossWeights, Stage, Update
from diffopt.fitting.start import Start
from diffopt.geometry.cameras import Cameras, to_camera
from diffopt.initialisation.state import InitialState
from diffopt.losses.guidance import Guidance, GuidanceTarget
from diffopt.motion.correction import CameraCorrection
from diffopt.motion.field import ExpectedPath, MotionField
from diffopt.motion.free import FreeMotion
from diffopt.motion.local_field import LocalField
from diffopt.motion.motion import Motion
from diffopt.prior.interface import GuidingPrior
from diffopt.prior.pose_prior import PosePrior


class SequenceFit(pl.LightningModule):
    """Fits the motion and the camera of one sequence.

    Which losses and who moves is the stage's matter (`stages.StageSwitch`); this module computes what it is told to.
    Every random choice of a step is drawn from the seed and the step's number, so that a fit resumed at any step goes
    on as if it had never stopped.
    """

    def __init__(
        self,
        initial: InitialState,
        fps: float,
        body: BodyModel,
        prior: GuidingPrior | None,
        options: FitOptions,
        guidance: Guidance,
        trust: str,
        seed: int,
        pose_network: PosePrior | None = None,
    ) -> None:
        """
        Args:
            initial: where the fit starts from.
            fps: frames per second.
            body: the body to pose; frozen.
            prior: the motion prior; frozen. None if no stage asks for it.
            options: field, corrections and stages.
            guidance: how the prior guides.
            trust: how far the given camera is trusted: `estimated`, `static` or `known`.
            seed: seed of every random choice.
            pose_network: the prior of single poses; frozen. None if no stage asks for it.
        """
        super().__init__()
        self.options = options
        self.guidance = guidance
        self.seed = seed
        self.start = Start(initial)
        num_frames = len(initial.motion)
        torch.manual_seed(seed)
        shape, duration_s = options.field, (num_frames - 1) / fps
        if shape.kind == "free":
            self.field: MotionField | LocalField | FreeMotion = FreeMotion(self.start.motion)
        elif shape.kind == "local":
            grids = (shape.bandwidth_hz, shape.features, shape.levels, shape.head_width)
            self.field = LocalField(self.start.motion, duration_s, *grids)
        else:
            path = ExpectedPath(self.start.transl)
            self.field = MotionField(duration_s, shape.bandwidth_hz, shape.width, shape.layers, path)
        self.correction = CameraCorrection(
            num_frames,
            trust,
            self.start.scale_known,
            options.correction.focal_per_frame,
            options.correction.travel_scale,
        )
        # Frozen networks are no part of the fit: not moved by its optimizer, not stored in its checkpoints.
        self._frozen = {"body": body.requires_grad_(False), "prior": prior and prior.requires_grad_(False)}
        self._frozen["pose_network"] = pose_network and pose_network.requires_grad_(False)
        self._sole_heights: Tensor | None = None
        self.stage = next(iter(options.stages))
        self.progress = 0.0
        self.steps_since_asked = 0
        self.target: GuidanceTarget | None = None
        """What the prior last took the windows for that it was asked about."""
        self.update = Update()
        self.losses: dict[str, Tensor] = {}
        """Every loss of the last step, unweighted, and their weighted total; read by the callbacks that report them
        now and then, since Lightning's own logging in every step costs a tenth of it."""

    @property
    def body(self) -> BodyModel:
        return self._frozen["body"]

    @property
    def prior(self) -> GuidingPrior | None:
        return self._frozen["prior"]

    @property
    def pose_network(self) -> PosePrior | None:
        return self._frozen["pose_network"]

    def setup(self, stage: str) -> None:
        # Copies, where they have to move: whoever gave them may use them elsewhere, and after the fit.
        self._frozen = {name: one and on_device(one, self.device) for name, one in self._frozen.items()}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        stage: Stage = self.options.stages[self.stage]
        # `full_lr` is what the stage's cosine falls from.
        groups: list[dict[str, Any]] = [
            {"name": "motion", "params": list(self.field.parameters()), "full_lr": stage.motion_lr},
            {"name": "camera", "params": self.correction.free_parameters(), "full_lr": stage.camera_lr},
        ]
        return torch.optim.Adam([group | {"lr": group["full_lr"]} for group in groups if group["params"]], fused=True)

    def take_turn(self, update: Update, progress: float, steps_since_asked: int = 0) -> None:
        """Who moves in the next step, under which losses.

        Args:
            update: the stage's update whose turn it is.
            progress: how far the stage is, 0 to 1.
            steps_since_asked: steps ago at which the prior was asked for the target that still holds; 0 asks it anew.
        """
        self.update, self.progress, self.steps_since_asked = update, progress, steps_since_asked
        self.field.requires_grad_(update.motion)
        self.correction.requires_grad_(False)
        for parameter in self.correction.free_parameters():
            parameter.requires_grad_(update.camera)

    def objective(self, batch: SequenceBatch, step: int) -> Objective:
        """The losses of step `step`, on the window that it draws."""
        seed = self.seed * 1_000_003 + step
        # Where the window lies is asked on the host, where a slice is made of it.
        host = generator_on(torch.device("cpu"), seed)
        # A target holds for the windows that the prior was asked about.
        generator = generator_on(self.device, seed - self.steps_since_asked)
        length = min(self.options.frames_per_step, batch.num_frames)
        # About a frame drawn from the whole clip: windows drawn by their beginning would hardly ever hold its two ends.
        middle = int(torch.randint(batch.num_frames, (), generator=host))
        start = min(max(middle - length // 2, 0), batch.num_frames - length)
        window = slice(start, start + length)
        return Objective(
            field=self.field,
            start=self.start,
            correction=self.correction,
            body=self.body,
            prior=self.prior,
            pose_network=self.pose_network,
            guidance=self.guidance,
            scales=self.options.scales,
            batch=batch,
            window=window,
            scale_px=self.options.reprojection_scale * batch.person_px[window],
            progress=self.progress,
            generator=generator,
            target=self.target if self.steps_since_asked else None,
            sole_heights=self._soles(batch.betas),
            guided=self.update.losses.diffusion > 0,
        )

    def _soles(self, betas: Float[Tensor, "10"]) -> Float[Tensor, "4"]:
        if self._sole_heights is None:
            self._sole_heights = self.body.sole_heights(betas)
        return self._sole_heights

    def training_step(self, batch: SequenceBatch, batch_idx: int) -> Tensor | None:
        objective = self.objective(batch, self.global_step)
        weights = self.update.losses
        total = torch.zeros((), device=self.device)
        self.losses = {}
        for name in (field.name for field in fields(LossWeights)):
            weight = getattr(weights, name)
            if weight:
                value = getattr(objective, name)
                total = total + weight * value
                self.losses[name] = value.detach()
        self.losses["total"] = total.detach()
        if objective.target is not None:
            self.target = objective.target
        # A turn in which nothing may move (a known camera's) is a step without a gradient.
        return total if total.requires_grad else None

    @torch.no_grad()
    def estimate(self) -> tuple[Motion, Cameras]:
        """The motion at the video's frames and the corrected cameras, as they stand."""
        phase = torch.linspace(0, 1, len(self.start.transl), device=self.device)
        return self.field(phase), self.correction(self.start.cameras)

    @torch.no_grad()
    def bodies_in_camera(self, betas: Float[Tensor, "10"]) -> Motion:
        """The bodies as they stand, in the camera frame of each frame, as the corrected cameras see them.

        Args:
            betas: shape of the body.
        """
        motion, cameras = self.estimate()
        rest_pelvis = self.body.rest_joints(betas)[0]
        pelvis_c = to_camera((motion.transl + rest_pelvis)[:, None], cameras.rotation_w2c, cameras.translation_w2c)
        return Motion(motion.body_pose, cameras.rotation_w2c @ motion.global_orient, pelvis_c[:, 0] - rest_pelvis)

    @torch.no_grad()
    def restart(self, initial: InitialState) -> None:
        """Start anew from another state; the corrections begin again at nothing."""
        self.start.move_to(initial)
        self.field.start_from(self.start.motion)
        self.correction.reset()
