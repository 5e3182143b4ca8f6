"""The container files, which nobody runs here: linted, checked against schemas and against the command they call."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "containers"


def script(name):
    return str(Path(sys.executable).parent / name)


def test_hadolint_has_nothing_against_the_dockerfile():
    found = subprocess.run([script("hadolint"), str(FOLDER / "Dockerfile")], capture_output=True, text=True)
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@pytest.mark.parametrize("name", ["compose.yaml", "compose.gpu.yaml"])
def test_compose_files_are_as_the_specification_says(name, tmp_path):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    found = subprocess.run([*command, str(FOLDER / name)], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    broken = tmp_path / name
    broken.write_text((FOLDER / name).read_text().replace("build:", "biuld:"))
    assert subprocess.run([*command, str(broken)], capture_output=True).returncode == 1


def test_the_dockerfile_copies_what_there_is_and_calls_options_that_there_are():
    from vljepa.cli.main import app

    text = (FOLDER / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (.*) \S+$", text, flags=re.MULTILINE) for word in line.split()]
    assert {"pyproject.toml", "vljepa", "recipes"} <= set(copied)
    assert all((ROOT / one).exists() for one in copied)
    said = CliRunner().invoke(app, ["serve", "--help"], terminal_width=200).output
    options = re.findall(r'"(--[a-z-]+)"', text[text.index("ENTRYPOINT") :])
    assert options
    assert all(option in said for option in options)


def test_frigate_is_told_of_the_service_by_its_name_and_key():
    compose = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    frigate = yaml.safe_load((FOLDER / "frigate.yml").read_text())
    [(name, provider)] = frigate["genai"].items()
    host, port = re.fullmatch(r"http://(\w+):(\d+)", provider["base_url"]).groups()
    assert port in compose["services"][host]["expose"]
    key = re.fullmatch(r"\{(FRIGATE_\w+)\}", provider["api_key"])[1]
    assert (
        compose["services"]["frigate"]["environment"][key] == compose["services"][host]["environment"]["VLJEPA_API_KEY"]
    )
    assert frigate["semantic_search"]["model"] == name
    assert "embeddings" in provider["roles"]
    assert "chat" not in provider["roles"]
