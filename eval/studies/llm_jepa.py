"""LLM-JEPA on English and regular expressions: is the objective beside the next token worth what it costs?

Arms are runs of one recipe that share seed, first weights, order of pairs and learning rate; what is complete in the
work folder is not trained again. Every arm writes the second views of the same test pairs, greedily.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eval.core.console import log
from eval.core.result import Context, Result
from eval.core.statistics import over_seeds, paired_bootstrap
from vljepa.configs import LLMJEPAConfig, RunConfig, load_run_config
from vljepa.data.text_pairs import TextPair, read_pairs
from vljepa.methods import register
from vljepa.methods.llm_jepa import LLMJepaMethod
from vljepa.training.trainer import Trainer

RECIPE = Path("recipes/llm_jepa_regex.yaml")
PLAIN, LONGER, MAIN = "next token", "next token, equal compute", "LLM-JEPA"
SHUFFLED = "LLM-JEPA, shuffled pairs"
_NEXT = {"weight": 0.0, "predictor_tokens": 0}
ARMS: dict[str, dict[str, Any]] = {
    PLAIN: _NEXT,
    LONGER: _NEXT,
    MAIN: {},
    "LLM-JEPA, no predictor token": {"predictor_tokens": 0},
    "LLM-JEPA, weight 0.1": {"weight": 0.1},
    "LLM-JEPA, loss dropout": {"weight": 4.0, "loss_dropout": 0.75},
    SHUFFLED: {},
    "STP": _NEXT | {"straightness": 0.02},
}
"""Runs by name, and what they change of the recipe's model."""


class ShuffledPairs(LLMJepaMethod):
    """The control: the latents that are predicted are those of another pair's second view."""

    name = "llm_jepa_shuffled"

    def loss(self, rows: Mapping[str, Tensor], batches: Any, *, step: int) -> Tensor:
        """As of LLM-JEPA, with targets moved on by one pair."""
        moved = {"target": rows["target"].roll(1, 0)} if "target" in rows else {}
        return super().loss({**rows, **moved}, batches, step=step)


def measure(
    context: Context, *, steps: Mapping[str, int], seeds: Sequence[int], lr: float, batch_size: int, every: int
) -> Result:
    """Train the arms for every seed, and let them write the test pairs.

    Args:
        context: The folder of `recipes/llm_jepa/regex_pairs.py`; runs are in the work folder.
        steps: Arms by name with their number of steps.
        seeds: Of the order of pairs, and of the added tokens.
        lr: Of all arms.
        batch_size: Pairs of a step.
        every: Every how many test pairs one is measured.
    """
    register(ShuffledPairs, config=LLMJEPAConfig)
    data = context.found.folder
    pairs = read_pairs(data / "test.jsonl")[::every]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in steps}
    for seed in seeds:
        for name, count in steps.items():
            run = arm_recipe(
                name, count, data=data, work=context.work / "llm_jepa", seed=seed, lr=lr, batch_size=batch_size
            )
            one = examined(run, Trainer(run, device="cpu").fit().model_folder, pairs)
            found[name].append(one)
            log(f"{name}, seed {seed}: {100 * np.mean(one['exact']):.1f}% exact")
    rows = {name: _row(of_seeds, steps[name]) for name, of_seeds in found.items()}
    keys = [f"{number}" for number in range(len(pairs))]
    against: dict[str, dict[str, Any]] = {}
    for other in (name for name in (PLAIN, LONGER) if name in found):
        for name in (name for name in found if name != other):
            differences = [
                dict(zip(keys, np.subtract(one["exact"], base["exact"], dtype=float).tolist(), strict=True))
                for one, base in zip(found[name], found[other], strict=True)
            ]
            by_seed = [float(np.mean(list(one.values()))) for one in differences]
            against.setdefault(name, {})[other] = dict(paired_bootstrap(differences)) | {"by_seed": by_seed}
    return Result(
        rows=len(pairs),
        pool=[{"test pairs": len(pairs)}],
        prompt=None,
        seed=seeds[0],
        more={
            "arms": rows,
            "against": against,
            "settings": {"lr": lr, "batch_size": batch_size, "seeds": list(seeds), "parameters": _size(data)},
        },
    )


