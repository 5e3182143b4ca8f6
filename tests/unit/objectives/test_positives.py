import torch

from vljepa.objectives import Positives


def test_same_pair_or_same_text_and_nothing_else():
    # image 1 asked twice the same, image 1 asked another thing, image 2 with the answer of the first row
    pairs, texts = torch.tensor([11, 11, 12, 21]), torch.tensor([1, 2, 3, 1])
    expected = [[1, 1, 0, 1], [1, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1]]
    assert Positives(pairs, texts).mask().int().tolist() == expected
    assert Positives(pairs, texts).mask(slice(1, 3)).int().tolist() == expected[1:3]
