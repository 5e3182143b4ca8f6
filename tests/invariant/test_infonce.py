"""What must hold for any batch: the loss does not care for the order of samples, or for which side is called what."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa.objectives import Positives, infonce


def batch(count, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(2, count, 6, dtype=torch.float64, generator=generator)
    ids = torch.randint(0, count, (2, count), generator=generator)
    return *F.normalize(rows, dim=-1), Positives(ids[0], ids[1])


SCALE = torch.tensor([10.0], dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10**6))
def test_order_and_sides_do_not_matter(count, seed):
    prediction, target, positives = batch(count, seed)
    loss = infonce(prediction, target, logit_scale=SCALE, positives=positives)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    moved = Positives(positives.pair_ids_B[order], positives.text_ids_B[order])
    torch.testing.assert_close(infonce(prediction[order], target[order], logit_scale=SCALE, positives=moved), loss)
    torch.testing.assert_close(infonce(target, prediction, logit_scale=SCALE, positives=positives), loss)
    for tile in (1, 3, count):
        tiled = infonce(prediction, target, logit_scale=SCALE, positives=positives, tile=tile)
        torch.testing.assert_close(tiled, loss)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10**6))
def test_the_mask_is_symmetric_with_its_diagonal(count, seed):
    positives = batch(count, seed)[2].mask()
    assert torch.equal(positives, positives.T)
    assert positives.diagonal().all()


def test_a_duplicate_is_not_pushed_away_when_it_is_marked():
    """Two samples with one target: unmarked they are each other's negatives and pull the embeddings apart."""
    target = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64), dim=-1)
    forces = []
    for text_ids in ([0, 0, 1], [0, 2, 1]):
        prediction = target.clone().requires_grad_()
        marks = Positives(torch.arange(3), torch.tensor(text_ids))
        infonce(prediction, target, logit_scale=SCALE, positives=marks).backward()
        forces.append(float(prediction.grad[:2, 0].abs().sum()))
    marked, unmarked = forces
    assert marked <= unmarked
