"""Makes the oracles beside this file by running the reference implementations on random weights and made-up motion.

Not run by the tests. It needs copies of both repositories, which stay outside this one:
    python make_oracles.py --humanml3d EricGuo5513/HumanML3D --mdm GuyTevet/motion-diffusion-model
"""

import argparse
import json
import os
import sys
import types
from pathlib import Path

import numpy as np
import scipy.ndimage
import torch

from diffopt.body.skeleton import forward_kinematics
from diffopt.prior.mdm import humanml3d

HERE = Path(__file__).resolve().parent
NETWORKS = {
    "no_text": {"cond_mode": "no_cond"},
    "text": {"cond_mode": "text"},
    "text_mask_frames": {"cond_mode": "text", "mask_frames": True},
    "decoder": {"cond_mode": "text", "arch": "trans_dec"},
    "decoder_token_mask_frames": {"cond_mode": "text", "arch": "trans_dec", "emb_trans_dec": True, "mask_frames": True},
}
NETWORK_SIZE = {"latent_dim": 8, "ff_size": 12, "num_layers": 2}
TEXT_WIDTH, FEATURES, CLIP_FRAMES = 4, 5, 7


def make_motion(frames: int = 120) -> np.ndarray:
    """Joints of a body that walks a circle, well past the direction opposite to its start, (T, 22, 3) float32."""
    generator = torch.Generator().manual_seed(3)
    rest = np.array(
        [
            [0, 0.9, 0], [0.06, -0.09, 0], [-0.07, -0.09, 0], [0, 0.11, -0.02], [0.04, -0.38, 0], [-0.04, -0.39, 0.01],
            [0, 0.13, 0.02], [-0.01, -0.41, -0.04], [0.01, -0.4, -0.03], [0, 0.06, 0.02], [0.04, -0.06, 0.12],
            [-0.04, -0.06, 0.13], [0, 0.21, -0.03], [0.08, 0.12, -0.02], [-0.08, 0.11, -0.02], [0, 0.09, 0.05],
            [0.1, 0.04, -0.01], [-0.11, 0.04, -0.01], [0.25, -0.02, -0.02], [-0.26, -0.02, -0.02], [0.24, 0.02, 0],
            [-0.25, 0.01, 0],
        ]
    )  # fmt: skip
    wobble = torch.randn(frames, 22, 3, generator=generator, dtype=torch.float64).numpy()
    wobble = scipy.ndimage.gaussian_filter1d(wobble, 6, axis=0)
    wobble *= 0.35 / wobble.std()
    wobble[:, [0, 3, 6, 9]] *= 0.3  # the trunk keeps its heading
    yaw = np.linspace(0.4, 0.4 + 1.5 * np.pi, frames)
    rotations = (
        scipy.spatial.transform.Rotation.from_rotvec(wobble.reshape(-1, 3)).as_matrix().reshape(frames, 22, 3, 3)
    )
    turn = scipy.spatial.transform.Rotation.from_rotvec(yaw[:, None] * [0, 1, 0]).as_matrix()
    rotations[:, 0] = turn @ rotations[:, 0]
    offsets = np.repeat(rest[None], frames, axis=0)
    offsets[:, 0] += np.stack((-np.cos(yaw), 0.03 * np.sin(4 * yaw), np.sin(yaw)), axis=-1)
    return forward_kinematics(torch.from_numpy(rotations), torch.from_numpy(offsets))[1].float().numpy()


