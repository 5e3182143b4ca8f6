"""Two Rooms as environments of Gymnasium: `vljepa/TwoRooms-v0`, one world or many at once."""

from __future__ import annotations

from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from vljepa.data.worlds import two_rooms
from vljepa.data.worlds.two_rooms import REACH, SIZE, SUCCESS, Walls, clip_actions, draw, draw_places, move
from vljepa.errors import ConfigError

Observation = dict[str, NDArray[Any]]
METADATA: dict[str, Any] = {
    "render_modes": ["rgb_array"],
    "render_fps": 10,
    "autoreset_mode": AutoresetMode.DISABLED,
}
PICTURE = spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8)
OBSERVATION = cast(spaces.Space[Observation], spaces.Dict({"image": PICTURE, "goal": PICTURE}))
ACTION = spaces.Box(-REACH, REACH, (2,), np.float32)


class TwoRoomsVector(VectorEnv[Observation, NDArray[Any], NDArray[Any]]):
    """Worlds in which a dot has to get into the other room, to where a picture shows it.

    An observation has the `image` now and that of the `goal`; an action is a displacement in pixels, shortened to 2.45.
    `info` has `position`, `goal_position`, `distance`, where `wall` and `door` are, and `over`; a world is over
    (`terminated`) when the dot is nearer to the goal than 4.5 pixels, and stays as it is from then on.

    Args:
        num_envs: How many worlds.
        walls: `random` in every world, or `fixed`.
        other_room: Whether the goal is in the other room; else anywhere.
        render_mode: `rgb_array` or None.
        floors: Colours of the two rooms, of `COLOURS`; None for one plain floor.
        max_episode_steps: After how many an episode is `truncated`; None for never.
    """

    metadata = METADATA

    def __init__(
        self,
        num_envs: int = 1,
        *,
        walls: str = "random",
        other_room: bool = True,
        render_mode: str | None = None,
        floors: tuple[str, str] | None = None,
        max_episode_steps: int | None = None,
    ) -> None:
        self.budget = max_episode_steps
        self.num_envs, self.render_mode, self.other_room, self.layout = num_envs, render_mode, other_room, walls
        self.single_observation_space, self.single_action_space = OBSERVATION, ACTION
        self.observation_space = gymnasium.vector.utils.batch_space(OBSERVATION, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(ACTION, num_envs)
        if walls not in ("random", "fixed"):
            raise ConfigError(f"walls = {walls!r}.", fix="give 'random' or 'fixed'.")
        unknown = set(floors or ()) - set(two_rooms.COLOURS)
        if unknown:
            raise ConfigError(f"floors = {floors!r}.", fix=f"give two of {', '.join(two_rooms.COLOURS)}.")
        colours = (two_rooms.FLOOR,) * 2 if floors is None else tuple(two_rooms.COLOURS[one] for one in floors)
        self.floors = (colours[0], colours[1])

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """New worlds.

        Args:
            seed: Of all of them together.
            options: None are known.
        """
        del options
        assert not isinstance(seed, list), "one seed for all worlds"
        super().reset(seed=seed)
        random = self.np_random
        fixed = self.layout == "fixed"
        self.walls = Walls.fixed(self.num_envs) if fixed else Walls.random(self.num_envs, random=random)
        self.places_B2 = draw_places(self.walls, random=random)
        right_B = ~self.walls.right_of(self.places_B2) if self.other_room else None
        self.goals_B2 = draw_places(self.walls, random=random, right_B=right_B)
        self.done_B = np.zeros(self.num_envs, dtype=bool)
        self.steps = 0
        self.goals = draw(self.goals_B2[:, None], self.walls, floors=self.floors)[:, 0]
        return self._observation(), self._info()

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[Observation, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Move every dot that is not there yet."""
        moved_B2 = move(self.places_B2, clip_actions(np.asarray(actions, np.float32)), self.walls)
        self.places_B2 = np.where(self.done_B[:, None], self.places_B2, moved_B2)
        self.done_B |= self._distance() < SUCCESS
        self.steps += 1
        late_B = ~self.done_B & (self.budget is not None and self.steps >= self.budget)
        return self._observation(), self.done_B.astype(np.float64), self.done_B.copy(), late_B, self._info()

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """Pictures of all worlds."""
        return tuple(self._pictures()) if self.render_mode == "rgb_array" else None

    def _pictures(self) -> NDArray[np.uint8]:
        return draw(self.places_B2[:, None], self.walls, floors=self.floors)[:, 0]

    def _observation(self) -> Observation:
        return {"image": self._pictures(), "goal": self.goals.copy()}

    def _distance(self) -> NDArray[np.float32]:
        distance_B: NDArray[np.float32] = np.linalg.norm(self.places_B2 - self.goals_B2, axis=1)
        return distance_B

    def _info(self) -> dict[str, Any]:
        return {
            "position": self.places_B2.copy(),
            "goal_position": self.goals_B2.copy(),
            "distance": self._distance(),
            "wall": self.walls.x_B.copy(),
            "door": self.walls.door_B.copy(),
            "over": self.done_B.copy(),
        }


class TwoRooms(gymnasium.Env[Observation, NDArray[Any]]):
    """One of `TwoRoomsVector`'s worlds.

    Args:
        options: As there.
    """

    metadata = METADATA

    def __init__(self, **options: Any) -> None:
        self._worlds = TwoRoomsVector(1, **options)
        self.observation_space, self.action_space = OBSERVATION, ACTION
        self.render_mode = self._worlds.render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """A new world."""
        super().reset(seed=seed)
        observation, info = self._worlds.reset(seed=seed, options=options)
        return _first(observation), _first(info)

    def step(self, action: NDArray[Any]) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Move the dot."""
        observation, reward, terminated, truncated, info = self._worlds.step(np.asarray(action)[None])
        return _first(observation), float(reward[0]), bool(terminated[0]), bool(truncated[0]), _first(info)

    def render(self) -> Any:
        """A picture of the world."""
        pictures = self._worlds.render()
        return None if pictures is None else pictures[0]


def _first(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value[0] for name, value in values.items()}


gymnasium.register(
    "vljepa/TwoRooms-v0",
    entry_point="vljepa.planning.two_rooms_env:TwoRooms",
    vector_entry_point="vljepa.planning.two_rooms_env:TwoRoomsVector",
    max_episode_steps=200,
)
