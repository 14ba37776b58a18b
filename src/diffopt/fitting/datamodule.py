"""Serves one observed sequence: every step of a fit sees the same clip."""

import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset

from diffopt.body.model import BodyModel
from diffopt.data.initial import InitialState, initial_state
from diffopt.data.observation import Observation
from diffopt.fitting.batch import SequenceBatch, sequence_batch


class _Repeated(Dataset[SequenceBatch]):
    """The same sequence for every step of the fit's single epoch (an epoch per step would cost twice as much)."""

    def __init__(self, batch: SequenceBatch, steps: int) -> None:
        self.batch = batch
        self.steps = steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> SequenceBatch:
        return self.batch


class SequenceDataModule(pl.LightningDataModule):
    """Brings an observation into the world of the fit and serves it, once per optimizer step."""

    def __init__(self, observation: Observation, body: BodyModel, min_confidence: float) -> None:
        super().__init__()
        self.observation = observation
        self.state: InitialState = initial_state(observation, body)
        self.batch = sequence_batch(observation, self.state, min_confidence)
        self.steps = 0
        """Steps of the fit's one epoch; set by whoever runs the fit, who knows its stages."""

    def train_dataloader(self) -> DataLoader[SequenceBatch]:
        return DataLoader(_Repeated(self.batch, self.steps), batch_size=None, num_workers=0)
