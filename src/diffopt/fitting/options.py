"""Every setting of a fit, with its unit: the paper's Table 1 as data. Plain dataclasses, read from YAML elsewhere."""

import dataclasses
from dataclasses import dataclass

from diffopt.bounds import at_least, fraction, positive
from diffopt.initialisation.options import InitialisationOptions
from diffopt.result.diagnostics import DiagnosticsOptions


@dataclass
class FieldOptions:
    """The motion field."""

    kind: str = "local"
    """`local` (features on grids of time), `cosine` (three networks of all of the clip's cosines, as in the paper) or
    `free` (learnable tensors per frame, its ablation)."""
    width: int = at_least(1, 256)
    """`cosine`: units of each hidden layer."""
    layers: int = at_least(2, 3)
    """`cosine`: linear layers of each network."""
    features: int = at_least(1, 16)
    """`local`: learned numbers per knot."""
    levels: int = at_least(1, 5)
    """`local`: grids; each has knots twice as far apart as the one before."""
    head_width: int = at_least(1, 128)
    """`local`: units of the heads' hidden layer."""
    bandwidth_hz: float = positive(6.0)
    """Fastest motion that the field resolves; everyday limbs stay below 6 Hz."""


@dataclass
class CorrectionOptions:
    """Camera corrections."""

    focal_per_frame: bool = False
    """One focal scale per frame (a zooming lens) instead of one for the clip."""
    travel_scale: bool = True
    """One scale of the camera's whole travel beside the paper's s_t of each frame, where the scale is not known."""


@dataclass(frozen=True)
class LossScales:
    """What the losses beyond the paper take for much: a residual of its scale counts about 1, or half a ceiling."""

    sliding_height_m: float = positive(0.05)
    """`foot_sliding`: a point of a sole this high over the floor is half as likely to be in contact, metres. Judgement:
    twice the height at which toes swing past the ground (1 to 2 cm, Winter 1992), for what bodies are misjudged."""
    sliding_m_s: float = positive(0.5)
    """`foot_sliding`: a foot in contact this fast costs half the ceiling, metres per second. Judgement, between
    standing and swinging: swinging feet reach three times the walking speed, 3 m/s and more."""
    floor_height_m: float = positive(0.05)
    """`floor`: a still foot this far off the floor costs half the ceiling, metres; depth counts linearly beyond it.
    Judgement, as `sliding_height_m`."""
    floor_m_s: float = positive(0.3)
    """`floor`: a foot this fast is half as likely to stand, metres per second. Judgement, as `sliding_m_s`."""
    acceleration_m_s2: float = positive(10.0)
    """`acceleration`: of a joint, metres per second squared; about that of free fall, which any jump has."""
    rotation: float = positive(0.005)
    """`correction_size`: of b_R, radians; what SLAM turns in a second of drift (0.3 degrees, as simulated)."""
    translation_m: float = positive(0.03)
    """`correction_size`: of b_t, metres; what SLAM drifts over a metre of its path (a few percent, Ye et al. 2023)."""
    ratio: float = positive(0.03)
    """`correction_size`: of s_t and s_f off 1; the same few percent."""
    rotation_per_s2: float = positive(0.5)
    """`correction_roughness`: second derivative of b_R, 1/s^2. Derived from `rotation`: what it has if it swings to and
    fro at 1.6 Hz, faster than which is no drift."""
    translation_m_s2: float = positive(1.0)
    """`correction_roughness`: second derivative of b_t, m/s^2; that of `translation_m` swinging at 0.9 Hz."""
    ratio_per_s2: float = positive(0.5)
    """`correction_roughness`: second derivative of s_t and s_f, 1/s^2; that of `ratio` swinging at 0.65 Hz."""


