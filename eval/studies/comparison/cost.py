"""What both learners cost: operations and time per training sample, and where the time of an answer goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from eval.core.console import log
from eval.studies.comparison.learners import EmbeddingLearner, Learner, TokenLearner, trained_parameters
from eval.studies.comparison.shared import ARMS, Shared
from vljepa.models.y_decoder import YDecoder
from vljepa.processing.words import DecoderTokenizer

BATCHES, REPEATS = (1, 32), 15
QUERY = "what is on the picture?"
FLOP_STEPS = 4


def costs(shared: Shared, decoder: tuple[YDecoder, DecoderTokenizer]) -> dict[str, Any]:
    """Per arm: trained parameters, operations per training sample, and latencies; and the encoder's operations."""
    found: dict[str, Any] = {"decoder_parameters": sum(one.numel() for one in decoder[0].parameters())}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shared.base.encode_vision(shared.blank())
    found["x_encoder_gflop"] = counter.get_total_flops() / 1e9
    for arm in ARMS:
        learner = shared.learner(arm, lr=1e-4, seed=0)
        found[arm] = {
            "trained_parameters": trained_parameters(learner.model),
            "training_gflop_per_sample": (flops := _training_flops(shared, learner) / 1e9),
            "training_gflop_with_encoder": flops + found["x_encoder_gflop"],
            "latency_ms": {str(batch): _latency(shared, learner, decoder, batch) for batch in BATCHES},
        }
        log(f"cost of {arm}: {found[arm]}")
    return found


def _training_flops(shared: Shared, learner: Learner) -> float:
    """Forward and backward, mean over the samples of the first steps; the frozen encoders' outputs are cached."""
    batches = shared.batches(learner, lr=1e-4, seed=0)
    total, samples = 0.0, 0
    learner.model.train()
    for step in range(FLOP_STEPS):
        batch = batches[step]
        with FlopCounterMode(display=False) as counter:
            learner.loss(batch, step=step).backward()
        total += counter.get_total_flops()
        samples += sum(one.size for one in batch)
    return total / samples


def _latency(
    shared: Shared, learner: Learner, decoder: tuple[YDecoder, DecoderTokenizer], batch: int
) -> dict[str, float]:
    """Median processor milliseconds of a batch, one thread, by what is done.

    `query` embeds a question; `predict` is our Predictor, or the token VLM's pass over the visual tokens; `decode` is
    all after it; `classify` chooses among the photo classes from visual tokens, the texts' embeddings at hand.
    """
    learner.model.eval()
    photos = shared.images("validation")["photos"]
    paths, classes = photos.paths[:batch], photos.classes
    pixels = shared.processor.images(paths)
    base, autocast, asked = shared.base, shared.accelerator.autocast, [QUERY] * batch
    vision = base.encode_vision(pixels)
    work: dict[str, Callable[[], object]] = {"encode": lambda: base.encode_vision(pixels)}
    if isinstance(learner, EmbeddingLearner):
        model, (words, _) = learner.model, decoder
        texts_CD, rows = torch.from_numpy(learner.embed_texts(classes)), model.predict(vision)
        backbone: Any = model.predictor.backbone
        work |= {
            "query": lambda: backbone.embed(shared.processor.queries(asked).ids_BL),
            "predict": lambda: model.predict(vision),
            "decode": lambda: words.generate(rows),
            "classify": lambda: model.predict(vision) @ texts_CD.T,
        }
    else:
        assert isinstance(learner, TokenLearner)
        vlm, tokenizer, candidates = learner.model, learner.tokenizer, learner.rows(classes)
        first = torch.full((batch, 1), vlm.begin)

        def prefill() -> object:
            words = vlm.lm.get_input_embeddings()(first)
            sequence = torch.cat([vlm.condition(vision.tokens_BND).to(words.dtype), words], dim=1)
            return vlm.lm(inputs_embeds=sequence, use_cache=True, logits_to_keep=1)

        work |= {
            "query": lambda: vlm.lm.get_input_embeddings()(tokenizer.encode(asked, max_tokens=32)[0]),
            "predict": prefill,
            "whole": lambda: vlm.generate(vision.tokens_BND, shift=False),
            "classify": lambda: vlm.log_likelihoods(vision.tokens_BND, candidates),
        }
    with torch.inference_mode(), autocast():
        times = {name: _median_ms(job) for name, job in work.items()}
    if "whole" in times:
        times["decode"] = times.pop("whole") - times["predict"]
    return times


def _median_ms(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS + 2):
        start = time.process_time()  # of the one thread; other processes do not count
        work()
        times.append(1000 * (time.process_time() - start))
    return float(np.median(times[2:]))
