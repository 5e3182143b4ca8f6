"""Solvers on energies whose least is known."""

import pytest
import torch

from vljepa.errors import ConfigError
from vljepa.planning.bounds import Ball, Box
from vljepa.planning.solvers import CEM, MPPI, Gradient

WIDE = Box(-5, 5)
SOLVERS = {
    "cem": CEM(bounds=WIDE, std=1.0, samples=200, rounds=12, elites=20),
    "mppi": MPPI(bounds=WIDE, std=1.0, samples=200, rounds=12),
    "gradient": Gradient(bounds=WIDE, std=1.0, rounds=200),
}
GOALS = torch.tensor([[1.0, -2.0], [-0.5, 3.0], [2.0, 2.0]])


def endpoint(actions_BNTA):
    """Where the sum of the actions leads, from 0, and a little for how long the way is."""
    apart = (actions_BNTA.sum(2) - GOALS[:, None]).square().sum(-1)
    return apart + 1e-3 * actions_BNTA.square().sum((-1, -2))


@pytest.mark.parametrize("name", SOLVERS)
def test_the_least_of_a_quadratic_energy_is_found(name):
    found = SOLVERS[name].solve(endpoint, start_BTA=torch.zeros(3, 4, 2), seed=0)
    assert found.shape == (3, 4, 2)
    torch.testing.assert_close(found.sum(1), GOALS, atol=0.12, rtol=0)
    worse = SOLVERS[name].solve(lambda actions: -endpoint(actions), start_BTA=torch.zeros(3, 4, 2), seed=0)
    assert (worse.sum(1) - GOALS).norm(dim=-1).min() > 2, "the control: another energy, other actions"


@pytest.mark.parametrize("name", SOLVERS)
def test_the_same_seed_gives_the_same_plan_and_an_earlier_plan_helps(name):
    first = SOLVERS[name].solve(endpoint, start_BTA=torch.zeros(3, 4, 2), seed=3)
    assert torch.equal(first, SOLVERS[name].solve(endpoint, start_BTA=torch.zeros(3, 4, 2), seed=3))
    if name != "gradient":
        assert not torch.equal(first, SOLVERS[name].solve(endpoint, start_BTA=torch.zeros(3, 4, 2), seed=4))
    short = {"cem": CEM(bounds=WIDE, std=0.1, samples=40, rounds=1, elites=4),
             "mppi": MPPI(bounds=WIDE, std=0.1, samples=40, rounds=1),
             "gradient": Gradient(bounds=WIDE, std=0.1, rounds=1)}[name]  # fmt: skip
    cold = short.solve(endpoint, start_BTA=torch.zeros(3, 4, 2), seed=0)
    warm = short.solve(endpoint, start_BTA=first, seed=0)
    assert (endpoint(warm[:, None]) < 0.5 * endpoint(cold[:, None])).all()


def test_v_jepa_2_ac_s_numbers():
    """800 samples, 10 rounds, 10 elites, one step of 3 numbers, in an L1 ball of 0.075."""
    goal = torch.tensor([0.03, -0.02, 0.01])
    cem = CEM(bounds=Ball(0.075, p=1), std=0.05)
    assert (cem.samples, cem.rounds, cem.elites) == (800, 10, 10)

    def energy(actions):
        return (actions[..., 0, :] - goal).abs().mean(-1)

    near = cem.solve(energy, start_BTA=torch.zeros(1, 1, 3), seed=0)
    torch.testing.assert_close(near[0, 0], goal, atol=1e-3, rtol=0)
    goal = goal * 10
    far = cem.solve(energy, start_BTA=torch.zeros(1, 1, 3), seed=0)[0, 0]
    assert far.abs().sum() == pytest.approx(0.075, abs=1e-5)


@pytest.mark.parametrize(("bounds", "norm"), [(Ball(0.5), 2), (Ball(0.5, p=1), 1), (Box(-0.5, 0.5), float("inf"))])
@pytest.mark.parametrize("solver", [CEM, MPPI, Gradient])
def test_no_plan_leaves_its_bounds(solver, bounds, norm):
    seen = []

    def energy(actions):
        seen.append(torch.linalg.vector_norm(actions.detach(), ord=norm, dim=-1).max())
        return endpoint(actions)

    found = solver(bounds=bounds, std=3.0, samples=16, rounds=3, **({"elites": 4} if solver is CEM else {})).solve(
        energy, start_BTA=torch.zeros(3, 2, 2), seed=0
    )
    assert max(seen) <= 0.5 + 1e-6
    assert torch.linalg.vector_norm(found, ord=norm, dim=-1).max() <= 0.5 + 1e-6


def test_what_stays_of_the_distribution_before_is_kept():
    one = CEM(bounds=WIDE, std=1.0, samples=50, rounds=1, elites=5)
    kept = CEM(bounds=WIDE, std=1.0, samples=50, rounds=1, elites=5, keep_mean=0.75)
    start = torch.full((3, 1, 2), 0.5)
    new, mixed = (solver.solve(endpoint, start_BTA=start, seed=0) for solver in (one, kept))
    torch.testing.assert_close(mixed, 0.75 * start + 0.25 * new)


def test_a_gradient_solver_leaves_the_model_alone_and_starts_within_its_bounds():
    weight = torch.nn.Parameter(torch.ones(2))
    solver = Gradient(bounds=Box(-0.5, 0.5), std=50.0, samples=4, rounds=80, lr=0.05)
    found = solver.solve(lambda a: (a.sum(2) * weight - 0.3).square().sum(-1), start_BTA=torch.zeros(2, 1, 2), seed=0)
    assert weight.grad is None
    torch.testing.assert_close(found[:, 0], torch.full((2, 2), 0.3), atol=0.05, rtol=0)


def test_path_integral_control_needs_samples():
    with pytest.raises(ConfigError, match="1 samples"):
        MPPI(bounds=WIDE, std=1.0, samples=1)


@pytest.mark.parametrize(("elites", "samples"), [(1, 10), (11, 10)])
def test_elites_are_some_of_the_samples(elites, samples):
    with pytest.raises(ConfigError, match=f"{elites} elites of {samples} samples"):
        CEM(bounds=WIDE, std=1.0, samples=samples, elites=elites)
