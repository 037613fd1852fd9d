"""Studies: a YAML file that names a grid of runs."""
import itertools
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import yaml

from sharedlabel import ROOT
from sharedlabel.runs import names, parameters
from sharedlabel.runs.parameters import ParameterError


class UniqueKeyLoader(yaml.SafeLoader):
    """YAML in which a key that comes twice is an error, as YAML has it, rather than the last one winning."""

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        keys = [key.value for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(problem=f"the key {twice} comes twice", problem_mark=node.start_mark)
        return node


def load(name_or_path: str | Path) -> list[dict]:
    """The runs of a study's YAML, each with `method` and all its checked parameters, in the study's order.

    A study is `results: FOLDER` and `runs:`, a list of blocks; in a block a list sweeps a parameter
    (`n`, a list anyway, is passed on whole), and blocks are expanded in order, the last parameter fastest.
    """
    file = Path(name_or_path) if str(name_or_path).endswith(".yaml") else ROOT / "params" / f"{name_or_path}.yaml"
    if not file.exists():
        known = ", ".join(sorted(f.stem for f in (ROOT / "params").glob("*.yaml")))
        raise ParameterError(f"study: {name_or_path!r} is unknown; allowed: {known} (params/), or the path of a .yaml")
    try:
        content = yaml.load(file.read_text(), UniqueKeyLoader)
    except yaml.YAMLError as error:
        raise ParameterError(f"{file.name}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or set(content) != {"results", "runs"} or not isinstance(content["runs"], list) or not content["runs"]:
        keys = ", ".join(map(str, content)) if isinstance(content, dict) else repr(content)
        raise ParameterError(f"{file.name}: has {keys}; a study has exactly the keys results (a folder) and runs (a list, not empty)")
    runs = []
    for block in content["runs"]:
        runs += expand(block, file.name, content["results"])
    (name, count), = Counter(map(run_name, runs)).most_common(1)
    if count > 1:
        raise ParameterError(f"{file.name}: names the run {name} twice")
    return runs


def run_name(run: dict) -> str:
    """The name of one of a study's runs."""
    return names.run_name(parameters.identity(run["method"], run))


def run_names(name_or_path: str | Path) -> list[str]:
    """The names of a study's runs, in its order."""
    return [run_name(run) for run in load(name_or_path)]


def progress(name: str, done: Iterable[str], results: str) -> str:
    """How much of a study lies in `results`, where the runs `done` are, and what makes the others: a line to print."""
    expected = run_names(name)
    found = len(set(expected) & set(done))
    others = f"; the others: make grid STUDY={name}" if found < len(expected) else ""
    return f"of the study {name} (params/{name}.yaml), {found} of {len(expected)} runs are in {results!r}{others}"


def expand(block: dict, where: str, results: str) -> list[dict]:
    """One block of a study as a list of runs."""
    if not isinstance(block, dict) or "method" not in block:
        raise ParameterError(f"{where}: a block of runs needs the key method; allowed: {', '.join(parameters.method_names())}")
    for name, reason in {"results": "it stands once, at the top of a study", "on_collapse": "a study always records a collapse"}.items():
        if name in block:
            raise ParameterError(f"{where}: {name}: a block of runs does not set it; {reason}")
    swept = dict(block)
    method = swept.pop("method")
    if isinstance(method, list):
        return [run for each in method for run in expand(block | {"method": each}, where, results)]
    known, seeds = parameters.defaults(method), block.get("seed")
    if not isinstance(seeds, list) or not seeds or len(set(map(str, seeds))) < len(seeds):
        raise ParameterError(f"{where}: seed: {seeds!r} is not allowed; a block needs a list of different seeds, such as [0, 1, 2]")
    for name, value in swept.items():
        swept[name] = value if isinstance(value, list) and not isinstance(known.get(name), list) else [value]
        if not swept[name]:
            raise ParameterError(f"{where}: {name}: [] names no value to run")
    swept |= {"results": [results], "on_collapse": ["record"]}
    combinations = (dict(zip(swept, values)) for values in itertools.product(*swept.values()))
    return [{"method": method} | parameters.check(method, combination, where) for combination in combinations]
