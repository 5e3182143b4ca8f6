import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.conftest import shapes_run, write_rows
from tests.invariant.test_resume import run_through
from tests.videos import number_of, plain, write_video
from vljepa import VLJEPA, VLJEPAProcessor
from vljepa.configs import ClipView, RunConfig, SourceConfig, load_preset, validate
from vljepa.data.collate import Collator, StepBatches
from vljepa.data.images import LiveImages, clip_images
from vljepa.data.records import Clip, Record
from vljepa.data.sampling import StepSampler
from vljepa.data.sources import load_source
from vljepa.errors import ConfigError, DataError, VideoError
from vljepa.methods.vision_language.label_prior import fill_label_prior
from vljepa.training.plan import plan_run
from vljepa.training.stages import train_stages
from vljepa.training.trainer import Trainer

IMAGES = Path(__file__).parents[3] / "examples" / "images"
CAP = 1_000_000


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A folder with a film per example image, one broken film, and the rows over their halves."""
    folder = tmp_path_factory.mktemp("films")
    rows = []
    for path in sorted(IMAGES.glob("*.jpg")):
        image = Image.open(path).convert("RGB").resize((96, 96))
        write_video(
            folder / f"{path.stem}.mp4", count=12, make=lambda n, _, p=image: p.crop((n, n, n + 64, n + 48)), gop=4
        )
        for start, end in ((0, 0.6), (0.6, None)):
            text = [f"a film of {path.stem}", f"{path.stem}, half from {start}"]
            rows.append({"video": f"{path.stem}.mp4", "start": start, "end": end, "text": text})
    (folder / "broken.mp4").write_bytes((folder / "cat.mp4").read_bytes()[:300])
    write_rows(folder / "films.jsonl", [*rows, {"video": "broken.mp4", "text": "never seen"}])
    return folder


def video_source(tmp_path, rows, **settings):
    write_rows(tmp_path / "rows.jsonl", rows)
    settings = {"name": "s", "path": "rows.jsonl", "view": {"name": "clip", "frames": 4}} | settings
    return load_source(SourceConfig(**settings), root=tmp_path)


def test_rows_of_clips(tmp_path):
    row = {"video": "a.mp4", "text": "a cat", "query": "what?"}
    whole, part, same, open_end = video_source(
        tmp_path, [row, row | {"start": 1.5, "end": 3}, row | {"start": "1.5", "end": "3.0"}, row | {"start": 1}]
    )
    assert whole.image == Clip(tmp_path / "a.mp4", start=0.0, end=None, frames=4)
    assert part.image == same.image == Clip(tmp_path / "a.mp4", start=1.5, end=3.0, frames=4)
    assert open_end.image.end is None
    assert part.source_id == same.source_id == f"{tmp_path / 'a.mp4'} [1.5 s to 3 s]"
    assert len({whole.source_id, part.source_id, open_end.source_id}) == 3
    assert (whole.query, whole.texts) == ("what?", ("a cat",))


def test_csv_with_mapped_columns(tmp_path):
    (tmp_path / "rows.csv").write_text("file,from,to,text\na.mp4,,,a cat\na.mp4,2,4.5,a dog\n")
    columns = {"video": "file", "start": "from", "end": "to"}
    whole, part = load_source(
        SourceConfig(name="s", path="rows.csv", view=ClipView(frames=2), columns=columns), root=tmp_path
    )
    assert (whole.image.start, whole.image.end) == (0.0, None)
    assert (part.image.start, part.image.end) == (2.0, 4.5)


@pytest.mark.parametrize(
    ("row", "settings", "message"),
    [
        ({"image": "a.png"}, {}, r"no column 'video'.*map it in `columns`"),
        ({"video": "a.mp4"}, {"view": "picture"}, r"no column 'image'.*set `view: \{name: clip, frames: 8\}`"),
        ({"video": "../a.mp4"}, {}, "leads outside"),
        ({"video": "/etc/a.mp4"}, {}, "absolute path"),
        ({"video": ""}, {}, "not a path"),
        ({"video": "a.mp4", "start": "soon"}, {}, "'start' = 'soon' is not a number of seconds"),
        ({"video": "a.mp4", "start": -1}, {}, "'start' = -1"),
        ({"video": "a.mp4", "end": "inf"}, {}, "'end' = 'inf'"),
        ({"video": "a.mp4", "end": [1]}, {}, "'end'"),
        ({"video": "a.mp4", "start": 2, "end": 2}, {}, "ends at 2 s, where it starts"),
        ({"video": "a.mp4", "end": 0}, {}, "ends at 0 s"),
    ],
)
def test_rows_that_do_not_fit(tmp_path, row, settings, message):
    with pytest.raises(DataError, match=message):
        video_source(tmp_path, [row | {"text": "x"}], **settings)


def test_links_in_a_folder_of_frames_may_not_lead_outside(tmp_path):
    root, outside = tmp_path / "root", tmp_path / "outside.png"
    (root / "frames").mkdir(parents=True)
    plain(1, (8, 8)).save(outside)
    plain(2, (8, 8)).save(root / "frames" / "0.png")
    (record,) = video_source(root, [{"video": "frames", "text": "x"}])
    assert record.image.path == root / "frames"
    (root / "frames" / "1.png").symlink_to(outside)
    with pytest.raises(DataError, match="leads outside"):
        video_source(root, [{"video": "frames", "text": "x"}])


def seen(clip, view):
    return [number_of(image) for image in clip_images(clip, view=view, max_pixels=CAP)]


def test_a_clip_s_frames_are_the_middles_or_drawn_places_of_its_parts(numbers):
    clip = Clip(numbers, start=0.0, end=None, frames=4)
    assert seen(clip, 0) == [2, 7, 12, 17]
    assert seen(clip, 5) == seen(clip, 5)
    drawn = [seen(clip, view) for view in range(1, 40)]
    assert len({tuple(frames) for frames in drawn}) > 30
    for part in range(4):
        assert {frames[part] for frames in drawn} == set(range(5 * part, 5 * part + 5))
    assert seen(Clip(numbers, start=1.0, end=1.4, frames=2), 0) == [11, 13]
    assert seen(Clip(numbers, start=0.5, end=99.0, frames=1), 0) == [12]
    with pytest.raises(VideoError, match="no frame from 2 s"):
        seen(Clip(numbers, start=2.0, end=None, frames=1), 0)


def test_an_augmented_view_treats_all_frames_alike(toy):
    image = Image.effect_noise((60, 50), 90).convert("RGB")
    view_TCHW = toy[1].frames_view([image] * 3, seed=4, min_scale=0.3, flip=True)
    assert torch.equal(view_TCHW[0], view_TCHW[1])
    assert torch.equal(view_TCHW[0], view_TCHW[2])
    plain_TCHW = toy[1].frames([image] * 3)
    assert plain_TCHW.shape == view_TCHW.shape
    assert not torch.equal(plain_TCHW[0], view_TCHW[0])


def test_clips_are_read_live_and_broken_ones_left_out(toy, numbers, tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"no")
    good, bad = (Clip(path, start=0.0, end=None, frames=4) for path in (numbers, tmp_path / "broken.mp4"))
    reader = LiveImages(toy[1])
    batch = reader.read([(bad, 0), (good, 0), (good, 9)])
    assert batch.pixels_BTCHW.shape[:2] == (2, 4)
    assert batch.kept == [1, 2]
    assert list(batch.skipped) == [bad]
    assert not torch.equal(*batch.pixels_BTCHW)
    assert list(reader.unreadable([good, bad])) == [bad]


def test_each_visit_to_a_live_clip_sees_other_frames_and_is_a_pure_function(toy, numbers):
    record = Record(Clip(numbers, start=0.0, end=None, frames=4), texts=("x",), source_id="v", source="a")
    sampler = StepSampler([2], weights=[1.0], names=["a"], batch_size=2, seed=0)
    collator = Collator(toy[1], images=LiveImages(toy[1]))
    config = SourceConfig(name="a", path="a", view=ClipView(frames=4))

    def batches(**views):
        return StepBatches([[record] * 2], configs=[config], sampler=sampler, collator=collator, views=1, **views)

    def pixels(live, step):
        return live[step][0].batch.pixels_BTCHW

    live = batches(clip_views=2**31)
    assert torch.equal(pixels(live, 3), pixels(batches(clip_views=2**31), 3))
    assert not torch.equal(pixels(live, 3), pixels(live, 4))
    assert not torch.equal(*pixels(live, 3))
    assert torch.equal(*pixels(batches(), 3)), "the control: one view is always the same"
    assert live.order()["views"] != batches().order()["views"]


def films_run(films, folder, output="run", *, cached=True, **sections):
    source = {"name": "films", "path": "films.jsonl", "view": {"name": "clip", "frames": 3}}
    cache = {"folder": str(folder / "cache"), "views": 2} if cached else None
    data = {"root": str(films), "train": [source], "validation": [source], "cache": cache, "max_skipped": 0.1}
    data |= sections.pop("data", {})
    train = {"steps": 4, "batch_size": 4, "eval_every": 2, **sections.pop("train", {})}
    return shapes_run(films, folder, output, data=data, train=train, **sections)


@pytest.mark.parametrize("cached", [True, False])
def test_training_on_videos_skips_the_broken_one_and_resumes_exactly(films, tmp_path, cached, capsys):
    whole = run_through(films_run(films, tmp_path, "whole", cached=cached))
    said = capsys.readouterr().err
    assert "1 images were skipped" in said
    assert "broken.mp4 (" in said
    result = json.loads((tmp_path / "whole" / "result.json").read_text())
    assert [Path(path).name for path in result["skipped"]] == ["broken.mp4"]
    pieces = run_through(films_run(films, tmp_path, "pieces", cached=cached), cuts=(3,))
    assert pieces[0] == whole[0]
    for ours, theirs in zip(pieces[1:3], whole[1:3], strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    if cached:
        other = run_through(films_run(films, tmp_path, "other", train={"seed": 1}))
        assert other[0] != whole[0], "the control"


@pytest.mark.parametrize("cached", [True, False])
def test_a_model_of_images_learns_the_places_of_frames(films, tmp_path, cached):
    torch.manual_seed(0)
    VLJEPA.from_parts(load_preset("toy")).save_pretrained(tmp_path / "images")
    run = films_run(films, tmp_path, cached=cached)
    given = {"model": None, "start": str(tmp_path / "images"), "clips": {"frames": 3, "max_frames": 5}}
    run = RunConfig.model_validate(run.model_dump() | given)
    learned = VLJEPA.from_pretrained(Trainer(run).fit().model_folder)
    assert learned.config.predictor.clips == run.clips
    assert learned.predictor.clip_places.places.abs().max() > 0
    again = RunConfig.model_validate(run.model_dump() | {"start": str(tmp_path / "run" / "best")})
    with pytest.raises(ConfigError, match="has clips already"):
        Trainer(
            again.model_copy(update={"train": again.train.model_copy(update={"output": str(tmp_path / "b")})})
        ).fit()


@pytest.fixture
def given_clips(films, tmp_path):
    """A trained model of images that is given a Predictor of its own for clips, and the run that does it."""
    torch.manual_seed(0)
    images = VLJEPA.from_parts(load_preset("toy"))
    fill_label_prior(images.eval(), VLJEPAProcessor(images.config))
    images.config.calibration.residual, images.config.calibration.classify = 3.0, 0.3
    images.save_pretrained(tmp_path / "images")
    given = {
        "model": None,
        "start": str(tmp_path / "images"),
        "clips": {"frames": 3, "max_frames": 5, "predictor": "own"},
    }
    return images, RunConfig.model_validate(films_run(films, tmp_path).model_dump() | given)


def trained(run, name, **changes):
    run = RunConfig.model_validate(run.model_dump() | changes)
    output = Path(run.train.output).with_name(name)
    run.train.output = str(output)
    Trainer(run).fit()
    return output / "last"


def test_on_clips_alone_nothing_else_is_trained(given_clips):
    """Images are answered as before, calibration included; also by a model that goes on, whole or by adapters."""
    images, run = given_clips
    first = trained(run, "first")
    before, after = dict(images.named_parameters()), dict(VLJEPA.from_pretrained(first).named_parameters())
    copies = {
        name: after[name.replace("predictor.", "predictor.clip.", 1)]
        for name in before
        if name.startswith("predictor.")
    }
    moved = {name for name, one in copies.items() if not torch.equal(one, before[name])}
    assert moved == {name for name in copies if "word_embeddings" not in name}, "there are no queries"
    further = {"start": str(first), "clips": None}
    for folder in (first, trained(run, "on", **further), trained(run, "lora", **further, lora={"rank": 2})):
        learned = VLJEPA.from_pretrained(folder)
        assert learned.config.calibration == images.config.calibration
        assert torch.equal(learned.predict(image_of(learned)), images.predict(image_of(images)))
        assert learned.text_space_hash() == images.text_space_hash()
    assert (
        plan_run(run).trained
        == sum(one.numel() for name, one in after.items() if name.startswith("predictor.clip.")) + 1
    )


def test_stages_on_clips_alone_leave_images_as_they_are(given_clips):
    images, run = given_clips
    second = run.model_copy(update={"train": run.train.model_copy(update={"output": f"{run.train.output} 2"})})
    learned = VLJEPA.from_pretrained(train_stages({"a": run, "b": second}).model_folder)
    assert torch.equal(learned.predict(image_of(learned)), images.predict(image_of(images)))


def test_images_among_the_data_train_the_whole_model(given_clips):
    images, run = given_clips
    still = run.data.train[0].model_copy(update={"name": "still", "view": ClipView(frames=1), "group": "still"})
    mixed = run.model_copy(update={"data": run.data.model_copy(update={"train": [*run.data.train, still]})})
    assert plan_run(mixed).trained > plan_run(run).trained
    learned = VLJEPA.from_pretrained(trained(mixed, "mixed"))
    assert not torch.equal(learned.predict(image_of(learned)), images.predict(image_of(images)))


def image_of(model):
    return model.encode_vision(torch.randn(2, 1, 3, 64, 64, generator=torch.Generator().manual_seed(5)))


@pytest.mark.parametrize(
    ("given", "message"),
    [({}, "clips is for the model in `start`"), ({"start": "mini", "model": None, "lora": {}}, "drop one of them")],
)
def test_clips_are_added_to_a_trained_model_alone(films, tmp_path, given, message):
    raw = films_run(films, tmp_path).model_dump() | {"clips": {}} | given
    with pytest.raises(ConfigError, match=message):
        validate(RunConfig, raw, where="test")


def test_too_many_broken_videos_stop_the_run(films, tmp_path):
    with pytest.raises(DataError, match=r"broken\.mp4"):
        Trainer(films_run(films, tmp_path, data={"max_skipped": 0})).fit()


def test_images_and_videos_train_together_in_groups_of_their_own(films, shapes, tmp_path):
    photos = {"name": "photos", "path": str(shapes / "captions.jsonl"), "root": str(shapes)}
    clips = {"name": "films", "path": "films.jsonl", "view": {"name": "clip", "frames": 3}}
    still = {"name": "still", "path": "films.jsonl", "view": {"name": "clip", "frames": 1}}
    train = [photos, clips | {"group": "films"}, still]
    run = films_run(films, tmp_path, data={"train": train, "validation": [photos, clips]}, train={"batch_size": 9})
    metrics = Trainer(run).fit().metrics
    assert {"photos/main", "films/main"} <= metrics.keys()
    together = films_run(films, tmp_path, "together", data={"train": [photos, clips]})
    with pytest.raises(ConfigError, match=r"'films' is in group 'all' with sources of another kind.*`frames`"):
        Trainer(together).fit()
