"""What must hold for any batch: the loss does not care for the order of samples, or for which side is called what."""

import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa.objectives import infonce, positive_mask


def batch(count, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(2, count, 6, dtype=torch.float64, generator=generator)
    ids = torch.randint(0, count, (2, count), generator=generator)
    return *F.normalize(rows, dim=-1), positive_mask(ids[0], ids[1])


SCALE = torch.tensor([10.0], dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10**6))
def test_order_and_sides_do_not_matter(count, seed):
    prediction, target, positives = batch(count, seed)
    loss = infonce(prediction, target, logit_scale=SCALE, positives_BB=positives)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    shuffled = infonce(prediction[order], target[order], logit_scale=SCALE, positives_BB=positives[order][:, order])
    swapped = infonce(target, prediction, logit_scale=SCALE, positives_BB=positives.T)
    torch.testing.assert_close(shuffled, loss)
    torch.testing.assert_close(swapped, loss)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10**6))
def test_the_mask_is_symmetric_with_its_diagonal(count, seed):
    positives = batch(count, seed)[2]
    assert torch.equal(positives, positives.T)
    assert positives.diagonal().all()


def test_a_duplicate_is_not_pushed_away_when_it_is_marked():
    """Two samples with one target: unmarked they are each other's negatives and pull the embeddings apart."""
    target = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64), dim=-1)
    forces = []
    for text_ids in ([0, 0, 1], [0, 2, 1]):
        prediction = target.clone().requires_grad_()
        mask = positive_mask(torch.arange(3), torch.tensor(text_ids))
        infonce(prediction, target, logit_scale=SCALE, positives_BB=mask).backward()
        forces.append(float(prediction.grad[:2, 0].abs().sum()))
    marked, unmarked = forces
    assert marked <= unmarked
