"""Serves one observed sequence: every step of a fit sees the same clip."""

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader, Dataset

from diffopt.fitting.batch import SequenceBatch, sequence_batch
from diffopt.observation.observation import Observation


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
    """Serves an observation, once per optimizer step."""

    def __init__(self, observation: Observation, min_confidence: float, unseen_trust: float, steps: int) -> None:
        """
        Args:
            observation: the sequence.
            min_confidence, unseen_trust: as for `sequence_batch`.
            steps: steps of the fit's one epoch.
        """
        super().__init__()
        self.batch = sequence_batch(observation, min_confidence, unseen_trust)
        self.steps = steps
        self._moved: SequenceBatch | None = None

    def transfer_batch_to_device(
        self, batch: SequenceBatch, device: torch.device, dataloader_idx: int
    ) -> SequenceBatch:
        """The one batch on the fit's device, moved there once."""
        if self._moved is None or self._moved.trust.device != device:
            self._moved = batch.to(device)
        return self._moved

    def train_dataloader(self) -> DataLoader[SequenceBatch]:
        return DataLoader(_Repeated(self.batch, self.steps), batch_size=None, num_workers=0)
