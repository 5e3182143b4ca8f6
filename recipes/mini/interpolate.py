"""Put a decoder between two: ``python recipes/mini/interpolate.py START TUNED OUT``, weights in a straight line.

Tuning on predictions under questions teaches answers and costs captions; three quarters of the way keep both. Source:
Wortsman et al., Robust fine-tuning of zero-shot models, arXiv 2109.01903.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# Run as a script, this folder would be first on the path, and emoji.py would hide a package of that name.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

import torch

from vljepa.checkpoint.decoder import load_decoder, save_decoder
from vljepa.errors import VLJEPAError
from vljepa.parts.saved import read_decoder_config


@torch.no_grad()
def main(arguments: list[str] | None = None) -> int:
    """Load both, mix, save; what is not trained, and how the mean gap is bridged, is the first one's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("start", type=Path, help="decoder that the tuning started from")
    parser.add_argument("tuned", type=Path, help="decoder that it came to")
    parser.add_argument("out", type=Path, help="folder that is written")
    parser.add_argument("--share", type=float, default=0.75, help="of the tuned one (default 0.75, by validation)")
    given = parser.parse_args(arguments)
    try:
        space = read_decoder_config(given.start).text_space
        decoder, tuned = (load_decoder(folder, text_space=space) for folder in (given.start, given.tuned))
    except VLJEPAError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for (name, one), (other_name, other) in zip(decoder.named_parameters(), tuned.named_parameters(), strict=True):
        assert name == other_name
        one.lerp_(other, given.share)
    save_decoder(decoder, given.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
