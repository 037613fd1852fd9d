"""The places that name versions agree: pyproject.toml, requirements.lock and its hashes, environment.yml, CITATION.cff. Scripts help."""
import contextlib
import importlib.metadata
import re
import runpy
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
    assert f"pytorch-cpu>={next(part.version for part in torch.specifier if part.operator == '>=')}" in conda
    assert f"torchvision{next(Requirement(each).specifier for each in PROJECT['dependencies'] if each.startswith('torchvision'))}" in conda
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


@pytest.mark.parametrize("platform", [{"sys_platform": "linux", "platform_system": "Linux"},
                                      {"sys_platform": "darwin", "platform_system": "Darwin", "platform_machine": "arm64"}],
                         ids=lambda platform: platform["sys_platform"])
def test_the_lock_has_whatever_its_packages_need(platform):
    """As it is installed without dependencies. Of torch, whose CUDA build is Linux's alone, what this build needs is no matter there."""
    needed, locked = set(), pinned(LOCK)
    for name in locked.keys() - ({"torch"} if platform["sys_platform"] == "darwin" else set()):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):  # of another system
            for requirement in map(Requirement, importlib.metadata.requires(name) or []):
                if requirement.marker is None or requirement.marker.evaluate(platform | {"extra": ""}):
                    needed.add(canonicalize_name(requirement.name))
    assert len(needed) > 100 and needed - {"setuptools"} <= set(locked)


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


SCRIPTS = [file for folder in ("tools", "benchmarks", "sharedlabel") for file in sorted((ROOT / folder).rglob("*.py"))
           if '__name__ == "__main__"' in file.read_text()]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: str(script.relative_to(ROOT)))
def test_a_script_helps_whoever_asks_and_makes_nothing(script, monkeypatch, tmp_path, capsys):
    """In this process, as most take seconds to import."""
    before = subprocess.run(["git", "-C", ROOT, "status", "--short", "benchmarks"], capture_output=True, check=False).stdout
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(script.parent), *sys.path])
    for argument, code in (("--help", 0), ("--nonsense", 2)):
        monkeypatch.setattr(sys, "argv", [str(script), argument])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(script), run_name="__main__")
        assert ended.value.code == code
    assert capsys.readouterr().out.startswith("usage: ") and not list(tmp_path.iterdir())
    assert subprocess.run(["git", "-C", ROOT, "status", "--short", "benchmarks"], capture_output=True, check=False).stdout == before
