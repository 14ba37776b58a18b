"""The metrics as one torchmetrics metric, for running means over clips and over processes."""

import torch
import torchmetrics
from torch import Tensor

from diffopt.evaluation.metrics import Track, frame_errors

SCORE_NAMES: tuple[str, ...] = (
    "mpjpe_mm", "mpvpe_mm", "g_mpjpe_mm", "g_mpvpe_mm", "g_mpjpe_first_frame_mm", "pa_mpjpe_mm", "mpjpe_cam_mm",
    "w_mpjpe_100_mm", "w_mpjpe_100_scale", "wa_mpjpe_100_mm", "wa_mpjpe_100_scale", "glamr_g_mpjpe_mm", "rte_percent",
    "roe_deg", "erve_mm", "accel_m_s2", "accel_cam_m_s2", "jitter", "foot_sliding_mm", "ate_mm", "ate_s_mm",
    "camera_rotation_deg",
)  # fmt: skip


class MotionScore(torchmetrics.Metric):
    """All metrics over many clips: the mean over all frames of all clips (chunks, contacts or clips where these are
    what a metric counts), in any number of processes."""

    full_state_update = False
    higher_is_better = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros(len(SCORE_NAMES), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros(len(SCORE_NAMES), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, predicted: Track, true: Track, fps: float) -> None:
        """Add one clip."""
        for name, values in frame_errors(predicted.double(), true.double(), fps).items():
            row = SCORE_NAMES.index(name)
            self.total[row] += values.sum().to(self.total)
            self.count[row] += values.numel()

    def compute(self) -> dict[str, Tensor]:
        """Means by name; a metric that no clip allowed is left out."""
        means = self.total / self.count
        return {name: means[row] for row, name in enumerate(SCORE_NAMES) if self.count[row] > 0}
