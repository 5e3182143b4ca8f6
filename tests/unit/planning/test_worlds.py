"""Two Rooms: its rules, its pictures, its environments; what policies and evaluation make of it."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

import vljepa.planning.two_rooms_env  # noqa: F401, registers it
from vljepa.data.worlds import two_rooms
from vljepa.data.worlds.two_rooms import Walls, draw, draw_places, move, wander
from vljepa.errors import ConfigError
from vljepa.planning.bounds import Ball
from vljepa.planning.evaluate import evaluate
from vljepa.planning.policies import PlanningPolicy, RandomPolicy, StraightLine
from vljepa.planning.solvers import CEM

WALL = Walls(np.array([30.0], np.float32), np.array([20.0], np.float32))


def go(start, *actions):
    place = np.array([start], np.float32)
    for action in actions:
        place = move(place, np.array([action], np.float32), WALL)
    return place[0].tolist()


def test_a_wall_stops_and_a_door_lets_through():
    assert go((20, 50), (2, 0)) == pytest.approx([22, 50])
    assert go((20, 50), *[(2.4, 0)] * 9)[0] <= 30 - two_rooms.WALL
    assert go((20, 20), *[(2.4, 0)] * 9) == pytest.approx([41.6, 20], abs=1e-4)
    x, y = go((26, 40), *[(1.5, -1.5)] * 4)
    assert (x, y) == (pytest.approx(27, abs=0.5), pytest.approx(34)), "along a wall it slides"
    assert go((20, 50), (30, 40)) == pytest.approx([20 + 0.6 * two_rooms.REACH, 50 + 0.8 * two_rooms.REACH], abs=1e-4)
    assert go((20, 60), (0, 2.4)) == pytest.approx([20, two_rooms.SIZE - 1 - two_rooms.MARGIN])


def test_no_trajectory_is_ever_inside_the_wall():
    random = np.random.default_rng(0)
    walls = Walls.random(200, random=random)
    places, actions = wander(walls, steps=16, random=random)
    assert places.shape == (200, 17, 2)
    assert actions.shape == (200, 16, 2)
    assert not any(walls.solid(places[:, step]).any() for step in range(17))
    assert np.linalg.norm(actions, axis=-1).max() <= two_rooms.REACH + 1e-5
    other = walls.right_of(places[:, 0]) != walls.right_of(places[:, -1])
    assert 0.01 < other.mean() < 0.3, "some go through the door"


def test_a_picture_shows_the_dot_the_wall_and_the_door():
    place = np.array([[[10.0, 40.0], [50.0, 12.0]]], np.float32)
    first, second = draw(place, WALL, floors=(two_rooms.COLOURS["red"], two_rooms.COLOURS["green"]))[0]
    assert first.shape == (65, 65, 3)
    assert first[40, 10].tolist() == list(two_rooms.INK)
    assert first[12, 50].tolist() == list(two_rooms.COLOURS["green"])
    assert second[12, 50].tolist() == list(two_rooms.INK)
    assert second[40, 10].tolist() == list(two_rooms.COLOURS["red"])
    assert first[40, 30].tolist() == list(two_rooms.BRICK)
    assert first[20, 30].tolist() != list(two_rooms.BRICK), "the door"


def test_goals_are_in_the_other_room():
    random = np.random.default_rng(0)
    walls = Walls.random(100, random=random)
    right = random.random(100) < 0.5
    assert (walls.right_of(draw_places(walls, random=random, right_B=right)) == right).all()


def test_it_is_an_environment_of_gymnasium():
    check_env(gymnasium.make("vljepa/TwoRooms-v0", render_mode="rgb_array").unwrapped, skip_render_check=False)
    worlds = gymnasium.make_vec("vljepa/TwoRooms-v0", num_envs=3)
    one, _ = worlds.reset(seed=5)
    other, _ = worlds.reset(seed=5)
    assert (one["image"] == other["image"]).all()
    assert (one["image"] != worlds.reset(seed=6)[0]["image"]).any()
    for _ in range(199):
        _, _, _, truncated, _ = worlds.step(np.zeros((3, 2), np.float32))
        assert not truncated.any()
    assert worlds.step(np.zeros((3, 2), np.float32))[3].all(), "200 steps are an episode"


def way_left(places, goals, walls):
    """How far it is to the goals, by way of the door where they are in the other room."""
    door = np.stack([walls.x_B, walls.door_B], axis=1)
    through = np.linalg.norm(places - door, axis=1) + np.linalg.norm(goals - door, axis=1)
    apart = walls.right_of(places) != walls.right_of(goals)
    return np.where(apart, through, np.linalg.norm(places - goals, axis=1))


def through_the_door(observation, info):
    """Energies by the true world and the true way: what nothing can be better than."""
    walls = Walls(info["wall"], info["door"])

    def energy(actions_BNTA):
        plans, samples, steps, _ = actions_BNTA.shape
        rows = np.repeat(np.arange(plans), samples)
        places, total = info["position"][rows], 0.0
        for step in range(steps):
            places = move(places, actions_BNTA[:, :, step].reshape(-1, 2).numpy(), walls[rows])
            total = total + way_left(places, info["goal_position"][rows], walls[rows])
        return torch.from_numpy(total).reshape(plans, samples)

    return energy


def test_planning_goes_through_the_door_and_a_straight_line_does_not():
    worlds = gymnasium.make_vec("vljepa/TwoRooms-v0", num_envs=12)
    cem = CEM(bounds=Ball(two_rooms.REACH), std=2.0, samples=100, rounds=3, elites=10)
    planner = PlanningPolicy(through_the_door, cem, horizon=60, execute=10, hold=5)
    planned = evaluate(worlds, planner, seeds=[0], budget=100)
    straight = evaluate(worlds, StraightLine(), seeds=[0], budget=100)
    wandering = evaluate(worlds, RandomPolicy(std=1.5), seeds=[0], budget=100)
    assert planned.success >= 0.9
    assert straight.success <= 0.6
    assert wandering.success <= 0.2
    assert planned.interval[0] < planned.success <= planned.interval[1]
    assert planned.steps_SB[planned.reached_SB].max() < 100
    assert (planned.distance_SB[planned.reached_SB] < two_rooms.SUCCESS).all()
    again = evaluate(worlds, planner, seeds=[0], budget=100)
    assert (again.steps_SB == planned.steps_SB).all(), "seeds fix worlds and samples"


def test_worlds_that_reset_themselves_are_refused():
    worlds = gymnasium.vector.SyncVectorEnv([lambda: gymnasium.make("vljepa/TwoRooms-v0")] * 2)
    with pytest.raises(ConfigError, match="reset themselves"):
        evaluate(worlds, StraightLine(), seeds=[0], budget=2)
    kept = gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.make("vljepa/TwoRooms-v0")] * 2, autoreset_mode=gymnasium.vector.AutoresetMode.DISABLED
    )
    assert evaluate(kept, StraightLine(), seeds=[0], budget=2).reached_SB.shape == (1, 2)


def test_other_walls_and_floors_are_refused():
    with pytest.raises(ConfigError, match="walls = 'Fixed'"):
        gymnasium.make_vec("vljepa/TwoRooms-v0", walls="Fixed")
    with pytest.raises(ConfigError, match="pink"):
        gymnasium.make_vec("vljepa/TwoRooms-v0", floors=("pink", "red"))


@pytest.mark.parametrize("wrong", [{"execute": 61}, {"hold": 7}, {"execute": 10, "hold": 4}, {"execute": 0}])
def test_parts_of_a_plan_have_to_fit(wrong):
    with pytest.raises(ConfigError, match="horizon = 60"):
        PlanningPolicy(through_the_door, CEM(bounds=Ball(1.0), std=1.0), **({"horizon": 60} | wrong))


def test_nothing_is_planned_for_worlds_that_are_over():
    planned = []

    def energies(observation, info):
        planned.append(len(observation["image"]))
        return through_the_door(observation, info)

    worlds = gymnasium.make_vec("vljepa/TwoRooms-v0", num_envs=12)
    cem = CEM(bounds=Ball(two_rooms.REACH), std=2.0, samples=100, rounds=3, elites=10)
    evaluate(worlds, PlanningPolicy(energies, cem, horizon=60, execute=10, hold=5), seeds=[0], budget=40)
    assert planned[0] == 12
    assert planned[-1] < 12
