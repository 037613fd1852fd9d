"""Studies: a YAML file that names a grid of runs."""
import itertools
import math
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import yaml

from sharedlabel import ROOT
from sharedlabel.runs import names, parameters
from sharedlabel.runs.errors import ParameterError, show, suggest

LARGEST_FILE = 100_000  # bytes: a study is written by hand
MOST_RUNS = 10_000  # of a study, far more than anybody has trained

class StudyLoader(yaml.SafeLoader):
    """YAML without what surprises: a key that comes twice is an error, and 010, 1:30 and 2026-01-01 are text, not 8, 90 and a date."""

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        twice = next((key for key, count in keys.items() if count > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(problem=f"the key {twice} comes twice", problem_mark=node.start_mark)
        return node


NUMBERS = {
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(0|[1-9][0-9]*)$"),
    "tag:yaml.org,2002:float": re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"),
}
StudyLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (*NUMBERS, "tag:yaml.org,2002:timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for tag, pattern in NUMBERS.items():
    StudyLoader.add_implicit_resolver(tag, pattern, list("-+.0123456789"))


def read(file: Path) -> object:
    """What a study's file says; ParameterError where it cannot be read or is not YAML."""
    try:
        with file.open("rb") as stream:
            text = stream.read(LARGEST_FILE + 1)
        if len(text) > LARGEST_FILE:
            raise ParameterError(f"{file.name}: has more than {LARGEST_FILE} bytes, which is no study")
        return yaml.load(text.decode(), StudyLoader)
    except ParameterError:
        raise
    except OSError as error:
        raise ParameterError(f"{file.name}: cannot be read: {error.strerror}") from error
    except Exception as error:  # a tag that does not fit its value, or nesting without end: PyYAML names no errors for them
        raise ParameterError(f"{file.name}: is not YAML: {type(error).__name__}: {str(error)[:500]}") from error


def load(name_or_path: str | Path) -> list[dict]:
    """The runs of a study's YAML, each with `method` and all its checked parameters, in the study's order.

    A study is `results: FOLDER` and `runs:`, a list of blocks; in a block a list sweeps a parameter
    (`n`, a list anyway, is passed on whole), and blocks are expanded in order, the last parameter fastest.
    """
    file = Path(name_or_path) if str(name_or_path).endswith(".yaml") else ROOT / "params" / f"{name_or_path}.yaml"
    known = sorted(f.stem for f in (ROOT / "params").glob("*.yaml"))
    try:
        exists = file.exists()
    except (OSError, ValueError):  # a name too long, or with a null byte
        exists = False
    if not exists:
        if re.search(r"[/\\]|\.ya?ml$", str(name_or_path)):
            raise ParameterError(f"study: there is no .yaml at {show(str(file.absolute()))}")
        near = suggest(str(name_or_path), known)
        allowed = f"{', '.join(known)} (params/), or the path of a .yaml"
        raise ParameterError(f"study: {show(str(name_or_path))} is unknown; allowed: {allowed}{near}")
    content = read(file)
    if not isinstance(content, dict) or set(content) != {"results", "runs"} or not isinstance(content["runs"], list) or not content["runs"]:
        keys = ", ".join(map(show, content)) if isinstance(content, dict) else show(content)
        raise ParameterError(f"{file.name}: has {keys}; a study has exactly the keys results (a folder) and runs (a list, not empty)")
    runs = []
    for block in content["runs"]:
        runs += expand(block, file.name, content["results"])
        if len(runs) > MOST_RUNS:
            raise ParameterError(f"{file.name}: has more than {MOST_RUNS} runs, the most that a study may have")
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
        if not method or not all(isinstance(each, str) for each in method):
            raise ParameterError(f"{where}: method: {show(method)} is not allowed; a block names a method or a list of them")
        return [run for each in method for run in expand(block | {"method": each}, where, results)]
    known, seeds = parameters.defaults(method), block.get("seed")
    if not isinstance(seeds, list) or not seeds or len(set(map(show, seeds))) < len(seeds):
        raise ParameterError(f"{where}: seed: {show(seeds)} is not allowed; a block needs a list of different seeds, such as [0, 1, 2]")
    for name, value in swept.items():
        swept[name] = value if isinstance(value, list) and not isinstance(known.get(name), list) else [value]
        if not swept[name]:
            raise ParameterError(f"{where}: {str(name)[:80]}: [] names no value to run")
    swept |= {"results": [results], "on_collapse": ["record"]}
    count = math.prod(map(len, swept.values()))
    if count > MOST_RUNS:
        raise ParameterError(f"{where}: a block of {show(count)} runs; a study may have {MOST_RUNS}")
    combinations = (dict(zip(swept, values)) for values in itertools.product(*swept.values()))
    return [{"method": method} | parameters.check(method, combination, where) for combination in combinations]
