import json


def test_table(run, toy, images):
    code, out, _ = run("ask", "images/red.png", "which colour?", "--choices", "red,blue", "--model", toy)

    assert code == 0
    assert out.startswith("which colour?\n")
    assert "answer" in out


def test_json(run, toy, images):
    words = ["ask", "images", "which colour?", "--choices", "red,blue", "--model", toy, "--json"]

    report = json.loads(run(*words)[1])

    assert report["question"] == "which colour?"
    assert [row["answer"] in ("red", "blue") for row in report["predictions"]] == [True, True]
    assert len(report["skipped"]) == 1


def test_unusable_questions(fails, toy, images):
    words = ["images/red.png", "--model", toy]
    assert "question is empty" in fails("ask", *words, " ", "--choices", "red,blue")
    assert "choices has 'red' twice" in fails("ask", *words, "which?", "--choices", "red,red")


def test_answers_of_a_file_may_have_commas(run, toy, images):
    (images.parent / "answers.txt").write_text("yes, it is\nno\n")

    words = ["ask", "images/red.png", "red?", "--choices-file", "answers.txt", "--model", toy, "--json"]

    assert set(json.loads(run(*words)[1])["predictions"][0]["probabilities"]) == {"yes, it is", "no"}


def test_what_an_answer_in_words_has_no_use_for_is_refused(fails, toy, images):
    words = ["ask", "images/red.png", "which colour?", "--model", toy]
    said = fails(*words, "--top-k", "3")
    assert "--top-k is for choices" in said
    assert "add --choices, or leave --top-k out" in said
    for option in (["--num-beams", "3"], ["--decoder", "folder"]):
        assert f"{option[0]} is for words of the model's own" in fails(*words, "--choices", "red,blue", *option)


def test_choices_take_both(run, toy, images):
    words = ["ask", "images/red.png", "which colour?", "--choices", "red,blue,green", "--model", toy, "--json"]
    [found] = json.loads(run(*words, "--min-confidence", "1", "--top-k", "2")[1])["predictions"]
    assert found["answer"] is None
    assert len(found["probabilities"]) == 2


def test_questions_that_are_not_unicode(fails, toy, images, speaking_toy):
    words = ["ask", "images/red.png", "caf\udce9?"]
    assert "is not Unicode at character 4" in fails(*words, "--choices", "red,blue", "--model", toy)
    assert "is not Unicode at character 4" in fails(*words, *speaking_toy)
