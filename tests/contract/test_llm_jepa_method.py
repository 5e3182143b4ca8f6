"""The method llm_jepa: packed views equal to separate ones, its terms, pairs, the loop, and what it leaves on disk.

Language models are random and tiny: what is tested is the method, and no number is a result.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recipes.llm_jepa import regex_pairs
from vljepa.checkpoint.llm_jepa import load_language_model, read_into
from vljepa.cli.main import main
from vljepa.configs import LLMJEPAConfig, RunConfig
from vljepa.data.text_pairs import TextPair, read_pairs
from vljepa.errors import CheckpointError, ConfigError, DataError
from vljepa.methods.language.speaker import Speaker
from vljepa.methods.llm_jepa import LLMJepaMethod, PairBatches
from vljepa.models.language.llm_jepa import LLMJEPA, bend, distance
from vljepa.models.language.packing import Pair, pack, seen
from vljepa.models.types import Batch
from vljepa.training.plan import plan_run
from vljepa.training.tracking import read_log
from vljepa.training.trainer import Trainer

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 50}
CLASSES = {
    "llama": SMALL | {"num_key_value_heads": 2, "max_position_embeddings": 64},
    "qwen2": SMALL | {"num_key_value_heads": 2, "max_position_embeddings": 64},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "vocab_size": 50, "n_positions": 64},
}
PAIRS = [Pair([5, 6, 7], [8, 9]), Pair([4, 5, 9, 3, 2], [7, 7, 7, 1]), Pair([3], [2])]
END, PREDICTORS = 0, [40, 41]

RECORDED: dict[str, tuple[dict[str, Any], list[float]]] = {
    "next token": ({"weight": 0.0, "predictor_tokens": 0}, [5.54603, 5.49566, 5.37579, 5.24872, 5.1535, 5.09689]),
    "LLM-JEPA": ({"loss_dropout": 0.5}, [5.55004, 6.58982, 6.39441, 5.35165, 5.55941, 5.42264]),
    "InfoNCE": (
        {"objective": "infonce", "predictor_tokens": 2},
        [12.60904, 8.29156, 9.82834, 11.60842, 10.15955, 9.79333],
    ),
    "STP": (
        {"weight": 0.0, "predictor_tokens": 0, "straightness": 0.5},
        [6.43077, 6.31824, 6.10952, 5.87752, 5.75058, 5.65561],
    ),
}
"""Settings by name, and the losses of the first six steps."""


def language_model(name: str) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(0)
    ends = {"bos_token_id": 0, "eos_token_id": 0}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(name, **CLASSES[name], **ends)).eval()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("regex")
    assert regex_pairs.main([str(folder), "--share", "0.01", "--width", "16", "--layers", "1"]) == 0
    return folder


def recipe(folder: Path, data: Path, *, model: dict[str, Any] | None = None, **train: Any) -> RunConfig:
    settings = {"steps": 30, "batch_size": 8, "eval_every": 30, "log_every": 1, "precision": "fp32"}
    sources = {"train": "train", "validation": "validation"}
    return RunConfig.model_validate(
        {
            "method": "llm_jepa",
            "model": {"start": str(data / "start"), "max_length": 160} | (model or {}),
            "data": {key: [{"name": "regex", "path": str(data / f"{name}.jsonl")}] for key, name in sources.items()}
            | {"cache": None},
            "optim": {"lr": 1e-2, "warmup_steps": 2},
            "train": settings | {"output": str(folder)} | train,
        }
    )


def losses(folder: Path) -> list[float]:
    return [line["loss"] for line in read_log(folder) if line["kind"] == "train"]


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("name", list(CLASSES))
def test_packed_views_are_those_of_separate_passes(name: str, left: bool) -> None:
    model = LLMJEPA(LLMJEPAConfig(start="none"), language_model(name))
    packed = pack(PAIRS, end=END, padding=END, predictors=PREDICTORS, views=True, left=left)
    with torch.no_grad():
        rows = model(Batch(packed=packed))
        for number, one in enumerate(PAIRS):

            def last(tokens: list[int]) -> Tensor:
                found = model.language_model(torch.tensor([tokens]), output_hidden_states=True)
                return found.hidden_states[-1][0, -1]

            torch.testing.assert_close(rows["predicted"][number], last([*one.first, *PREDICTORS]), atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(rows["target"][number], last([*one.second]), atol=1e-5, rtol=1e-4)
            whole = torch.tensor([[*one.first, *one.second, END]])
            wanted = model.language_model(whole, labels=whole).loss
            torch.testing.assert_close(
                rows["next_token"][number] / rows["tokens"][number], wanted, atol=1e-5, rtol=1e-4
            )
        leaks = torch.nonzero(packed.blocks_BVS[1, 1] == 2)[0]
        blind = seen(packed.blocks_BVS[1])[1]
        assert not blind[leaks, packed.blocks_BVS[1, 1] == 1].any(), "the second view does not see the first"


def test_without_the_block_mask_it_is_another_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: plain causal attention over the row."""
    model = LLMJEPA(LLMJEPAConfig(start="none"), language_model("llama"))
    batch = Batch(packed=pack(PAIRS, end=END, padding=END, predictors=PREDICTORS, views=True))
    with torch.no_grad():
        right = model(batch)["target"]
        causal = "vljepa.models.language.llm_jepa.seen"
        monkeypatch.setattr(causal, lambda blocks: torch.ones(*blocks.shape, blocks.shape[-1], dtype=torch.bool).tril())
        assert (model(batch)["target"] - right).abs().max() > 1e-2


