"""What an index knows of files: unchanged, moved, changed while they are read, and of a build that was interrupted."""

import os
from pathlib import Path

import pytest
from PIL import Image

from tests.unit.inference.test_index import index, mixed  # noqa: F401 - fixtures
from tests.videos import write_video
from vljepa.errors import DataError, TextSpaceError
from vljepa.inference.index import Index, settle, units


class TestKnownFiles:
    @pytest.fixture
    def looked(self, model, processor, monkeypatch):
        """Names of the files that are opened."""
        names = []
        images, segments = processor.images, units.read_segments

        def open_images(some):
            names.extend(Path(one.filename if isinstance(one, Image.Image) else one).name for one in some)
            return images(some)

        def open_video(path, *arguments, **options):
            names.append(path.name)
            monkeypatch.setattr(processor, "images", images)
            try:
                return segments(path, *arguments, **options)
            finally:
                monkeypatch.setattr(processor, "images", open_images)

        monkeypatch.setattr(processor, "images", open_images)
        monkeypatch.setattr(units, "read_segments", open_video)
        return names

    def test_only_what_has_changed_is_opened_again(self, mixed, model, processor, images, looked):
        again = Index.build(model, processor, images, known=[mixed])
        assert sorted(looked) == ["broken.mp4", "broken.png"], "what could not be read may have been mended"
        assert (again.entries, again.unchanged) == (mixed.entries, 4)
        assert again.search("green") == mixed.search("green")
        looked.clear()
        Image.new("RGB", (9, 9), "#00ff00").save(images / "red.png")
        Image.new("RGB", (9, 9), "#0000ff").save(images / "new.png")
        (images / "green.jpg").unlink()
        again = Index.build(model, processor, images, known=[mixed])
        assert sorted(looked) == ["broken.mp4", "broken.png", "new.png", "red.png"]
        fresh = Index.build(model, processor, images)
        assert again.entries == fresh.entries
        assert again.search("green") == fresh.search("green")

    def test_what_was_moved_or_touched_is_known_by_its_content(self, index, model, processor, images, looked):
        os.utime(images / "red.png", (1, 1))
        (images / "deep" / "blue.webp").rename(images / "sea.webp")
        again = Index.build(model, processor, images, known=[index])
        assert looked == ["broken.png"]
        assert (again.unchanged, again.moved, again.gone) == (1, 2, 0)
        assert [(one.path, one.mtime == 1) for one in again.entries] == [
            ("green.jpg", False),
            ("red.png", True),
            ("sea.webp", False),
        ]
        assert again.search("blue")[0].path == "sea.webp"
        assert again.entries == Index.build(model, processor, images).entries

    def test_other_content_of_the_same_length_is_opened_again(self, model, processor, tmp_path, looked):
        for name, colour in (("a.bmp", "red"), ("b.bmp", "blue")):
            Image.new("RGB", (2, 2), colour).save(tmp_path / name)
        first = Index.build(model, processor, tmp_path)
        looked.clear()
        Image.new("RGB", (2, 2), "#00ff00").save(tmp_path / "a.bmp")
        (tmp_path / "b.bmp").unlink()
        again = Index.build(model, processor, tmp_path, known=[first])
        assert looked == ["a.bmp"]
        assert (again.unchanged, again.moved, again.gone) == (0, 0, 1)
        assert again.search("green")[0].score == pytest.approx(1, abs=1e-3)

    def test_another_threshold_cuts_videos_again_and_leaves_images(self, mixed, model, processor, images, looked):
        again = Index.build(model, processor, images, known=[mixed], threshold=100)
        assert sorted(looked) == ["broken.mp4", "broken.png", "clip.gif"]
        assert [entry.end for entry in again.entries if entry.start is not None] == [7]

    def test_a_video_that_was_read_in_part_is_read_again(self, model, processor, tmp_path, looked):
        whole = write_video(tmp_path / "cut.mkv", count=40, fps=10)
        whole.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
        first = Index.build(model, processor, whole)
        again = Index.build(model, processor, whole, known=[first])
        assert looked == ["cut.mkv"] * 2
        assert [one.partly for one in again.skipped] == [True]

    @pytest.mark.parametrize("name", ["red.png", "clip.gif"])
    def test_a_file_that_changes_while_it_is_read_is_read_again(
        self, model, processor, images, animation, looked, monkeypatch, name
    ):
        animation("images/clip.gif", ("blue", 2), ("green", 1))
        predict = model.predict

        def change(*arguments):
            monkeypatch.setattr(model, "predict", predict)
            if name == "red.png":
                Image.new("RGB", (9, 9), "#00ff00").save(images / name)
            else:
                animation(f"images/{name}", ("red", 3))
            return predict(*arguments)

        monkeypatch.setattr(model, "predict", change)
        first = Index.build(model, processor, images)
        looked.clear()
        second = Index.build(model, processor, images, known=[first])

        assert sorted(looked) == sorted(["broken.png", name])
        fresh = Index.build(model, processor, images)
        assert second.entries == fresh.entries
        assert second.search("green") == fresh.search("green")

    def test_rows_of_another_model_are_refused(self, index, model, processor, images):
        model.identity = "trained on"
        with pytest.raises(TextSpaceError, match=r"an index of `known` was made by another model \(colour model\)"):
            Index.build(model, processor, images, known=[index])
        model.identity, model.space = "colour model", "moved"
        with pytest.raises(TextSpaceError, match="text space colours"):
            Index.build(model, processor, images, known=[index])

    def test_files_are_known_by_their_place_under_another_common_folder(self, index, model, processor, images):
        (images.parent / "other").mkdir()
        Image.new("RGB", (2, 2), "red").save(images.parent / "other" / "red.png")
        both = Index.build(model, processor, [images, images.parent / "other"], known=[index])
        assert both.unchanged == 3
        assert {"other/red.png", f"{images.name}/red.png"} < {entry.path for entry in both.entries}

    def test_a_build_that_is_interrupted_goes_on(self, model, processor, tmp_path, looked, monkeypatch):
        monkeypatch.setattr(units, "IMAGES", 16)
        for number in range(40):
            Image.new("RGB", (2, 2), (number + 1, 0, 0)).save(tmp_path / f"{number:02}.png")
        output = tmp_path / "my.index"
        predict = model.predict

        def interrupt(*arguments):
            if len(model.modes) > 2:
                raise KeyboardInterrupt
            return predict(*arguments)

        monkeypatch.setattr(model, "predict", interrupt)
        with pytest.raises(KeyboardInterrupt):
            Index.build(model, processor, tmp_path, output=output)
        with pytest.raises(DataError, match="is not finished"):
            Index.load(model, processor, output)
        monkeypatch.setattr(model, "predict", predict)
        looked.clear()
        whole = Index.build(model, processor, tmp_path, output=output)
        assert (len(whole), len(looked), whole.unchanged) == (40, 24, 16)
        assert sorted(one.name for one in output.iterdir()) == [".lock", "manifest.json", "shards"]
        assert len(list((output / "shards").iterdir())) == 1, "units become one shard"
        assert Index.load(model, processor, output).entries == whole.entries
        assert whole.entries == Index.build(model, processor, tmp_path).entries

    def test_another_model_begins_anew_and_leaves_the_index_alone_until_it_is_done(
        self, index, model, processor, images, looked, tmp_path, monkeypatch
    ):
        def interrupt(*_):
            raise KeyboardInterrupt

        index.save(tmp_path / "my.index")
        with monkeypatch.context() as context:
            context.setattr(model, "identity", "trained on")
            context.setattr(model, "predict", interrupt)
            with pytest.raises(KeyboardInterrupt):
                Index.build(model, processor, images, output=tmp_path / "my.index")
        assert Index.load(model, processor, tmp_path / "my.index").entries == index.entries
        model.identity = "trained on"
        looked.clear()
        assert Index.build(model, processor, images, output=tmp_path / "my.index").unchanged == 0
        assert len(looked) == 4
        assert Index.load(model, processor, tmp_path / "my.index").search("green")[0].path == "green.jpg"

    def test_a_shard_that_stays_as_it_is_is_not_written_again(self, model, processor, tmp_path, monkeypatch):
        monkeypatch.setattr(settle, "SMALL", 4)
        monkeypatch.setattr(settle, "LARGE", 8)
        monkeypatch.setattr(units, "IMAGES", 8)
        (tmp_path / "files").mkdir()

        def paint(*numbers):
            for number in numbers:
                Image.new("RGB", (2, 2), (number + 1, 0, 0)).save(tmp_path / "files" / f"{number:02}.png")

        def build():
            Index.build(model, processor, tmp_path / "files", output=tmp_path / "my.index")
            return {one.name: one.stat().st_mtime_ns for one in (tmp_path / "my.index" / "shards").iterdir()}

        paint(*range(19))
        before = build()
        assert len(before) == 3
        paint(30)
        (tmp_path / "files" / "09.png").unlink()
        after = build()
        assert len(set(before.items()) & set(after.items())) == 1
        assert sum(map(len, Index.load(model, processor, tmp_path / "my.index").entries.blocks)) == 19

    def test_units_of_another_threshold_are_not_gone_on_with(self, model, processor, animation, tmp_path, monkeypatch):
        animation("images/a.gif", ("blue", 2), ("green", 1))
        animation("images/b.gif", ("blue", 2), ("red", 1))
        output, read = tmp_path / "my.index", units.read_segments

        def second(path, *arguments, **options):
            if path.name == "b.gif":
                raise KeyboardInterrupt
            return read(path, *arguments, **options)

        def broken_off(threshold):
            with monkeypatch.context() as context:
                context.setattr(units, "read_segments", second)
                with pytest.raises(KeyboardInterrupt):
                    Index.build(model, processor, tmp_path / "images", output=output, threshold=threshold)

        broken_off(None)
        broken_off(100)
        whole = Index.build(model, processor, tmp_path / "images", output=output, threshold=100)
        assert [entry.end for entry in whole.entries] == [3, 3]
        assert whole.unchanged == 1

    def test_one_file_of_several_earlier_indexes_is_there_once(self, index, model, processor, images):
        again = Index.build(model, processor, images / "red.png", known=[index, index])
        twice = Index.build(model, processor, images / "red.png", known=[again, again])
        assert [entry.path for entry in twice.entries] == ["red.png"]
