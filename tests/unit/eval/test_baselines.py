from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from eval.studies.mini.baselines import HIDDEN, CaptionPairs, Head, HeadConfig, TrainSet, conse, fit_ridge, train_head


def test_ridge_is_the_closed_form() -> None:
    random = torch.Generator().manual_seed(0)
    inputs, outputs = torch.randn(50, 4, generator=random), torch.randn(50, 3, generator=random)
    ridge = fit_ridge(inputs, outputs, penalty=0.3)
    centred = inputs - inputs.mean(0)
    lam = 0.3 * float((centred**2).mean(0).mean())
    # The same minimum by least squares on rows that stand for the penalty.
    padded = torch.cat([centred / 50**0.5, lam**0.5 * torch.eye(4)])
    wanted = torch.linalg.lstsq(padded, torch.cat([(outputs - outputs.mean(0)) / 50**0.5, torch.zeros(4, 3)])).solution
    assert torch.allclose(ridge.weight_EE, wanted, atol=1e-4)
    assert torch.allclose(ridge(inputs).mean(0), outputs.mean(0), atol=1e-5)


def test_ridge_without_penalty_recovers_a_planted_map() -> None:
    random = torch.Generator().manual_seed(1)
    inputs, planted = torch.randn(200, 6, generator=random), torch.randn(6, 5, generator=random)
    ridge = fit_ridge(inputs, inputs @ planted + 2.0, penalty=0.0)
    assert torch.allclose(ridge(inputs), inputs @ planted + 2.0, atol=1e-3)


def test_conse_is_the_weighted_mean_of_the_best_labels() -> None:
    labels = torch.eye(4)
    logits = torch.log(torch.tensor([[0.5, 0.3, 0.15, 0.05]]))
    assert torch.allclose(conse(logits, labels, top_k=2), torch.tensor([[0.625, 0.375, 0.0, 0.0]]))
    assert torch.allclose(conse(logits, labels, top_k=9), torch.tensor([[0.5, 0.3, 0.15, 0.05]]))


def test_a_caption_never_predicts_itself() -> None:
    """The output of a pair is made of the other captions of the same image alone."""
    embedded = F.normalize(torch.randn(5, 8, generator=torch.Generator().manual_seed(2)), dim=-1)
    pairs = CaptionPairs.of([["a", "b"], ["c", "d", "e"]], embedded, torch.randn(7, 8))
    assert torch.allclose(pairs.others_NE[0], embedded[1], atol=1e-5)
    assert torch.allclose(pairs.others_NE[3], F.normalize(embedded[2] + embedded[4], dim=-1), atol=1e-5)


def planted(count: int, *, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.randn(count, 16, generator=torch.Generator().manual_seed(seed))
    matrix = torch.randn(16, 8, generator=torch.Generator().manual_seed(99))
    return features, F.normalize(features @ matrix, dim=-1)


@pytest.mark.parametrize("hidden", [0, 32])
def test_head_recovers_a_planted_map(hidden: int) -> None:
    features, targets = planted(300, seed=0)
    source = TrainSet.of(features[:, None], [[f"text {number}"] for number in range(300)], targets)
    config = HeadConfig(hidden=hidden, lr=1e-2, dropout=0.0, weight_decay=0.0, steps=150, batch_size=100)
    head, _ = train_head([source], config=config)
    unseen, wanted = planted(100, seed=5)
    with torch.no_grad():
        nearest = (head(unseen) @ wanted.T).argmax(1)
    assert float((nearest == torch.arange(100)).float().mean()) > 0.8


def test_the_best_validated_state_is_kept() -> None:
    features, targets = planted(60, seed=0)
    source = TrainSet.of(features[:, None], [[f"text {number}"] for number in range(60)], targets)
    states: list[torch.Tensor] = []
    scores = iter([1.0, 5.0, 2.0])

    def score(head: Head) -> float:
        states.append(head.layers[-1].weight.detach().clone())
        return next(scores)

    config = HeadConfig(steps=30, eval_every=10, batch_size=30)
    head, reached = train_head([source], config=config, score=score)
    assert reached == 5.0
    assert torch.equal(head.layers[-1].weight, states[1])
    assert not torch.equal(head.layers[-1].weight, states[2])


def test_training_is_a_function_of_its_seed() -> None:
    features, targets = planted(40, seed=0)
    source = TrainSet.of(features[:, None], [[f"text {number}"] for number in range(40)], targets)
    runs = [train_head([source], config=HeadConfig(steps=5, batch_size=20, seed=seed))[0] for seed in (3, 3, 4)]
    first, same, other = (run.layers[-1].weight for run in runs)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_sizes_are_those_of_the_table() -> None:
    features = torch.randn(4, 1280)
    linear = Head(features, width=384, config=HeadConfig())
    mlp = Head(features, width=384, config=HeadConfig(hidden=HIDDEN))
    assert round(linear.parameters_count() / 1e6, 1) == 0.5
    assert round(mlp.parameters_count() / 1e6, 1) == 1.7


def test_draw_pairs_an_image_with_its_own_texts() -> None:
    texts = [["a"], ["b", "c"], ["d", "e", "f"]]
    targets = torch.arange(6.0)[:, None]
    source = TrainSet.of(torch.arange(3.0)[:, None, None].expand(3, 2, 1), texts, targets)
    random = torch.Generator().manual_seed(0)
    owner = {0: 0, 1: 1, 2: 1, 3: 2, 4: 2, 5: 2}
    seen = set()
    for _ in range(50):
        features, drawn, rows, _ = source.draw(3, random)
        assert features.flatten().tolist() == [float(row) for row in rows]
        assert [owner[int(target)] for target in drawn.flatten()] == rows.tolist()
        seen |= {int(target) for target in drawn.flatten()}
    assert seen == set(range(6))
