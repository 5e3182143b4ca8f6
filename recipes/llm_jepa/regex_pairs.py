"""English and regular expressions for `llm_jepa_regex`: ``python recipes/llm_jepa/regex_pairs.py OUT``.

Without --nl-rx, pairs of a small grammar of our own (what a line contains, begins and ends with; and, or, followed
by; eight kinds of things). With --nl-rx PATH/TO/nl_rx/synth, NL-RX-Synth (MIT): `src.txt` and `targ.txt`. Pairs are
shuffled and split 6,500 / 1,000 / 2,500; those of validation and test that stand in training too are dropped, and
counted.

OUT gets `train`, `validation` and `test.jsonl` with `view_a` and `view_b`, and `start`: an untrained Llama of 0.9
million parameters with a byte-level tokenizer of the training texts, as transformers saves them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random

# Run as a script, this folder would be first on the path.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from rich.console import Console

from vljepa.data.text_pairs import TextPair, read_pairs
from vljepa.errors import VLJEPAError

SIZES = {"train": 6500, "validation": 1000, "test": 2500}
VOCABULARY, HEADS = 256, 4
THINGS = {
    "a vowel": "[AEIOUaeiou]",
    "a number": "[0-9]",
    "a lower-case letter": "[a-z]",
    "a capital letter": "[A-Z]",
    "the string 'dog'": "dog",
    "the string 'truck'": "truck",
    "the string 'ring'": "ring",
    "a character": ".",
}


def main(arguments: list[str] | None = None) -> int:
    """Write pairs and model; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--nl-rx", type=Path, help="folder with src.txt and targ.txt, instead of our own grammar")
    parser.add_argument("--share", type=float, default=1.0, help="of all pairs of our own grammar")
    parser.add_argument("--seed", type=int, default=0, help="of grammar and model")
    parser.add_argument("--width", type=int, default=128, help="of the model; a multiple of 8")
    parser.add_argument("--layers", type=int, default=4, help="of the model")
    given = parser.parse_args(arguments)
    console = Console(stderr=True)
    try:
        pairs = read_pairs(given.nl_rx) if given.nl_rx else grammar(given.seed, given.share)
        Random(given.seed).shuffle(pairs)
        splits, dropped = dealt(pairs)
        given.out.mkdir(parents=True, exist_ok=True)
        for name, some in splits.items():
            lines = [json.dumps({"view_a": one.first, "view_b": one.second}) + "\n" for one in some]
            (given.out / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        write_start(given.out / "start", splits["train"], width=given.width, layers=given.layers, seed=given.seed)
    except VLJEPAError as error:
        console.print(f"error: {error}", style="red", markup=False, highlight=False)
        return 2
    console.print({name: len(some) for name, some in splits.items()}, "dropped, for they stand in training:", dropped)
    return 0


def dealt(pairs: Sequence[TextPair]) -> tuple[dict[str, list[TextPair]], dict[str, int]]:
    """Splits in this order, and how many pairs of each stand in training too and are left out."""
    total, start = sum(SIZES.values()), 0
    splits: dict[str, list[TextPair]] = {}
    for name, size in SIZES.items():
        stop = round((start + size) * len(pairs) / total) if len(pairs) < total else start + size
        first = round(start * len(pairs) / total) if len(pairs) < total else start
        splits[name] = list(pairs[first:stop])
        start += size
    known = set(splits["train"])
    dropped = {}
    for name in ("validation", "test"):
        kept = [one for one in splits[name] if one not in known]
        dropped[name], splits[name] = len(splits[name]) - len(kept), kept
    return splits, dropped


def grammar(seed: int, share: float) -> list[TextPair]:
    """Pairs of the grammar, none twice."""
    random, found = Random(seed), {}
    wanted = max(10, round(share * sum(SIZES.values())))
    while len(found) < wanted:
        one = TextPair(*_line(random))
        found[one] = None
    return list(found)


def _line(random: Random) -> tuple[str, str]:
    joins = {"and": ("({})&({})", " and "), "or": ("({})|({})", " or "), "followed": ("({}).*({})", " followed by ")}
    text, regex = _part(random)
    for _ in range(random.choice((0, 1, 1, 2))):
        shape, word = joins[random.choice(list(joins))]
        more, other = _part(random)
        text, regex = text + word + more, shape.format(regex, other)
    return f"lines {text}", regex


def _part(random: Random) -> tuple[str, str]:
    thing, regex = random.choice(list(THINGS.items()))
    times = random.choice(("", "", " at least twice", " three or more times"))
    if times:
        regex = f"({regex}){{{2 if 'twice' in times else 3},}}"
    text, shape = random.choice(
        (
            ("containing", ".*{}.*"),
            ("that start with", "({}).*"),
            ("ending in", ".*({})"),
            ("not containing", "~(.*{}.*)"),
        )
    )
    return f"{text} {thing}{times}", shape.format(regex)


def write_start(folder: Path, pairs: Sequence[TextPair], *, width: int, layers: int, seed: int) -> None:
    """An untrained Llama, and a tokenizer of the training texts."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    plain = Tokenizer(models.BPE())
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=["Ċ"],  # the line break between two views
        show_progress=False,
    )
    plain.train_from_iterator((text for one in pairs for text in one), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="<pad>", eos_token="</s>")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(seed)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    raise SystemExit(main())