def test_states_are_read_at_the_last_token_of_a_view() -> None:
    packed = pack(PAIRS, end=END, padding=END, predictors=[], views=True)
    for number, one in enumerate(PAIRS):
        row = packed.tokens_BVS[number, 1]
        assert row[packed.predicts_B[number]] == one.first[-1], "no added token: the view's own"
        assert row[packed.targets_B[number]] == one.second[-1]
        assert packed.positions_BVS[number, 1, packed.targets_B[number]] == len(one.second) - 1


def test_the_end_is_trained_though_it_is_the_padding_too() -> None:
    packed = pack(PAIRS, end=END, padding=END, predictors=PREDICTORS, views=False)
    for number in range(len(PAIRS)):
        assert packed.labels_BVS[number, 0, packed.ends_B[number]] == END
        assert (packed.labels_BVS[number, 0, packed.ends_B[number] + 1 :] == -100).all()
    assert packed.tokens_BVS.shape[1] == 1, "without views a sample is one row"


def test_how_far_a_prediction_is() -> None:
    draw = torch.Generator().manual_seed(0)
    target = torch.randn(16, 8, generator=draw)
    for objective, best in (("cosine", 0.0), ("l2", 0.0), ("infonce", None)):
        right, wrong = (
            float(distance(one, target, objective=objective, temperature=0.07)) for one in (target, target.roll(1, 0))
        )
        assert right < wrong - 0.5, objective
        assert best is None or right == pytest.approx(best, abs=1e-5)
    assert float(distance(3 * target, target, objective="cosine", temperature=1)) == pytest.approx(0, abs=1e-5)
    assert float(distance(3 * target, target, objective="l2", temperature=1)) > 1


def test_a_straight_way_does_not_bend() -> None:
    packed = pack([Pair(range(2, 12), range(2, 8))], end=END, padding=END, predictors=[], views=False)
    length = packed.tokens_BVS.shape[2]
    steps = torch.arange(length, dtype=torch.float32)[:, None]
    straight = (steps * torch.tensor([1.0, -2.0, 0.5]))[None]
    assert float(bend(straight, packed)) == pytest.approx(0, abs=1e-5)
    crooked = torch.cat([torch.sin(steps), torch.cos(steps), steps * 0], dim=1)[None]
    assert float(bend(crooked, packed)) > 0.5


@pytest.mark.parametrize(
    "model", [{"weight": 0.0, "predictor_tokens": 0}, {}, {"straightness": 0.5}, {"objective": "infonce"}]
)
def test_the_loss_is_next_tokens_and_what_is_asked_for(data: Path, tmp_path: Path, model: dict[str, Any]) -> None:
    run = recipe(tmp_path, data, model=model)
    method = LLMJepaMethod(run)
    method.build(None, device=torch.device("cpu"))
    inputs = method.prepare(method.model, shard=(0, 1))
    [group] = inputs.batches[3]
    rows = method.model(group.batch)
    wanted = rows["next_token"].sum() / rows["tokens"].sum()
    config = method.config
    assert ("predicted" in rows) == (config.weight > 0)
    if config.weight:
        wanted = wanted + distance(
            rows["predicted"], rows["target"], objective=config.objective, temperature=config.temperature
        )
    if config.straightness:
        wanted = wanted + 0.5 * rows["bend"].mean()
    torch.testing.assert_close(method.loss(rows, [group.batch], step=3), wanted)


def test_steps_without_the_objective_are_drawn_by_seed_and_step(data: Path, tmp_path: Path) -> None:
    run = recipe(tmp_path, data, model={"loss_dropout": 0.75})
    packing = {"end": 0, "padding": 0, "predictors": [1]}
    one, other = (PairBatches([PAIRS], run=run, packing=packing, shard=shard) for shard in ((0, 2), (1, 2)))
    drawn = [one.with_views(step) for step in range(400)]
    assert drawn == [other.with_views(step) for step in range(400)]
    assert 0.18 < np.mean(drawn) < 0.32
    assert {one[step][0].batch.packed.tokens_BVS.shape[1] for step in range(20)} == {1, 2}  # type: ignore[union-attr]


