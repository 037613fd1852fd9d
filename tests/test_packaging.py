"""The places that name versions agree: pyproject.toml, requirements.lock and its hashes, environment.yml, CITATION.cff. Scripts help."""
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sharedlabel import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]


def pinned(lines: list[str]) -> dict[str, str]:
    """Version by name; every line must name exactly one."""
    found = {}
    for requirement in map(Requirement, lines):
        (specifier,) = requirement.specifier
        assert specifier.operator == "==" and "*" not in specifier.version, requirement
        found[canonicalize_name(requirement.name)] = specifier.version
    return found


def test_lock_names_exact_versions_and_no_place():
    assert len(pinned(LOCK)) == len(LOCK)
    assert not [line for line in LOCK if re.search(r"[/@\\]|^-", line)]


@pytest.mark.parametrize("requirement", [Requirement(each) for each in PROJECT["dependencies"]], ids=str)
def test_ranges_admit_the_lock(requirement):
    version = pinned(LOCK)[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version), f"pyproject.toml says {requirement}, requirements.lock {version}"


def test_environment_has_the_locks_versions():
    *conda, pip = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pip, torch = pip["pip"], next(each for each in map(Requirement, PROJECT["dependencies"]) if each.name == "torch")
    assert f"pytorch-cpu>={next(part.version for part in torch.specifier if part.operator == '>=')}" in conda and "torchvision" in conda
    assert pip.pop() == "-e ."  # the package itself
    direct = {canonicalize_name(Requirement(each).name) for each in PROJECT["dependencies"]}
    assert pinned(pip) == {name: version for name, version in pinned(LOCK).items() if name in direct - {"torch", "torchvision"}}


def test_every_version_of_the_lock_has_hashes_and_nothing_else_has():
    entries = re.split(r"\n(?=[A-Za-z])", (ROOT / "requirements.hashes").read_text().partition("\n")[2].partition("\n")[2])
    requirements = [Requirement(entry.partition(" \\\n")[0]) for entry in entries]
    by_name = [sorted(map(str, (Requirement(str(each).replace(each.name, canonicalize_name(each.name))) for each in some)))
               for some in (requirements, map(Requirement, LOCK))]
    assert by_name[0] == by_name[1]
    assert all(re.fullmatch(r"(    --hash=sha256:[0-9a-f]{64}( \\\n|\n?$))+", entry.partition(" \\\n")[2]) for entry in entries)


def test_citation_names_this_version_and_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (citation["version"], citation["license"]) == (PROJECT["version"], PROJECT["license"])
    assert (ROOT / "LICENSE").read_text().startswith(f"{citation['license']} License")


@pytest.mark.parametrize("file", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda file: file.stem)
def test_a_workflow_types_what_the_makefile_and_the_tree_have(file):
    """Every `make TARGET` and every script in a workflow exists."""
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    workflow = yaml.safe_load(file.read_text())
    steps = [step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step]
    for command in steps:
        word, *arguments = command.split()
        assert word == "apt-get" or (word == "make" and arguments[0] in targets) or (ROOT / word).exists(), command
    assert True in workflow  # `on`, to YAML 1.1


@pytest.mark.parametrize("script", ["tools/digit_folder.py", "tools/lab.py", "tools/environment.py", "benchmarks/decoding.py"])
def test_a_script_helps_whoever_asks_and_makes_nothing(script, tmp_path):
    helped = subprocess.run([sys.executable, ROOT / script, "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert helped.stdout.startswith("usage: ") and not list(tmp_path.iterdir())
    assert subprocess.run([sys.executable, ROOT / script, "--nonsense"], cwd=tmp_path, capture_output=True).returncode == 2
