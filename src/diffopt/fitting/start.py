"""The state that a fit starts from, as buffers: a checkpoint holds it, since a fit may find a better one on its way."""

from torch import Tensor, nn

from diffopt.geometry.cameras import Cameras
from diffopt.initialisation.state import InitialState
from diffopt.motion.motion import Motion


class Start(nn.Module):
    """Initial motion and given camera in the world of the fit (y up, metres, floor y = 0)."""

    body_pose: Tensor
    global_orient: Tensor
    transl: Tensor
    rotation_w2c: Tensor
    translation_w2c: Tensor
    focal_px: Tensor
    center_px: Tensor

    def __init__(self, state: InitialState) -> None:
        super().__init__()
        self.findings = dict(state.findings)
        self.scale_known = state.scale_known
        for part in (state.motion, state.cameras):
            for name, values in vars(part).items():
                self.register_buffer(name, values.clone())

    @property
    def motion(self) -> Motion:
        return Motion(self.body_pose, self.global_orient, self.transl)

    @property
    def cameras(self) -> Cameras:
        return Cameras(self.rotation_w2c, self.translation_w2c, self.focal_px, self.center_px)

    def move_to(self, state: InitialState) -> None:
        """Start from another state."""
        self.findings = dict(state.findings)
        for part in (state.motion, state.cameras):
            for name, values in vars(part).items():
                getattr(self, name).copy_(values)

    def get_extra_state(self) -> dict[str, float]:
        return self.findings

    def set_extra_state(self, state: dict[str, float]) -> None:
        self.findings = state