def test_it_learns_and_transformers_reads_it(data: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = recipe(tmp_path / "run", data)
    result = Trainer(run, device="cpu").fit()
    found = losses(tmp_path / "run")
    assert np.mean(found[-3:]) < 0.8 * np.mean(found[:3])
    assert {"regex/exact", "regex/prefix", "regex/r1", "regex/effective_rank"} <= set(result.metrics)
    plan = plan_run(run)
    assert (plan.rows, plan.missing) == (65, ())
    place = tmp_path / "run" / "last"
    tokenizer, plain = AutoTokenizer.from_pretrained(place), AutoModelForCausalLM.from_pretrained(place)
    assert tokenizer.convert_tokens_to_ids("<|predictor_1|>") == len(tokenizer) - 1
    method = LLMJepaMethod(run)
    method.build(place, device=torch.device("cpu"))
    ids = torch.tensor([tokenizer("lines containing dog")["input_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(method.model.language_model(ids).logits, plain(ids).logits)
    before = load_language_model(run.model, seed=run.train.seed)[0].get_input_embeddings().weight  # type: ignore[arg-type]
    assert not torch.equal(before[-1], plain.get_input_embeddings().weight[-1]), "the added token is trained"
    (place / "llm_jepa.json").write_text((place / "llm_jepa.json").read_text().replace("cosine", "l2"))
    with pytest.raises(CheckpointError, match="another config"):
        read_into(method.model, place)
    (place / "llm_jepa.json").unlink()
    with pytest.raises(CheckpointError, match="is not readable"):
        read_into(method.model, place)


@pytest.mark.parametrize("objective", ["cosine", "infonce"])
def test_pairs_in_pieces_train_as_all_at_once(data: Path, tmp_path: Path, objective: str) -> None:
    whole = recipe(tmp_path / "whole", data, steps=4, eval_every=4, model={"objective": objective})
    pieces = whole.model_copy(update={"objective": whole.objective.model_copy(update={"grad_cache": 3})})
    pieces = pieces.model_copy(update={"train": whole.train.model_copy(update={"output": str(tmp_path / "pieces")})})
    for run in (whole, pieces):
        Trainer(run, device="cpu").fit()
    assert losses(tmp_path / "pieces") == pytest.approx(losses(tmp_path / "whole"), rel=1e-4)


def test_the_command_writes_second_views(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Trainer(recipe(tmp_path / "run", data, steps=2, eval_every=2), device="cpu").fit()
    capsys.readouterr()
    place, texts = str(tmp_path / "run" / "last"), ["lines containing a vowel", "lines ending in a number"]
    assert main(["generate", place, *texts, "--max-new-tokens", "5", "--device", "cpu", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    wanted = Speaker.from_pretrained(place).generate(texts, max_new_tokens=5)
    assert found == [{"text": text, "answer": answer} for text, answer in zip(texts, wanted, strict=True)]
    assert main(["generate", place, *texts, "--max-new-tokens", "5", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == "".join(f"{one}\n" for one in wanted)
    assert main(["generate", str(tmp_path), "text"]) == 2
    assert "method llm_jepa" in capsys.readouterr().err


def test_a_run_that_is_stopped_goes_on_to_the_last_bit(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short: dict[str, Any] = {"steps": 8, "save_every": 5, "eval_every": 8, "model": {"loss_dropout": 0.5}}
    Trainer(recipe(tmp_path / "whole", data, **short), device="cpu").fit()
    trainer = Trainer(recipe(tmp_path / "cut", data, **short), device="cpu")
    step = trainer._train_step

    def breaks(number: int, *arguments: Any) -> None:
        if number == 5:
            raise KeyboardInterrupt
        step(number, *arguments)

    monkeypatch.setattr(trainer, "_train_step", breaks)
    with pytest.raises(KeyboardInterrupt):
        trainer.fit()
    Trainer(recipe(tmp_path / "cut", data, **short), device="cpu").fit()
    assert losses(tmp_path / "whole") == losses(tmp_path / "cut")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"start": "nowhere"}, r"model\.start = 'nowhere' cannot be loaded"),
        ({"max_length": 4}, "has at most 4 tokens"),
    ],
)
def test_what_cannot_be_trained_is_refused(data: Path, tmp_path: Path, model: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        Trainer(recipe(tmp_path, data, model=model), device="cpu").fit()


def test_pairs_of_every_shape_and_what_is_no_pair(tmp_path: Path) -> None:
    wanted = [TextPair("a dog", "ein Hund"), TextPair("a cat", "eine Katze")]
    columns = [{"view_a": one.first, "view_b": one.second} for one in wanted]
    chats = [
        {"messages": [{"role": "user", "content": one.first}, {"role": "assistant", "content": one.second}]}
        for one in wanted
    ]
    for name, rows in {"columns": columns, "chats": chats}.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert read_pairs(tmp_path / f"{name}.jsonl") == wanted
    lines = tmp_path / "lines"
    lines.mkdir()
    (lines / "src.txt").write_text("a dog\na cat\n")
    (lines / "targ.txt").write_text("ein Hund\neine Katze\n")
    assert read_pairs(lines) == wanted
    (lines / "targ.txt").write_text("ein Hund\n")
    with pytest.raises(DataError, match=r"has 2 lines and targ\.txt 1"):
        read_pairs(lines)
    for row, message in (
        ({"view_a": "x"}, "no column 'view_b'"),
        ({"view_a": "x", "view_b": " "}, "a view is ' '"),
        ({"messages": [{"role": "user", "content": "x"}]}, "no user and assistant"),
    ):
        (tmp_path / "wrong.jsonl").write_text(json.dumps(row) + "\n")
        with pytest.raises(DataError, match=message):
            read_pairs(tmp_path / "wrong.jsonl")


def test_pairs_that_stand_in_training_are_dropped_and_counted() -> None:
    pairs = [TextPair(str(number), "x") for number in range(90)] + [TextPair("0", "x")] * 10
    splits, dropped = regex_pairs.dealt(pairs)
    assert dropped == {"validation": 0, "test": 10}
    assert [len(one) for one in splits.values()] == [65, 10, 15]


def test_adapters_train_the_added_tokens_too_and_are_saved_merged(data: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    lora = {"lora": {"rank": 2, "targets": ["q_proj", "up_proj"]}, "predictor_tokens": 2}
    run = recipe(tmp_path / "run", data, model=lora, steps=6, eval_every=6)
    Trainer(run, device="cpu").fit()
    place = tmp_path / "run" / "last"
    before, tokenizer = load_language_model(run.model, seed=run.train.seed)  # type: ignore[arg-type]
    after = AutoModelForCausalLM.from_pretrained(place)
    assert before.state_dict().keys() == after.state_dict().keys(), "nothing of peft is left"
    moved = {
        name for name, value in before.state_dict().items() if not torch.equal(value, after.state_dict()[name])
    } - {"lm_head.weight"}  # which is the embedding
    assert {name.split(".")[-2] for name in moved} == {"q_proj", "up_proj", "embed_tokens"}
    rows = (before.get_input_embeddings().weight != after.get_input_embeddings().weight).any(1)
    added = tokenizer.convert_tokens_to_ids(["<|predictor_2|>", "<|predictor_1|>"])
    assert rows.nonzero().flatten().tolist() == sorted(added), "the added tokens, and no other"
    method = LLMJepaMethod(run)
    method.build(place, device=torch.device("cpu"))
    texts = ["lines containing a vowel", "lines ending in a number"]
    torch.testing.assert_close(
        method.speaker.predict(texts), Speaker.from_pretrained(place).predict(texts), atol=1e-5, rtol=1e-4
    )
    (place / "adapters.safetensors").unlink()
    with pytest.raises(CheckpointError, match="is not readable"):
        method.load(method.model, place)
    with pytest.raises(ConfigError, match=r"there is no linear layer 'query'"):
        Trainer(recipe(tmp_path, data, model={"lora": {"targets": ["query"]}}), device="cpu").fit()


def test_what_a_saved_model_says_does_not_hang_on_its_company(data: Path, tmp_path: Path) -> None:
    Trainer(recipe(tmp_path / "run", data, steps=4, eval_every=4), device="cpu").fit()
    speaker = Speaker.from_pretrained(tmp_path / "run" / "last")
    texts = ["lines containing a vowel", "lines that start with a number and ending in the string 'dog'"]
    both = speaker.generate(texts, max_new_tokens=8)
    assert both == [speaker.generate([one], max_new_tokens=8)[0] for one in texts], "padding changes nothing"
    for view in ("first", "second"):
        alone = torch.cat([speaker.encode([one], view=view) for one in texts])
        torch.testing.assert_close(speaker.encode(texts, view=view), alone, atol=1e-5, rtol=1e-4)
    assert (speaker.predict(texts) - speaker.encode(texts, view="first")).abs().max() > 1e-4, "another token is read"
    with pytest.raises(CheckpointError, match="name a folder of `vljepa train` with method llm_jepa"):
        Speaker.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", sorted(RECORDED))
def test_losses_are_those_that_were_recorded(data: Path, tmp_path: Path, name: str) -> None:
    """A refactoring moves nothing: losses of six steps, to what another machine's kernels may change."""
    model, wanted = RECORDED[name]
    Trainer(recipe(tmp_path / "run", data, model=model, steps=6, eval_every=6), device="cpu").fit()
    assert losses(tmp_path / "run") == pytest.approx(wanted, rel=1e-4)
