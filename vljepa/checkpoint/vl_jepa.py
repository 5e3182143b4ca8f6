"""VLJEPA: the model with its files, as people use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from huggingface_hub import ModelCard, PyTorchModelHubMixin
from torch import Tensor

from vljepa.backends.aligned import aligned_config, is_aligned, refuse_revision
from vljepa.checkpoint import saving
from vljepa.checkpoint.adaptation import apply_saved, is_adapted
from vljepa.checkpoint.base import PretrainedJEPA
from vljepa.checkpoint.decoder import load_decoder
from vljepa.configs import VLJEPAConfig
from vljepa.models.probe import probe
from vljepa.parts.saved import adapted_folder, decoder_folder, saved_folder, tokenizers_folder


class VLJEPA(PretrainedJEPA, PyTorchModelHubMixin, library_name="vljepa", license="apache-2.0"):
    """Vision-language joint-embedding predictive model: predicts the embedding of the answer.

    The constructor builds shapes from the config alone. `from_parts` starts a training from pretrained parts,
    `from_pretrained` brings a trained model back, bit for bit. What it computes is `vljepa.models.jepa.JEPA`.

    Args:
        config: What the model is made of; every part's architecture `config` must be filled in.

    Example:
        >>> from vljepa import VLJEPA
        >>> model = VLJEPA.from_pretrained("mini")  # doctest: +SKIP
    """

    @classmethod
    def from_parts(cls, config: VLJEPAConfig) -> Self:
        """Build the model and load every pretrained part: the start of a training."""
        resolved = saving.resolve_parts(config)
        model = cls(resolved)
        saving.load_parts(model)
        probe(model)
        return model

    @classmethod
    def from_dual_encoder(cls, name: str, *, predictor: str | None = None) -> Self:
        """A dual encoder as a VL-JEPA that answers as it does, until something is learned on top. Eval mode.

        Args:
            name: `open_clip:ARCHITECTURE/TAG`, `transformers:OWNER/NAME` or the folder of either; with or without
                `aligned:` before it.
            predictor: Part whose layers the Predictor starts from; None is a small one from scratch.

        Raises:
            ConfigError: A name that is none.
            PartError: A part cannot be had, or is no dual encoder.

        Example:
            >>> model = VLJEPA.from_dual_encoder("open_clip:ViT-B-32/laion2b_s34b_b79k")  # doctest: +SKIP
        """
        config = aligned_config(name, predictor=predictor)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)  # what is not trained yet is the same in every process
            return cls.from_parts(config).eval()

    @classmethod
    def from_pretrained(cls, name: str | Path, *, revision: str | None = None) -> Self:  # type: ignore[override]
        """Load a trained model, with its Y-Decoder if it has one: a shipped preset ("mini"), a folder, or a repository.

        `aligned:PART` is a dual encoder as it is, such as `aligned:open_clip:ViT-B-32/laion2b_s34b_b79k`.

        Frozen parts come from where their specs say, and their hashes are checked. A folder of adapters, such as a run
        with `lora` leaves, loads together with the model that they adapt. Eval mode.

        Args:
            name: Preset, folder, repository, or `aligned:` and a dual encoder.
            revision: Branch, tag or commit of a repository.

        Raises:
            CheckpointError: The folder is no saved model, or tensors are missing.
            PartError: A frozen part cannot be found or is another one than in training.
        """
        if is_aligned(name):
            refuse_revision(name, revision)
            return cls.from_dual_encoder(str(name))
        folder = saved_folder(name, revision=revision)
        if is_adapted(folder):
            model = cls.from_pretrained(adapted_folder(folder))
            apply_saved(model, folder)
            return model.eval()
        config, tensors = saving.read_model(folder)
        model = cls(config)
        saving.restore(model, tensors)
        model.tokenizers = tokenizers_folder(folder)
        decoder = decoder_folder(folder)
        if decoder is not None:
            model.load_decoder(decoder)
        return model.eval()

    def load_decoder(self, folder: str | Path) -> None:
        """Take another Y-Decoder, such as `vljepa train-decoder` leaves.

        Raises:
            TextSpaceError: It was trained in another text space.
            CheckpointError: The folder holds no whole decoder.
        """
        self.y_decoder = load_decoder(Path(folder), text_space=self.text_space_hash()).to(self.log_scale.device)

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        full: bool = False,
        dtype: torch.dtype | None = None,
        state_dict: dict[str, Tensor] | None = None,
        **kwargs: Any,
    ) -> str | None:
        """Save what was trained, beside the specs and hashes of what was not.

        Args:
            save_directory: Folder, made when absent.
            full: Save every tensor, frozen parts too; the folder then needs no other files to load.
            dtype: Narrow floating tensors for shipping, for example `torch.float16`; they load as fp32 again.
            state_dict: What is saved instead of the model's own tensors, for one whose tensors lie in shards.
            kwargs: Passed on to huggingface_hub, such as `push_to_hub=True`.
        """
        self._save_options: dict[str, Any] = {"full": full, "dtype": dtype, "state_dict": state_dict}
        try:
            return super().save_pretrained(save_directory, **kwargs)
        finally:
            del self._save_options

    def _save_pretrained(self, save_directory: Path) -> None:
        saving.save_model(self, save_directory, **self._save_options)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """Model card that `save_pretrained` writes where no README.md is yet."""
        del args, kwargs  # huggingface_hub's, for its own template
        return ModelCard(saving.model_card(self.config))
