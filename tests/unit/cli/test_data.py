import json
import shlex


def test_data_is_checked_and_the_command_printed(run, images):
    (images / "captions.csv").write_text("image,text\nred.png,a red card\ndeep/blue.jpg,a blue card\n")
    code, out, err = run("data", "check", images)
    assert code == 0
    assert "a blue card" in out
    assert "validation.csv" in err
    assert out.splitlines()[-1].startswith("vljepa train lora_retrieval ")
    code, out, _ = run("recipe", "validate", *shlex.split(out.splitlines()[-1])[2:])
    assert code == 0


def test_broken_images_are_named_and_the_code_is_1(run, images):
    (images / "captions.csv").write_text("image,text\nred.png,a red card\nbroken.png,a card\n")
    code, out, err = run("data", "check", images)
    assert code == 1
    assert "broken.png" in err
    code, out, _ = run("data", "check", images, "--json")
    assert code == 1
    assert [name.rpartition("/")[2] for name in json.loads(out)["broken"]] == ["broken.png"]


def test_an_image_in_both_is_an_error(run, images):
    (images / "captions.csv").write_text("image,text\nred.png,a red card\n")
    (images / "other.csv").write_text("image,text\nred.png,a red card\n")
    assert run("data", "check", images, "--validation", images / "other.csv")[0] == 1


def test_what_is_no_data_is_one_line(fails, images):
    assert "holds no captions file" in fails("data", "check", images / "deep")
    assert "no source" in fails("data", "check", "absent")


def test_overlap_says_what_is_in_both_and_the_code_says_whether(run, images):
    (images / "train.csv").write_text("image,text\nred.png,a red card\n")
    (images / "test.csv").write_text("image,text\ndeep/blue.jpg,a blue card\n")
    code, out, _ = run("data", "overlap", images / "train.csv", images / "test.csv")
    assert (code, "in both" in out) == (0, True)
    (images / "test.csv").write_text("image,text\nred.png,A red card.\nbroken.png,a card\n")
    code, out, err = run("data", "overlap", images / "train.csv", images / "test.csv")
    assert code == 1
    assert "text: A red card.  ~  a red card" in out
    assert "1 test images cannot be read" in err
    code, out, _ = run("data", "overlap", images / "train.csv", images / "test.csv", "--json")
    assert code == 1
    found = json.loads(out)
    assert {name: found[name] for name in ("exact", "near", "source_id", "text")} == {
        "exact": 1,
        "near": 0,
        "source_id": 0,
        "text": 1,
    }


def test_overlap_names_data_that_is_not_there(fails, images):
    (images / "train.csv").write_text("image,text\nred.png,a red card\n")
    assert "no source 'absent.csv'" in fails("data", "overlap", images / "train.csv", "absent.csv")


def test_bad_texts_are_named_and_the_code_is_1(run, images):
    (images / "captions.csv").write_text("image;text\nred.png;a red card\ndeep/blue.jpg;nan\nred.png;a, b; c\n")
    code, out, err = run("data", "check", images)
    assert code == 1
    assert "2 of 3" in out
    assert "row 2: the column 'text' is empty" in err
    assert "row 3: 3 fields, and the header has 2" in err
    assert "more rows are unusable than data.max_skipped allows" in err


def test_what_is_passed_over_is_said(run, images):
    (images / "captions.csv").write_text("image,text,licence\nred.png,a red card,CC0\n")
    (images / "other.csv").write_text("image,text\nred.png,another\n")
    code, out, err = run("data", "check", images)
    assert code == 0
    assert "licence" in out
    assert "passed over other.csv: not read" in err


def test_candidates_are_given_once(run, images):
    (images / "captions.csv").write_text("image,query,text\nred.png,colour?,red\n")
    (images / "validation.csv").write_text("image,query,text\ndeep/blue.jpg,colour?,blue\n")
    (images / "colours.txt").write_text("red\nblue\n")
    _, out, _ = run("data", "check", images, "--candidates", images / "colours.txt")
    words = shlex.split(out.splitlines()[-1])
    assert "task: vqa, candidates: [red, blue]" in words[-1]
    assert run("recipe", "validate", *words[2:])[0] == 0


def test_a_split_is_chosen(run, images):
    rows = "red.png,a red card,train\ndeep/blue.jpg,a blue card,val\n"
    (images / "captions.csv").write_text(f"image,text,split\n{rows}")
    _, out, _ = run("data", "check", images, "--split", "val", "--json")
    found = json.loads(out)
    assert (found["rows"], found["samples"][0]["text"]) == (1, ["a blue card"])
    assert found["source"]["split"] == "val"


def test_a_long_text_does_not_fill_the_terminal(run, images):
    (images / "captions.csv").write_text(f"image,text\nred.png,{'word ' * 40_000}\n")
    code, out, _ = run("data", "check", images)
    assert code == 0
    assert "... (199,999 characters)" in out
    assert len(out) < 10_000
