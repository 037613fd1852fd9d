"""The three places that name versions agree: pyproject.toml's ranges, requirements.lock, environment.yml."""
import re
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
    (pip,) = (entry["pip"] for entry in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"] if isinstance(entry, dict))
    assert pip.pop() == "-e ."  # the package itself
    direct = {canonicalize_name(Requirement(each).name) for each in PROJECT["dependencies"]}
    assert pinned(pip) == {name: version for name, version in pinned(LOCK).items() if name in direct}
