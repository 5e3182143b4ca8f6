"""The measurement of selective decoding: streams from a seed, the protocol on small known examples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval import registry
from eval.tasks.made import methods
from eval.tasks.made.curves import summary
from eval.tasks.made.frames import render, view
from eval.tasks.made.methods import Decodes, Watched
from eval.tasks.made.scoring import MAIN, Scorer
from eval.tasks.made.streams import FPS, VIEWS, Frame, Stream, build_stream, successors, view_at
from vljepa.inference.words import Words
from vljepa.metrics.selective import Curve, cider_at, nearest, saving

CAPTIONS = [["a red cat sleeps here"], ["two dogs run far away"], ["one blue boat on water"]]


def built(number: int = 0, *, seed: int = 0, fades: float = 0.5, images: int = 30) -> Stream:
    return build_stream(images=images, seconds=360, seed=seed, number=number, fades=fades)


class TestStreams:
    def test_a_stream_is_a_pure_function_of_its_seed_and_number(self) -> None:
        assert built(3) == built(3)
        assert built(3) != built(4)
        assert built(3) != built(3, seed=1)

    def test_length_and_durations_are_as_described(self) -> None:
        streams = [built(number) for number in range(30)]
        assert {len(stream.frames) for stream in streams} == {360 * FPS}
        cuts_only = [built(number, fades=0.0) for number in range(30)]
        durations = np.concatenate([np.diff(stream.starts) for stream in cuts_only]) / FPS
        assert durations.mean() == pytest.approx(4.0, rel=0.1)
        assert np.quantile(durations, 0.98) > 3 * np.median(durations)

    def test_half_of_the_transitions_are_cross_fades_and_all_or_none_when_asked(self) -> None:
        def share(fades: float) -> float:
            streams = [built(number, fades=fades) for number in range(10)]
            faded = sum(frame.alpha == 0.2 for stream in streams for frame in stream.frames)
            return faded / sum(len(stream.starts) for stream in streams)

        assert share(0.5) == pytest.approx(0.5, abs=0.07)
        assert share(0.0) == 0
        assert share(1.0) > 0.95

    def test_fades_go_to_successors_and_no_shot_follows_itself(self) -> None:
        following = successors(30, seed=0)
        for frame in built(fades=1.0).frames:
            assert frame.other < 0 or frame.other in following[frame.image]
        shown = built().images
        assert all(one != two for one, two in pairwise(shown))

    def test_the_camera_goes_in_and_comes_back(self) -> None:
        views = [view_at(place, 12) for place in range(12)]
        assert views == [0, 0, 1, 1, 2, 2, 2, 2, 1, 1, 0, 0]
        assert max(view_at(place, 400) for place in range(400)) == VIEWS - 1

    def test_annotations_are_at_the_middle_of_their_shots(self) -> None:
        stream = Stream(tuple(Frame(0, 0) for _ in range(12)), starts=(0, 8), images=(5, 7), shares=(0.25, 1.0))
        assert stream.annotations() == [(1.0, 5), (2.5, 7)]
        assert stream.annotations("random") == [(0.5, 5), (3.0, 7)]


class TestFrames:
    def test_a_frame_is_the_view_that_it_says(self, tmp_path: Path) -> None:
        ramp = Image.fromarray(np.arange(64 * 80, dtype=np.uint32).reshape(64, 80) // 20 % 256).convert("RGBA")
        wide, close = view(ramp, 0, seed=1), view(ramp, VIEWS - 1, seed=1)
        assert wide.size == close.size == (256, 256)
        assert np.asarray(wide).std() > np.asarray(close).std() * 0.9
        assert np.array_equal(np.asarray(render(Frame(0, 3), [ramp])), np.asarray(view(ramp, 3, seed=0)))

    def test_a_cross_fade_mixes_two_images(self) -> None:
        black, white = (Image.new("RGBA", (32, 32), colour) for colour in ("black", "white"))
        mixed = np.asarray(render(Frame(0, 0, 1, 0.2), [black, white]))
        assert mixed.mean() == pytest.approx(0.2 * 255, abs=1)


def watched(lengths: Sequence[int] = (8, 40, 12)) -> Watched:
    """A clean stream: each image has an embedding of its own."""
    images = [place for place, length in enumerate(lengths) for _ in range(length)]
    rows = np.eye(3, 8, dtype=np.float32)[images]
    frames = tuple(Frame(image, 0) for image in images)
    starts = tuple(int(one) for one in np.cumsum([0, *lengths[:-1]]))
    return Watched(
        Stream(frames, starts, (0, 1, 2), (0.1, 0.9, 0.5)),
        rows,
        grey=rows[:, None],
    )


def scorer() -> Scorer:
    return Scorer(CAPTIONS, decode=lambda rows, classes: [Words(CAPTIONS[int(row.argmax())][0], None) for row in rows])


class TestProtocol:
    def test_the_nearest_decode_counts_and_of_two_the_earlier(self) -> None:
        assert [nearest(np.array([1.0, 3.0]), time) for time in (0.0, 1.9, 2.0, 2.1)] == [0, 0, 0, 1]

    @pytest.mark.parametrize("way", [methods.adaptive, methods.oracle, methods.pixel_difference])
    @pytest.mark.parametrize("readout", ["exact", "mean"])
    def test_three_decodes_say_everything_when_they_are_well_placed(self, way: object, readout: str) -> None:
        seen, judge = watched(), scorer()
        decodes = way(seen, rate=3 * FPS / 60, readout=readout)  # type: ignore[operator]
        judge.prepare([decodes])
        assert len(decodes.times) == 3
        assert judge.score(seen, decodes) == pytest.approx(10.0)

    def test_an_annotation_near_a_shots_edge_is_matched_by_segment_or_by_nearness(self) -> None:
        """Shots of 2, 10 and 3 s; the second annotation is at 11 s, nearer to the third segment's middle."""
        seen, judge = watched(), scorer()
        decodes = methods.adaptive(seen, rate=3 * FPS / 60, readout="mean")
        judge.prepare([decodes])
        assert judge.score(seen, decodes, protocol="random, covering") == pytest.approx(10.0)
        assert judge.score(seen, decodes, protocol="random, nearest") == pytest.approx(20 / 3)

    def test_as_many_uniform_decodes_miss_the_short_shot(self) -> None:
        seen, judge = watched(), scorer()
        decodes = methods.uniform(seen, rate=2 * FPS / 60, readout="exact")
        judge.prepare([decodes])
        assert judge.score(seen, decodes) < 7

    def test_constant_words_score_a_third_of_three(self) -> None:
        seen = watched()
        judge = Scorer(CAPTIONS, decode=lambda rows, classes: [Words(CAPTIONS[0][0], None)] * len(rows))
        decodes = methods.adaptive(seen, rate=3 * FPS / 60, readout="exact")
        judge.prepare([decodes])
        assert judge.score(seen, decodes) == pytest.approx(10 / 3)

    def test_what_is_shown_twice_is_decoded_once(self) -> None:
        asked: list[int] = []

        def decode(rows: np.ndarray, classes: np.ndarray | None) -> list[Words]:
            asked.append(len(rows))
            return [Words("a", None)] * len(rows)

        judge = Scorer(CAPTIONS, decode=decode)
        times = np.array([0.0, 1.0])
        decodes = Decodes(times, np.eye(3, 8, dtype=np.float32)[[0, 0]], times)
        judge.prepare([decodes, decodes])
        judge.prepare([decodes])
        assert asked == [1]

    def test_one_row_with_other_classes_is_another_text(self) -> None:
        def decode(rows: np.ndarray, classes: np.ndarray | None) -> list[Words]:
            assert classes is not None
            return [Words(CAPTIONS[int(one.argmax())][0], None) for one in classes]

        seen, judge = watched(), Scorer(CAPTIONS, decode=decode)
        decodes = methods.oracle(seen, rate=3 * FPS / 60, readout="exact")
        told = decodes._replace(rows=np.zeros_like(decodes.rows), classes=decodes.rows)
        judge.prepare([told])
        assert judge.score(seen, told) == pytest.approx(10.0)

    def test_texts_are_kept_for_the_next_run_and_a_half_written_one_is_not(self, tmp_path: Path) -> None:
        asked: list[int] = []

        def decode(rows: np.ndarray, classes: np.ndarray | None) -> list[Words]:
            asked.append(len(rows))
            return [Words(f"text {int(row.argmax())}", None) for row in rows]

        kept, times = tmp_path / "texts.jsonl", np.array([0.0, 1.0])
        both = Decodes(times, np.eye(3, 8, dtype=np.float32)[[0, 1]], times)
        Scorer(CAPTIONS, decode=decode, kept=kept).prepare([both])
        Scorer(CAPTIONS, decode=decode, kept=kept).prepare([both])
        assert asked == [2]

        kept.write_text(kept.read_text()[:-4])  # killed while it wrote the second
        judge = Scorer(CAPTIONS, decode=decode, kept=kept)
        judge.prepare([both])
        assert asked == [2, 1]
        assert [line[-8:] for line in kept.read_text().splitlines()] == ['text 0"]', 'text 1"]']


