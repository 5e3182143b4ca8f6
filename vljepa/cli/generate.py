"""`vljepa generate`: what an LLM-JEPA writes after a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vljepa.cli.options import DeviceOption, JsonOption
from vljepa.cli.output import print_json


def generate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A folder of `vljepa train` with method llm_jepa.")],
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="First views, one answer each.")],
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", min=1, help="Of an answer, its end included.")
    ] = 96,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Write the second view of texts with a language model trained by `method: llm_jepa`, greedily.

    The folder is one of transformers: `AutoModelForCausalLM` loads it, too.

    Example: vljepa generate runs/llm_jepa_regex/best "lines containing a vowel or the string 'dog'"
    Example: vljepa generate runs/llm_jepa_regex/best "lines ending in a number" --json
    """
    from vljepa.methods.language.speaker import Speaker
    from vljepa.models.device import resolve_device

    speaker = Speaker.from_pretrained(model, device=resolve_device(device))
    written = speaker.generate(texts, max_new_tokens=max_new_tokens)
    if json:
        print_json([{"text": text, "answer": answer} for text, answer in zip(texts, written, strict=True)])
        return
    for answer in written:
        print(answer)
