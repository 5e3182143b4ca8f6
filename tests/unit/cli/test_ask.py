import json


def test_table(run, toy, pictures):
    code, out, _ = run("ask", "pictures/red.png", "which colour?", "--choices", "red,blue", "--model", toy)

    assert code == 0
    assert out.startswith("which colour?\n")
    assert "answer" in out


def test_json(run, toy, pictures):
    words = ["ask", "pictures", "which colour?", "--choices", "red,blue", "--model", toy, "--json"]

    report = json.loads(run(*words)[1])

    assert report["question"] == "which colour?"
    assert [row["answer"] in ("red", "blue") for row in report["predictions"]] == [True, True]
    assert len(report["skipped"]) == 1


def test_unusable_questions(fails, toy, pictures):
    words = ["pictures/red.png", "--model", toy]
    assert "question is empty" in fails("ask", *words, " ", "--choices", "red,blue")
    assert "choices has 'red' twice" in fails("ask", *words, "which?", "--choices", "red,red")