@dataclass
class LossWeights:
    """Weights of the losses in one update; 0 leaves a loss out."""

    warmup: float = at_least(0, 0.0)
    """Field against initial motion, L_warmup (eq. 5)."""
    articulation: float = at_least(0, 0.0)
    """Field's articulation against the initial one, the second term of eq. 6."""
    diffusion: float = at_least(0, 0.0)
    """Score distillation from the motion prior, L_Diff (eq. 3)."""
    pose_prior: float = at_least(0, 0.0)
    """Unlikely poses, frame by frame, in place of the motion prior (the paper's ablation with VPoser)."""
    reprojection: float = at_least(0, 0.0)
    """Projected joints against detected keypoints, L_2D (eq. 8)."""
    foot_sliding: float = at_least(0, 0.0)
    """Feet in contact stand still."""
    floor: float = at_least(0, 0.0)
    """Standing feet touch the floor, none sinks into it."""
    acceleration: float = at_least(0, 0.0)
    """Joints do not jerk."""
    correction_size: float = at_least(0, 0.0)
    """Camera corrections stay small."""
    correction_roughness: float = at_least(0, 0.0)
    """Camera corrections stay smooth."""


@dataclass
class Update:
    """Who moves under which losses."""

    motion: bool = False
    """The motion field moves."""
    camera: bool = False
    """The camera corrections move."""
    losses: LossWeights = dataclasses.field(default_factory=LossWeights)


@dataclass
class Stage:
    """One row of the paper's Table 1. Its updates take turns, one per optimizer step."""

    steps: int = at_least(0, 0)
    """Optimizer steps for a clip of `reference_frames` or fewer; 0 leaves the stage out."""
    motion_lr: float = positive(1e-3)
    """Adam's step size for the field."""
    camera_lr: float = positive(1e-3)
    """Adam's step size for the corrections."""
    final_lr: float = fraction(0.1)
    """Share of both step sizes left at the end of the stage; they fall along a cosine."""
    solve_world: bool = False
    """Before the stage, solve root trajectory, scale, gravity and floor anew from the bodies as they stand."""
    updates: dict[str, Update] = dataclasses.field(default_factory=dict)


@dataclass
class FitOptions:
    """How one sequence is fitted."""

    frames_per_step: int = at_least(1, 256)
    """Consecutive frames that one step looks at; a longer clip is seen in random windows, so memory stays flat."""
    reprojection_scale: float = positive(0.06)
    """Residual that costs half the ceiling of L_2D, as a share of the person's height in the image."""
    min_confidence: float = fraction(0.3)
    """Keypoints trusted less than this are left out."""
    unseen_trust: float = fraction(0.01)
    """Trust in the initial motion of frames out of sight, which was made up. Judgement: little enough for the prior to
    change it, and not nothing, since a field that nothing holds runs wild."""
    root_trajectory: str = "prior"
    """What tells the initial root trajectory, x_init: `prior` (what the motion prior expects of the legs), `feet` (feet
    in contact alone) or `composed` (the given camera alone, its unit taken for a metre: the paper's)."""
    pose_prior: str = "default"
    """What a weight of `pose_prior` asks: `default` (shipped), or the path of another one, VPoser's folder say."""
    field: FieldOptions = dataclasses.field(default_factory=FieldOptions)
    correction: CorrectionOptions = dataclasses.field(default_factory=CorrectionOptions)
    initialisation: InitialisationOptions = dataclasses.field(default_factory=InitialisationOptions)
    scales: LossScales = dataclasses.field(default_factory=LossScales)
    diagnostics: DiagnosticsOptions = dataclasses.field(default_factory=DiagnosticsOptions)
    stages: dict[str, Stage] = dataclasses.field(default_factory=dict)
    """Stages in the order in which they are run."""


@dataclass
class LoggingOptions:
    """Curves and checkpoints."""

    wandb: str = "offline"
    """`offline` (kept on this machine, `wandb sync` sends it later), `online` or `disabled`."""
    project: str = "diffopt"
    """Project that WandB files the run under."""
    machine: bool = False
    """Let WandB also record what it finds out about the machine: host, user, command line, git, packages, load."""
    metrics_every: int = at_least(1, 100)
    """Steps between two points of the curves against the truth, where that is known."""
    checkpoint_every: int = at_least(1, 250)
    """Steps between two checkpoints; a fit that was stopped goes on from the last one."""
