import json


def test_a_folder_becomes_a_file(run, toy, pictures):
    code, out, err = run("index", "pictures", "-o", "p.index", "--model", toy)

    assert code == 0
    assert out == "2 pictures in p.index\n"
    assert err.startswith("skipped 1 of 3 files:\n  broken.png: ")


def test_json(run, toy, pictures):
    report = json.loads(run("index", "pictures", "-o", "p.index", "--model", toy, "--json")[1])

    assert report["index"] == "p.index"
    assert report["pictures"] == 2
    assert [skipped["path"] for skipped in report["skipped"]] == ["broken.png"]


def test_what_cannot_work_fails_before_the_model_is_loaded(fails, pictures):
    nowhere = ["--model", "nope"]
    assert "no picture or video 'none'" in fails("index", "none", "-o", "p.index", *nowhere)
    assert "no folder 'none'" in fails("index", "pictures", "-o", "none/p.index", *nowhere)
    assert "it is a folder" in fails("index", "pictures", "-o", "pictures", *nowhere)


def test_an_index_that_is_there_survives_a_failing_run(fails, run, toy, pictures):
    run("index", "pictures", "-o", "p.index", "--model", toy)
    before = (pictures.parent / "p.index").read_bytes()
    for picture in ("red.png", "deep/blue.jpg"):
        (pictures / picture).write_bytes(b"broken")

    assert "none of the 3 files" in fails("index", "pictures", "-o", "p.index", "--model", toy)
    assert (pictures.parent / "p.index").read_bytes() == before


def test_a_photo_is_never_overwritten_by_an_index(fails, run, toy, pictures):
    before = (pictures / "red.png").read_bytes()
    assert "not an index" in fails("index", "pictures", "-o", "pictures/red.png", "--model", "nope")
    assert (pictures / "red.png").read_bytes() == before

    for _ in range(2):  # an index may be made again in its place
        assert run("index", "pictures", "-o", "p.index", "--model", toy)[0] == 0
