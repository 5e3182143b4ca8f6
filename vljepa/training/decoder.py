"""Trains a Y-Decoder for a finished model: text alone, frozen encoders, the same guarantees as `training/trainer.py`.

Every step is a pure function of the weights, the optimizer state and the step number, so a resumed run goes on to the
last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor

from vljepa.checkpoint.decoder import build_decoder, load_decoder, save_decoder
from vljepa.checkpoint.vl_jepa import VLJEPA
from vljepa.configs import AlignedConfig, DecoderRunConfig
from vljepa.data.processes import sum_over_processes
from vljepa.errors import ConfigError
from vljepa.models.cpu import keep_freed_memory
from vljepa.models.types import Entities
from vljepa.models.y_decoder import YDecoder
from vljepa.parts.saved import DECODER_FOLDER, VOCABULARY_FILE, decoder_folder, saved_folder
from vljepa.processing.processor import VLJEPAProcessor
from vljepa.processing.words import vocabulary_size
from vljepa.training.averaging import WeightAverage
from vljepa.training.checkpoint import find_intact
from vljepa.training.decoder_config import fitted_config
from vljepa.training.decoder_inputs import DecoderInputs, prepare_decoder
from vljepa.training.decoder_validation import (
    check_best_metric,
    choose_generation,
    held_out_loss,
    image_metrics,
    round_trip,
)
from vljepa.training.guards import check_master_weights
from vljepa.training.loop import Loop
from vljepa.training.optim import build_optimizer
from vljepa.training.precision import choose_precision
from vljepa.training.sharding import refuse_layouts
from vljepa.training.step import refuse_accumulation
from vljepa.training.trackers import tracker_settings
from vljepa.training.tracking import Monitor, RunLog
from vljepa.validation.tasks import Metrics


class DecoderTrainer(Loop):
    """Trains a Y-Decoder as a recipe says.

    Args:
        run: The recipe.
        model: The finished model, instead of `run.model`.
        processor: Of `model`.
        device: Such as `cpu`, `cuda` or `cuda:1`; None takes what is there.

    Example:
        >>> from vljepa.configs import load_decoder_run_config
        >>> DecoderTrainer(load_decoder_run_config("recipes/mini_decoder.yaml")).fit()  # doctest: +SKIP
    """

    run: DecoderRunConfig
    inputs: DecoderInputs
    validates_first = False

    def __init__(
        self,
        run: DecoderRunConfig,
        *,
        model: VLJEPA | None = None,
        processor: VLJEPAProcessor | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__(run, device=device)
        self._given = (model, processor)

    def _check(self) -> None:
        check_best_metric(self.run)
        refuse_layouts(sharded="a Y-Decoder is trained whole")

    def _build(self, checkpoint: Path | None) -> None:
        run = self.run
        precision = choose_precision(run.train.precision, device=self.device)
        refuse_accumulation(reason="a step here is one batch", instead="raise train.batch_size")
        self.accelerator = Accelerator(
            mixed_precision=precision, cpu=self.device.type == "cpu", **tracker_settings(run.train)
        )
        keep_freed_memory()
        torch.manual_seed(run.train.seed)
        model, processor = self._given
        model = (model or VLJEPA.from_pretrained(run.model)).to(self.accelerator.device).eval()
        processor = processor or VLJEPAProcessor.from_pretrained(run.model)
        self.fitted = run.model_copy(update={"decoder": fitted_config(run.decoder, model)})
        start = _decoder_of(run.start) if run.start is not None else None
        before = checkpoint or start
        kept = None if before is None else before / VOCABULARY_FILE
        vocabulary = kept.read_bytes() if kept is not None and kept.is_file() else None
        self.inputs = prepare_decoder(self.fitted, model=model, processor=processor, vocabulary=vocabulary)
        self.space = model.text_space_hash()
        if checkpoint is not None:
            decoder = load_decoder(checkpoint, text_space=self.space).unfreeze()
        else:
            decoder = self._fresh(model)
            if start is not None:
                decoder = self._go_on(start, decoder)
        if decoder.config.lora is not None and decoder.config.lora.four_bit:
            decoder.to_four_bits()
        check_master_weights(decoder)
        self.decoder: YDecoder = decoder.to(self.accelerator.device)
        self.average = WeightAverage(self.decoder, decay=run.train.ema)
        self.hooks = {"average": self.average}
        optimizer = build_optimizer(self.decoder, config=run.optim)
        self.wrapped, self.optimizer = self.accelerator.prepare(self.decoder, optimizer)

    def _fresh(self, model: VLJEPA) -> YDecoder:
        """The recipe's decoder, fitted to this text space and to the vocabulary that was learnt."""
        config = self.fitted.decoder.model_copy(update={"text_space": self.space})
        vocabulary = self.inputs.vocabulary
        if vocabulary is not None:
            architecture = {**(config.part.config or {}), "vocab_size": vocabulary_size(vocabulary)}
            part = config.part.model_copy(update={"config": architecture, "seed": self.run.train.seed})
            config = config.model_copy(update={"part": part})
        decoder = build_decoder(config, vocabulary=vocabulary)
        if self.inputs.phrases:
            decoder.set_phrases(self.inputs.phrases, torch.from_numpy(self.inputs.encoder.texts(self.inputs.phrases)))
        residual = model.config.residual
        if self.inputs.gap is None and isinstance(residual, AlignedConfig) and residual.image and residual.text:
            decoder.set_sides(residual.image, residual.text)
        if self.inputs.memory:
            decoder.set_memory(torch.from_numpy(self.inputs.encoder.texts(self.inputs.memory)))
        naming = self.inputs.naming
        if naming is not None:
            decoder.lexicon = self.inputs.lexicon
            decoder.set_names([self.inputs.tokenizer.name(one) for one in naming.names], naming.names_KD)
        return decoder

    def _go_on(self, start: Path, fresh: YDecoder) -> YDecoder:
        """The decoder of another run, with adapters if the recipe has some; how it chooses words is found out anew."""
        decoder = load_decoder(start, text_space=self.space)
        now, before = (one.config.part.model_copy(update={"seed": 0}) for one in (fresh, decoder))
        adapts = fresh.config.lora is not None and decoder.config.lora is None
        same = adapts or fresh.config.lora == decoder.config.lora
        if now != before or not same or fresh.config.prefix_tokens != decoder.config.prefix_tokens:
            raise ConfigError(
                f"start = {str(start)!r} holds a decoder of another architecture.",
                fix="give the `decoder` section of the recipe that it was trained with.",
            )
        decoder.lexicon = fresh.lexicon = tuple(sorted({*decoder.lexicon, *fresh.lexicon}))
        if adapts:
            fresh.take(decoder)
            fresh.config.choice = decoder.config.choice
            return fresh.unfreeze()
        decoder.unfreeze().read_as(fresh)
        decoder.config.generation = fresh.config.generation
        return decoder

    def _loader(self, start: int) -> Iterator[dict[str, Tensor]]:
        return (self.inputs.batches[step] for step in range(start, self.steps))

    def _train_step(self, step: int, batch: dict[str, Tensor], log: RunLog, monitor: Monitor) -> None:
        run = self.run
        batch = {name: one.to(self.accelerator.device, non_blocking=True) for name, one in batch.items()}
        torch.manual_seed(run.train.seed * 1_000_003 + step)  # of dropout
        self.wrapped.train()
        entities = Entities(batch["numbers"], batch["strengths"]) if "numbers" in batch else None
        loss = self.wrapped(batch["embeddings"], batch["ids"], batch["mask"], entities)
        # The mean over the tokens of all processes: gradients are averaged, and shares differ in their tokens.
        tokens = int(batch["mask"][:, 1:].sum())
        summed, everywhere, rows = sum_over_processes([float(loss.detach()) * tokens, tokens, len(batch["ids"])])
        loss_value = summed / everywhere
        loss = loss * (tokens * self.accelerator.num_processes / everywhere)
        lr, norm = self._update(loss_value, lambda: self.accelerator.backward(loss), self.decoder, step=step)
        monitor.count(step, int(rows))
        if (step + 1) % run.train.log_every == 0 or step + 1 == self.steps:
            rate = monitor.throughput()
            log.write("train", step + 1, loss=loss_value, lr=lr, gradient_norm=norm, samples_per_second=rate)
            monitor.report(step, f"loss {loss_value:.3f}  {rate:.0f} texts/s")

    def _validate(self, step: int, log: RunLog, monitor: Monitor) -> None:
        """Measure held-out texts and validation images, and keep the weights as `best` if they are."""
        with self.average.applied(), self.accelerator.autocast():
            self.decoder.eval()
            metrics = {"loss": held_out_loss(self.decoder, self.inputs)} if self.inputs.held_out else {}
            metrics |= image_metrics(self.decoder, self.inputs, num_beams=1)
            log.write("validation", step, **metrics)
            name = self.run.train.best_metric
            value = -metrics[name] if name == "loss" else metrics[name]
            monitor.say(
                f"validation after step {step}: " + "  ".join(f"{key} {number:.3f}" for key, number in metrics.items())
            )
            self._keep_if_best(value, step=step, metrics=metrics)

    def _gather_model(self) -> Callable[[Path], object]:
        return partial(save_decoder, self.decoder)

    def _introduce(self, log: RunLog, monitor: Monitor, start: int) -> None:
        inputs = self.inputs
        trained = sum(one.numel() for one in self.decoder.parameters() if one.requires_grad)
        total = sum(one.numel() for one in self.decoder.parameters())
        monitor.say(f"{trained:,} of {total:,} parameters are trained, on {self.accelerator.device}, from step {start}")
        for name, count in inputs.dropped.items():
            monitor.say(f"{name}: {count} rows left out, since data.exclude names their image or text")
        gap = {}
        if inputs.gap is not None:
            gap = {"gap_cosine": inputs.gap.cosine, "gap_shift": inputs.gap.shift, "gap_noise": inputs.gap.noise}
            monitor.say("predictions and their texts: " + "  ".join(f"{key} {value:.3f}" for key, value in gap.items()))
        processes = self.accelerator.num_processes
        log.write("start", start, held_out=len(inputs.held_out), dropped=inputs.dropped, processes=processes, **gap)

    def _finish(self) -> Metrics:
        """Choose how `best` generates, and measure the round trip."""
        inputs, metrics = self.inputs, dict(self._best["metrics"])
        best = find_intact(self.folder / "best")
        assert best is not None
        decoder = load_decoder(best, text_space=self.space).to(self.accelerator.device)
        chosen = choose_generation(decoder, inputs, beams=self.run.beams)
        metrics |= chosen | (round_trip(decoder, inputs) if inputs.held_out else {})
        self._replace("best", lambda folder: save_decoder(decoder, folder))
        return metrics


def _decoder_of(start: str) -> Path:
    """Folder of a decoder, given by itself or by a model that has one."""
    folder = Path(start)
    if folder.is_dir() and not (folder / DECODER_FOLDER).is_dir():
        return folder
    found = decoder_folder(saved_folder(start))
    if found is None:
        raise ConfigError(f"start = {start!r} is a model without a Y-Decoder.", fix="name a decoder's folder.")
    return found