class TestSaving:
    def test_the_rate_of_equal_quality_is_read_between_the_points(self) -> None:
        rates = np.array([[0.1], [0.4], [1.0]]).repeat(6, axis=1)
        uniform = Curve(rates, np.array([[0.1], [0.4], [0.6]]).repeat(6, axis=1))
        adaptive = Curve(rates, np.array([[0.4], [0.8], [0.8]]).repeat(6, axis=1))
        assert cider_at(uniform, 1.0) == pytest.approx(0.6)
        assert adaptive.rate_at(0.6) == pytest.approx(0.2)
        found = saving(adaptive, uniform=uniform)
        assert found["times_fewer"] == pytest.approx(5.0)
        assert found["low"] == pytest.approx(found["high"])

    def test_uniform_saves_nothing_against_itself_however_flat_it_is(self) -> None:
        """Its quality at 1 Hz is reached at 0.1 Hz already: then that is what others are compared with."""
        rates = np.array([[0.1], [1.0]]).repeat(4, axis=1)
        flat, quick = Curve(rates, np.full((2, 4), 0.5)), Curve(rates / 4, np.full((2, 4), 0.5))
        assert saving(flat, uniform=flat)["times_fewer"] == 1
        assert saving(quick, uniform=flat)["times_fewer"] == pytest.approx(4)

    def test_a_curve_that_never_gets_there_saves_nothing(self) -> None:
        rates = np.array([[0.1], [1.0]]).repeat(4, axis=1)
        poor, good = Curve(rates, np.full((2, 4), 0.1)), Curve(rates, np.full((2, 4), 0.5))
        assert saving(poor, uniform=good)["times_fewer"] == 0

    def test_every_method_is_compared_with_uniform_of_its_own_readout_and_means_with_exact_beside(self) -> None:
        rates = np.array([[0.1], [0.5], [1.0]]).repeat(4, axis=1)

        def curve(*quality: float) -> dict[str, Curve]:
            return {MAIN: Curve(rates, np.array(quality)[:, None].repeat(4, axis=1))}

        curves = {"uniform, exact": curve(0.1, 0.3, 0.4), "uniform, mean": curve(0.2, 0.4, 0.6),
                  "adaptive, exact": curve(0.3, 0.4, 0.5), "adaptive, mean": curve(0.4, 0.6, 0.7)}  # fmt: skip
        found = summary(curves, [MAIN], seeds=2)
        fewer = {name: one[MAIN]["times_fewer"] for name, one in found["savings"].items()}
        assert fewer == pytest.approx(
            {"uniform, exact": 1, "uniform, mean": 1, "adaptive, exact": 2, "adaptive, mean": 2}
        )
        mixed = {name: one[MAIN]["times_fewer"] for name, one in found["savings_mixed"].items()}
        assert mixed == pytest.approx({"uniform, mean": 2, "adaptive, mean": 10})
        time = {"per_frame_s": {}, "fps": FPS, "rates": {"uniform": 1.0, "adaptive": 0.5}, "decoders": {}}
        source = found | {"pool": 4, "streams": 4, "shots_per_second": 0.25, "only_cross_fades": found | {"streams": 4}}
        whole = {"decoder": {"name": "toy", "num_beams": 1}, "protocol": {}, "sources": {"photos": source}}
        text = registry.tables("selective", whole | {"wall_time": time})
        head, *rows = text[text.index("| times fewer") :].split("\n")
        assert head.index("like for like") < head.index("mixed")
        assert rows[3] == "| adaptive, exact | 2.00 [2.00, 2.00] |  | 0.500 |"
