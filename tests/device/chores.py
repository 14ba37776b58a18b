"""What a worker process of an evaluation does on the pretended device; in a module that it can import."""

from diffopt.evaluation.clip import Clip, score_clip
from tests.device.pretended_cuda import crossings, pretended_cuda


def score_on_the_device(clip: Clip) -> dict:
    with pretended_cuda():
        crossings.clear()
        result = score_clip(clip)
        assert clip.kind != "fit" or crossings["to device"] > 10, "nothing was on the device"
    return result
