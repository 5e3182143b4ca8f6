"""Captions that a language model writes for classes which few real captions have a noun for.

SmolLM2-135M-Instruct (Apache-2.0) goes on with a list of captions; the Y-Encoder keeps those that are about the class.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recipes.mini.named_texts import NamedTexts
from recipes.mini.records import ascii_text, stable_key
from vljepa.processing.nouns import with_article
from vljepa.processing.taxonomy import Taxonomy

WIDE = 60
"""Classes below the hypernym whose captions were borrowed, from which on a class gets written captions too."""
CAPTIONS, TRIES = 5, 8
CLASSES_PER_BATCH = 16
MAX_WORDS, MIN_WORDS = 16, 5
LEAST_COSINE = 0.45
_PROMPT = """Short captions of photos, one for each thing.
golden retriever: a golden retriever running on a grassy field with a ball
teapot: a blue teapot and two cups on a wooden table
lighthouse: a white lighthouse on a rocky cliff by the sea
koala: a koala sleeping on the branch of a tree
trombone: a young man plays a trombone on a stage
{name}: {begin}"""
_LETTERS = re.compile(r"^[A-Za-z0-9 ,.'-]+$")
Embed = Callable[[Sequence[str]], NDArray[np.float32]]


class Writer:
    """SmolLM2, ready to go on with a prompt.

    Args:
        seed: Of the draws.
    """

    def __init__(self, *, seed: int = 0) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        from vljepa.backends import part_config, part_folder
        from vljepa.backends.text_layers import text_config, text_state
        from vljepa.backends.weights import load_exactly
        from vljepa.configs import PartSpec

        spec = PartSpec(backend="transformers", name="smollm2-135m", source="asset")
        spec = spec.model_copy(update={"config": part_config(spec)})
        folder = part_folder(spec)
        self.model: Any = AutoModelForCausalLM.from_config(text_config(spec), dtype=torch.float32).eval()
        load_exactly(self.model, text_state(type(self.model), spec, folder), part=str(spec), folder=folder)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.tokenizer.pad_token = self.tokenizer.eos_token
        self.seed = seed

    @torch.inference_mode()
    def lines(self, prompts: Sequence[str], *, each: int) -> list[list[str]]:
        """For every prompt, what comes up to the end of the line, several times."""
        batch = self.tokenizer(list(prompts), return_tensors="pt", padding=True)
        torch.manual_seed(int(stable_key(self.seed, *prompts)[:8], 16))
        ids = self.model.generate(
            **batch, do_sample=True, top_p=0.9, temperature=0.8, num_return_sequences=each, max_new_tokens=18,
            pad_token_id=self.tokenizer.eos_token_id,
        )[:, batch["input_ids"].shape[1] :]  # fmt: skip
        texts = self.tokenizer.batch_decode(ids, skip_special_tokens=True)
        lines = [text.partition("\n")[0] if "\n" in text else "" for text in texts]
        return [lines[start : start + each] for start in range(0, len(lines), each)]


def written_texts(
    numbers: Sequence[int], taxonomy: Taxonomy, *, writer: Writer, embed: Embed, progress: Callable[[int], None]
) -> list[NamedTexts]:
    """Rows for some classes, of the captions that pass.

    Args:
        numbers: The classes.
        taxonomy: Their names.
        writer: The language model.
        embed: The Y-Encoder: unit rows of texts.
        progress: Called with the number of classes done.
    """
    rows = []
    for start in range(0, len(numbers), CLASSES_PER_BATCH):
        names = [taxonomy.names_of(one)[0] for one in numbers[start : start + CLASSES_PER_BATCH]]
        prompts = [_PROMPT.format(name=name, begin=with_article(name)) for name in names]
        for name, lines in zip(names, writer.lines(prompts, each=TRIES), strict=True):
            texts = [ascii_text(f"{with_article(name)}{line}").rstrip(" .") for line in lines if line.strip()]
            kept = passing(list(dict.fromkeys(texts)), name, embed=embed)[:CAPTIONS]
            if len(kept) == 1:  # one to see and one to say
                kept.append(with_article(name))
            if kept:
                rows.append(NamedTexts(text=kept, label=name, source_id=f"written:{name}"))
        progress(len(names))
    return rows


def passing(texts: Sequence[str], name: str, *, embed: Embed) -> list[str]:
    """Texts that read like a caption and are about the name."""
    plain = [
        text
        for text in texts
        if _LETTERS.match(text) and MIN_WORDS <= len(text.split()) - len(name.split()) <= MAX_WORDS
        and ":" not in text
    ]  # fmt: skip
    if not plain:
        return []
    cosines = embed(plain) @ embed([name])[0]
    return [text for text, cosine in zip(plain, cosines, strict=True) if cosine >= LEAST_COSINE]
