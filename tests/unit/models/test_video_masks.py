"""Multi-block masks: rectangular, of all times, pure in their seed, and with the paper's shares."""

from __future__ import annotations

import pytest
import torch

from vljepa.configs.v_jepa import MaskConfig, VJEPAConfig
from vljepa.models.video.masks import ASKED, LEFT_OUT, SEEN, distance_to_asked, draw_roles, ids_of

GRID = (4, 8, 8)
MASKS = VJEPAConfig().masks


def test_rows_of_a_mask_can_be_gathered_and_are_apart() -> None:
    roles_BKN = draw_roles(MASKS, grid=GRID, clips=24, seed=[0, 3])
    assert roles_BKN.shape == (24, 2, 256)
    for roles_BN in roles_BKN.unbind(1):
        seen, asked = ids_of(roles_BN, SEEN), ids_of(roles_BN, ASKED)
        assert seen.shape[1] > 0
        assert asked.shape[1] > 0
        assert not any(set(one.tolist()) & set(other.tolist()) for one, other in zip(seen, asked, strict=True))


def test_they_are_pure_in_the_seed_and_differ_between_steps() -> None:
    one, same, other = (draw_roles(MASKS, grid=GRID, clips=8, seed=[5, step]) for step in (7, 7, 8))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_blocks_hide_their_places_in_all_frames() -> None:
    [roles_BKN] = [draw_roles([MaskConfig(blocks=2, scale=0.2)], grid=GRID, clips=1, seed=[1])]
    assert (roles_BKN != LEFT_OUT).all(), "of a single clip nothing has to be left out"
    by_step = roles_BKN.view(4, 64)
    assert torch.equal(by_step, by_step[:1].expand(4, -1))


def test_one_clip_alone_is_masked_as_the_paper_says() -> None:
    """Shares of hidden places over many draws, at 14 x 14, of one clip: .63 and .81 (docs/family.md)."""
    found = torch.stack([draw_roles(MASKS, grid=(1, 14, 14), clips=1, seed=[step])[0] == ASKED for step in range(300)])
    short, long = found.float().mean((0, 2)).tolist()
    assert short == pytest.approx(0.63, abs=0.04)
    assert long == pytest.approx(0.81, abs=0.04)


def test_what_is_left_out_is_of_all_times() -> None:
    """Cutting sorted lists at the batch's shortest would drop the last frames alone."""
    left = torch.zeros(4)
    for step in range(20):
        roles = draw_roles(MASKS, grid=GRID, clips=16, seed=[0, step])
        left += (roles == LEFT_OUT).view(-1, 4, 64).sum((0, 2)).float()
    assert left.min() / left.max() > 0.9


def test_blocks_that_would_cover_all_leave_something_to_be_seen() -> None:
    roles = draw_roles([MaskConfig(blocks=30, scale=0.9)], grid=(2, 3, 3), clips=6, seed=[0])
    assert ids_of(roles[:, 0], SEEN).shape[1] >= 2


def test_distances_are_to_the_nearest_asked_token() -> None:
    roles_BN = torch.full((1, 9), SEEN)
    roles_BN[0, 4] = ASKED
    distances = distance_to_asked(roles_BN, grid=(1, 3, 3))
    torch.testing.assert_close(distances[0, :3], torch.tensor([2.0**0.5, 1.0, 2.0**0.5]))