def make_humanml3d(repository: Path) -> None:
    """Features and joints by the notebook's cells, with their outdated numpy and scipy names mended."""
    sys.path.insert(0, str(repository))
    vars(np)["float"] = float
    sys.modules["scipy.ndimage.filters"] = scipy.ndimage
    cells = json.loads((repository / "motion_representation.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    scope: dict = {}
    for cell in code[:4]:
        exec(cell.replace("from tqdm import tqdm", ""), scope)
    bones = humanml3d._assets()["bone_lengths"]
    scope.update(l_idx1=5, l_idx2=8, fid_r=[8, 11], fid_l=[7, 10], face_joint_indx=[2, 1, 17, 16], r_hip=2, l_hip=1)
    scope.update(joints_num=22, n_raw_offsets=torch.from_numpy(scope["t2m_raw_offsets"]))
    scope.update(kinematic_chain=scope["t2m_kinematic_chain"], tgt_offsets=bones[:, None] * scope["n_raw_offsets"])
    joints = make_motion()
    features, canonical, _, _ = scope["process_file"](joints.copy(), 0.002)
    rebuilt = scope["recover_from_ric"](torch.from_numpy(features).float()[None], 22)[0].numpy()
    rows = np.arange(0, len(features), 9)
    np.savez_compressed(
        HERE / "humanml3d.npz",
        joints=joints,
        rows=rows,
        features=features[rows].astype(np.float32),
        root_features=features[:, :4].astype(np.float32),
        canonical=canonical[rows].astype(np.float32),
        rebuilt=rebuilt[rows].astype(np.float32),
    )


def make_networks(repository: Path) -> None:
    """Weights and answers of MDM's network, its text encoder and body model replaced by nothing."""
    sys.path.insert(0, str(repository))
    stub("clip")
    stub("model.rotation2xyz", Rotation2xyz=lambda **_: types.SimpleNamespace(smpl_model=torch.nn.Identity()))
    stub("model.BERT.BERT_encoder", load_bert=None)
    from model.mdm import MDM

    MDM.load_and_freeze_clip = lambda self, version: None
    generator = torch.Generator().manual_seed(5)
    noised = torch.randn(2, FEATURES, 1, CLIP_FRAMES, generator=generator)
    mask = torch.ones(2, 1, 1, CLIP_FRAMES, dtype=torch.bool)
    mask[1, ..., 4:] = False
    levels = torch.tensor([3, 999])
    stored = {"noised": noised[:, :, 0].mT.numpy(), "valid": mask[:, 0, 0].numpy(), "levels": levels.numpy()}
    for name, options in NETWORKS.items():
        torch.manual_seed(7)
        network = MDM("", FEATURES, 1, 1, True, "rot6d", True, True, data_rep="hml_vec", dataset="humanml",
                      clip_dim=TEXT_WIDTH, cond_mask_prob=0.1, **NETWORK_SIZE, **options)  # fmt: skip
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
        for module in network.modules():
            module.training = False  # not by eval(): the network's own reaches into the body model
        condition = {"mask": mask, "uncond": True, "text_embed": torch.randn(1, 2, TEXT_WIDTH)}
        for dtype in (torch.float32, torch.float64):
            for module in network.children():
                module.to(dtype)
            condition["text_embed"] = condition["text_embed"].to(dtype)
            with torch.no_grad():
                answer = network(noised.to(dtype), levels, condition)
            stored[f"{name}/answer_{str(dtype).removeprefix('torch.')}"] = answer[:, :, 0].mT.numpy()
        for key, value in network.state_dict().items():
            if not key.endswith(".pe"):
                stored[f"{name}/weights/{key}"] = value.float().numpy()
    np.savez_compressed(HERE / "mdm.npz", **stored)


def make_sampling(repository: Path) -> None:
    """Sampling loops of MDM's diffusion around a made-up network."""
    sys.path.insert(0, str(repository))
    stub("data_loaders.humanml.scripts.motion_process", get_target_location=None)
    from diffusion import gaussian_diffusion as reference
    from diffusion.respace import SpacedDiffusion, space_timesteps

    start = torch.randn(2, 3, 1, 4, generator=torch.Generator().manual_seed(1))

    def network(noised: torch.Tensor, level: torch.Tensor, y: dict) -> torch.Tensor:
        return torch.tanh(0.7 * noised + 0.01 * level[:, None, None, None])

    stored = {"start": start[:, :, 0].mT.numpy()}
    for schedule in ("cosine", "linear"):
        for steps in (50, 12):
            diffusion = SpacedDiffusion(
                use_timesteps=space_timesteps(50, [steps]),
                betas=reference.get_named_beta_schedule(schedule, 50),
                model_mean_type=reference.ModelMeanType.START_X,
                model_var_type=reference.ModelVarType.FIXED_SMALL,
                loss_type=reference.LossType.MSE,
            )
            options = {"noise": start, "clip_denoised": False, "model_kwargs": {"y": {}}, "device": "cpu"}
            name = f"{schedule}_{steps}"
            stored[f"{name}/alpha_squared"] = diffusion.alphas_cumprod
            stored[f"{name}/levels"] = np.array(diffusion.timestep_map)
            sample = diffusion.ddim_sample_loop(network, start.shape, eta=0.0, **options)
            stored[f"{name}/ddim"] = sample[:, :, 0].mT.numpy()
    np.savez_compressed(HERE / "sampling.npz", **stored)


def stub(name: str, **attributes: object) -> None:
    """An importable module of just these attributes, for what the reference imports and an oracle never calls."""
    sys.modules[name] = types.ModuleType(name)
    for attribute, value in attributes.items():
        setattr(sys.modules[name], attribute, value)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--humanml3d", type=Path, required=True)
    parser.add_argument("--mdm", type=Path, required=True)
    arguments = parser.parse_args()
    humanml3d_repository, mdm_repository = arguments.humanml3d.resolve(), arguments.mdm.resolve()
    make_humanml3d(humanml3d_repository)
    os.chdir(mdm_repository)
    make_networks(mdm_repository)
    make_sampling(mdm_repository)