def arm_recipe(arm: str, steps: int, *, data: Path, work: Path, seed: int, lr: float, batch_size: int) -> RunConfig:
    """The recipe as an arm changes it; nothing is chosen on validation, the last state is measured."""
    raw = load_run_config(RECIPE).model_dump(mode="json")
    raw["method"] = ShuffledPairs.name if arm == SHUFFLED else LLMJepaMethod.name
    raw["model"] |= ARMS[arm] | {"start": str(data / "start")}
    raw["data"] |= {"root": str(data), "validation": []}
    raw["optim"]["lr"] = lr
    name = arm.replace(" ", "_").replace(",", "")
    raw["train"] |= {"output": str(work / f"{name}_{steps}_{seed}"), "steps": steps, "seed": seed}
    raw["train"] |= {"batch_size": batch_size, "eval_every": steps}
    return RunConfig.model_validate(raw)


@torch.no_grad()
def examined(run: RunConfig, place: Path, pairs: Sequence[TextPair]) -> dict[str, Any]:
    """What a run writes of test pairs, and what its latents are like."""
    method = LLMJepaMethod(run.model_copy(update={"method": LLMJepaMethod.name}))
    method.build(place, device=torch.device("cpu")).eval()
    written = method.speaker.generate([one.first for one in pairs])
    firsts = method.speaker.encode([one.first for one in pairs], view="first")
    seconds = method.speaker.encode([one.second for one in pairs], view="second")
    return method.measured(pairs) | {
        "exact": [text == one.second for text, one in zip(written, pairs, strict=True)],
        "prefix": [text.startswith(one.second) for text, one in zip(written, pairs, strict=True)],
        "linear": linear(firsts, seconds),
    }


def linear(given_ND: Tensor, asked_ND: Tensor, *, strength: float = 1e-2) -> float:
    """Share of the variance of second views' latents that a ridge regression on first views' explains, on new pairs."""
    half = len(given_ND) // 2
    given_NE = torch.cat([given_ND.double(), torch.ones(len(given_ND), 1, dtype=torch.float64)], dim=1)
    asked_ND = asked_ND.double()
    known, new = given_NE[:half], given_NE[half:]
    weights = torch.linalg.solve(
        known.T @ known + strength * half * torch.eye(known.shape[1], dtype=torch.float64), known.T @ asked_ND[:half]
    )
    wanted = asked_ND[half:]
    left = ((new @ weights - wanted) ** 2).sum() / ((wanted - wanted.mean(0)) ** 2).sum()
    return float(1 - left)


def _row(of_seeds: Sequence[Mapping[str, Any]], steps: int) -> dict[str, Any]:
    means = [{key: float(np.mean(value)) for key, value in one.items()} for one in of_seeds]
    spread = {key: [one[key] for one in means] for key in means[0]}
    many = len(means) > 1
    return {"steps": steps, "by_seed": spread["exact"]} | {
        key: over_seeds(values) if many else values[0] for key, values in spread.items()
    }


def _size(data: Path) -> int:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(data / "start")
    return sum(one.numel() for one in model.parameters())


def derived(result: dict[str, Any]) -> dict[str, Any]:
    """What arms cost, and whether one with the objective is above next tokens alone at equal compute."""
    arms, base = result["arms"], result["arms"][PLAIN]["steps"]
    costs = {name: row["steps"] * _cost(name) / base for name, row in arms.items()}
    of = {name: row[LONGER] for name, row in result["against"].items() if name not in (PLAIN, LONGER, SHUFFLED, "STP")}
    above = [name for name, one in of.items() if one["low"] > 0]
    below = [name for name, one in of.items() if one["high"] < 0]
    verdict = f"at equal compute {len(above)} of {len(of)} arms with the objective are above next tokens alone, "
    verdict += f"{len(below)} below."
    return {"plain": PLAIN, "longer": LONGER, "costs": costs, "verdict": verdict}


def _cost(arm: str) -> float:
    """Rows of a pair in a step, on average: one for next tokens, one more for the views."""
    config = LLMJEPAConfig.model_validate({"start": "none"} | ARMS[arm])
    return 1 + (1 - config.loss_dropout if config.weight else 0)
