"""One small pass through parts that nobody here has tried, before anything is trained on them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vljepa.configs import PartSpec
from vljepa.errors import PartError
from vljepa.models.jepa import JEPA

_TOKENS = 4


@torch.no_grad()
def probe(model: JEPA) -> None:
    """See an image twice, and run the Predictor's layers over a padded sequence.

    Raises:
        PartError: A part does not take what it would be given, or sees another thing each time, as models do that mask
            patches at random.
    """
    config, was_training = model.config, model.training
    model.eval()
    size = config.x_encoder.image.size
    assert size is not None
    pixels = torch.randn(1, 1, 3, *size, generator=torch.Generator().manual_seed(0)).to(model.log_scale.device)
    part = config.x_encoder.part
    with torch.random.fork_rng(devices=[]):
        once, again = (_tried(part, lambda: model.x_encoder(pixels).tokens_BND, given=size) for _ in range(2))
    if once.shape != again.shape or not torch.allclose(once, again, atol=1e-4):
        raise PartError(
            f"{part} sees another thing in the same image each time: it masks or drops patches at random.",
            fix="choose a vision model that does not.",
        )
    layers = next(iter(model.predictors().values())).backbone
    sequence = torch.zeros(1, _TOKENS, layers.width, device=pixels.device)
    mask = torch.tensor([[True] * (_TOKENS - 1) + [False]], device=pixels.device)
    _tried(
        config.predictor.part,
        lambda: layers.encode_embeddings(sequence, mask, attention="full"),
    )
    model.train(was_training)


def _tried(part: PartSpec, run: Callable[[], Tensor], *, given: tuple[int, int] | None = None) -> Tensor:
    try:
        return run()
    except PartError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if given is None:
            raise PartError(
                f"the layers of {part} do not run on embeddings under a mask of ours ({reason}).",
                fix="start the Predictor from another text transformer, such as SmolLM2 or MiniLM.",
            ) from error
        raise PartError(
            f"{part} does not take images of {given[0]} x {given[1]} pixels one by one ({reason}).",
            fix="set x_encoder.image.size to what it was made for, or choose another vision model.",
        ) from error
