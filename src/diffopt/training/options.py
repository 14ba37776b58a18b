"""How the motion prior is trained: the fields of `configs/prior.yaml`."""

from dataclasses import dataclass, field

from diffopt.bounds import at_least
from diffopt.mocap.sources import Source
from diffopt.prior.denoiser import DenoiserSize
from diffopt.training.windows import WindowRecipe


@dataclass
class FeatureWeights:
    """Weights of the mean squared errors of normalised features, per block, and of the errors of the path."""

    velocity_residual: float = 0.5
    clearance: float = 0.3
    yaw_rate: float = 0.3
    tilt: float = 0.5
    rotations: float = 1.0
    positions: float = 1.0
    velocities: float = 1.0
    contact_velocity: float = 0.5
    support: float = 0.2
    root_velocity: float = 0.5
    displacement: float = 1.0


@dataclass
class PriorTraining:
    """Everything that decides a training run of the motion prior."""

    data: str = "mocap"
    """File or folder with motion capture: the project's pack, AMASS or BVH."""
    sources: dict[str, Source] = field(default_factory=dict)
    """Further files and folders, in this order. A trial that occurs again is taken from the last source that has it."""
    identities: dict[str, str] = field(default_factory=dict)
    """`person/trial` of trials that go by another name: for finding copies, and for whom they belong to."""
    kinds: dict[str, str] = field(default_factory=dict)
    """What clips are of where their speed does not tell, by patterns of their names (`60_*: dance`); the last holds."""
    out: str = "prior"
    """Folder for checkpoints, curves and the finished `prior.safetensors`. A run that stopped here goes on."""
    body: str = "free"
    """Whose skeleton the windows approach: `free` or the path of a user's own SMPL file."""
    validation: dict[str, str] = field(default_factory=dict)
    """Subjects kept out for validation, by what they stand for."""
    excluded: dict[str, str] = field(default_factory=dict)
    """Subjects and clips that are left out altogether, each with the reason."""
    windows: WindowRecipe = field(default_factory=WindowRecipe)
    num_steps: int = 1000
    """Noise levels of the cosine schedule."""
    network: DenoiserSize = field(default_factory=DenoiserSize)
    loss: FeatureWeights = field(default_factory=FeatureWeights)
    given_share: float = 0.25
    """Part of the windows whose articulation is nearly clean (a tenth of the levels at most) while the root is not."""
    steps: int = 3600
    max_seconds: float = at_least(0, 0.0)
    """End after so much time of training, earlier parts of it counted in; the learning rate has then fallen as at the
    end of `steps`. With 0, `steps` decide."""
    learning_rate: float = 5e-4
    warmup_steps: int = 200
    weight_decay: float = 0.02
    clip_norm: float = 1.0
    ema: float = 0.998
    validate_every: int = 250
    """Steps between validations."""
    patience: int = 8
    """Validations without progress after which training stops."""
    validation_batches: int = 10
    precision: str = "32-true"
    threads: int = 1
    """CPU threads of torch; 0 leaves its default."""
    workers: int = 0
    """Processes that prepare windows."""
    device: str = "auto"
    """`auto` (a CUDA device where there is one), `cpu` or `cuda`."""
    devices: int = at_least(1, 1)
    """Devices, or on the CPU processes; with more than one: data-parallel (DDP)."""
    wandb: bool = False
    seed: int = 0
    trained_on: str = ""
    """Data and licence, written into the weights' header."""
