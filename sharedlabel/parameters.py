"""What a run and a study are told, checked before anything is trained.

A method notebook's `parameters` cell is the one place where its parameters, their defaults and types
are written down; it is read here (never executed), so that the notebook, the grid and the tests agree.
"""
import ast
import itertools
import json
import math
import shlex
from collections.abc import Container, Iterable
from pathlib import Path

import pandas as pd
import yaml
from torch import Tensor

from sharedlabel import ROOT, data, models, pruning, records, training
from sharedlabel import methods as predicting

# These change where and how a run happens, not its result: they are in no name and in no record.
RUNTIME = {"device", "results", "on_collapse"}

ALLOWED = {
    "dataset": data.DATASETS, "model": models.MODELS, "initialisation": models.INITIALISATIONS, "pruner": tuple(pruning.PRUNERS),
    "augment": data.AUGMENTATIONS, "precision": training.PRECISIONS, "on_collapse": ("raise", "record"),
    "cnn_method": ("baseline", "balanced"), "cnn_training": ("frozen", "fine_tune", "end_to_end"), "order": predicting.ORDERS,
    "head_pruner": tuple(pruning.PRUNERS), "head_biases": ("pruned", "kept"), "architecture": ("embedding", "neuron"),
}
AT_LEAST = {  # parameter: (least value, whether the least value itself is allowed)
    "rho": (0, True), "seed": (0, True), "n": (1, True), "prune_iterations": (1, True), "batch_size": (1, True),
    "learning_rate": (0, False), "max_epochs": (1, True), "patience": (1, True), "min_improvement": (0, True),
    "held_out": (0, False), "lam": (0, True), "tuple_size": (1, True), "tuples_per_batch": (1, True), "free_layers": (1, True),
    "tuples_per_class": (1, True),
    "head_rho": (0, True), "train_n": (1, True), "permutations": (1, True), "head_batch_size": (1, True),
    "head_learning_rate": (0, False), "head_max_epochs": (1, True), "passing": (0, True), "revision": (1, True),
}
AT_MOST = {"lam": (1, True), "passing": (1, True), "held_out": (0.5, True), "min_improvement": (1, False)}

# Numbers that need not be whole, whatever the parameters cell says: edited to `rho = 3`, it still means 3.0.
FLOATS = {"rho", "learning_rate", "min_improvement", "held_out", "lam", "head_rho", "head_learning_rate", "passing"}


class ParameterError(ValueError):
    """A parameter that a run or study was given is unknown, of the wrong type or out of range."""


def methods() -> list[str]:
    """The methods that have a notebook."""
    return sorted(notebook.stem for notebook in (ROOT / "notebooks" / "methods").glob("*.ipynb"))


def defaults(method: str) -> dict:
    """The parameters of a method and their default values, read from its notebook's `parameters` cell."""
    if method not in methods():
        raise ParameterError(f"method: {method!r} is unknown; allowed: {', '.join(methods())}")
    notebook = json.loads((ROOT / "notebooks" / "methods" / f"{method}.ipynb").read_text())
    cell = next(c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", []))
    assignments = ast.parse("".join(cell["source"])).body
    found = {node.targets[0].id: ast.literal_eval(node.value) for node in assignments}
    return {name: float(value) if name in FLOATS and type(value) is int else value for name, value in found.items()}


def usual(name: str):
    """The default value of a parameter, in the notebooks that have it."""
    return next(found[name] for method in methods() if name in (found := defaults(method)))


def as_usual(table: pd.DataFrame, names: Iterable[str], but: Container[str] = ()) -> pd.DataFrame:
    """The runs of a table (`records.load`) whose parameters `names`, those in `but` excepted, are the usual ones.

    A method that has no parameter of a name has it nan, which is as usual; so is a name that no run has.
    """
    for name in names:
        if name not in but and name in table:
            table = table[table[name].isna() | (table[name] == usual(name))]
    return table


def check(method: str, given: dict, where: str = "the parameters cell, papermill's -p or -y, or the study's YAML") -> dict:
    """All parameters of a run of `method`, defaults filled in, types settled (a whole rho becomes a float).

    Raises ParameterError, which names the value, what is allowed and where to set it.
    """
    known, params = defaults(method), {}
    for name in given:
        if name not in known:
            raise ParameterError(f"{name}: not a parameter of {method} (set in {where}); it has {', '.join(known)}")
    for name, default in known.items():
        value = given.get(name, default)
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(default):
            allowed = type(default).__name__ + hint(value, type(default))
            raise ParameterError(f"{name}: {value!r} is {type(value).__name__}, allowed is {allowed} (set in {where})")
        if isinstance(default, list):
            kind = type(default[0])
            wrong = [f"{each!r} is {type(each).__name__}" for each in value if type(each) is not kind]
            if wrong or not value:
                wrong, allowed = wrong[0] if wrong else "[] is empty", f"a list of {kind.__name__}"
                raise ParameterError(f"{name}: {wrong}, allowed is {allowed} (set in {where})")
        for each in value if isinstance(value, list) else [value]:
            check_value(name, each, where)
        params[name] = value
    if "n" in params and isinstance(params["n"], list) and len(set(params["n"])) < len(params["n"]):
        raise ParameterError(f"n: {params['n']} names a value twice (set in {where})")
    if params["model"] == "resnet18" and data.CHANNELS[params["dataset"]] != 3:
        raise ParameterError(
            f"model: resnet18 reads 3 colour channels, and an image of {params['dataset']} has {data.CHANNELS[params['dataset']]}; "
            f"use fc, conv or wideresnet20 (set in {where})"
        )
    if params.get("cnn_training", "frozen") != "frozen" and params["model"] not in ("fc", "conv"):
        raise ParameterError(
            f"cnn_training: {params['cnn_training']!r} is for networks whose embeddings are their logits, fc and conv; "
            f"allowed for {params['model']}: frozen (set in {where})"
        )
    for name, only in {"standardised": False, "precision": "float32"}.items():  # of embeddings that are computed once
        if params.get("cnn_training", "frozen") != "frozen" and params[name] != only:
            raise ParameterError(
                f"{name}: {params[name]!r} is for a frozen CNN; "
                f"allowed with cnn_training {params['cnn_training']}: {only!r} (set in {where})"
            )
    if "architecture" in params and params["n"] != [params["train_n"]]:
        raise ParameterError(
            f"n: {params['n']} is not allowed; a graph network is built for train_n = {params['train_n']} images, "
            f"so allowed is [{params['train_n']}] (set in {where})"
        )
    return params


def hint(value, kind: type) -> str:
    """How to write a number that YAML 1.1 took for text, such as 1e-3."""
    try:
        number = kind(value) if isinstance(value, str) and kind in (int, float) else math.nan
    except ValueError:
        number = math.nan
    return f"; write {yaml.safe_dump(number).split()[0]}" if math.isfinite(number) else ""


def check_value(name: str, value, where: str) -> None:
    if name in ALLOWED and value not in ALLOWED[name]:
        raise ParameterError(f"{name}: {value!r} is unknown; allowed: {', '.join(ALLOWED[name])} (set in {where})")
    if name in AT_LEAST:
        least, inclusive = AT_LEAST[name]
        most, itself = AT_MOST.get(name, (math.inf, True))
        allowed = f"a number {'>=' if inclusive else '>'} {least}" + (f" and {'<=' if itself else '<'} {most}" if name in AT_MOST else "")
        finite = type(value) in (int, float) and math.isfinite(value)
        excluded = (value == least and not inclusive) or (value == most and not itself)
        if not finite or not least <= value <= most or excluded:
            raise ParameterError(f"{name}: {value!r} is not allowed; it is {allowed} (set in {where})")


def from_notebook(method: str, names: dict) -> dict:
    """The checked parameters of a running method notebook; `names` is its `globals()`.

    What was given is what the cells from the parameters cell up to this call assign (papermill adds a
    cell of its own after it), as IPython's history `In` has them: so a parameter that papermill passes
    and the notebook does not have is refused, and running the notebook twice in one kernel works.
    """
    history = [assigned(source) for source in names["In"]]
    start = max(i for i, found in enumerate(history) if set(defaults(method)) <= found)
    end = next(i for i in range(start, len(history)) if "from_notebook(" in names["In"][i])
    return check(method, {name: names[name] for name in set().union(*history[start:end])})


def assigned(source: str) -> set[str]:
    """The names that a cell assigns at its top level; none where it is not plain Python."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return set()
    return {target.id for node in body if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)}


def needs(method: str, params: dict) -> dict | None:
    """The run that a run of `method` starts from (its `method` and all its parameters), None where it starts afresh.

    It has the same parameters, as far as both notebooks know them, and its own notebook's revision. A head starts from
    the CNN of its `cnn_method`, measured at the usual n that the data set has test images for, unless the two are trained as one.
    """
    first = params.get("cnn_method", "baseline" if method == "freeze_retrain" else None)
    if first is None or params.get("cnn_training") == "end_to_end":
        return None
    usual = defaults(first)
    own = {"method": first, "revision": usual["revision"]}
    if "cnn_method" in params:
        own["n"] = [size for size in usual["n"] if size <= data.LARGEST_TUPLE[params["dataset"]]]
    return usual | {name: params[name] for name in usual if name in params} | own


def starting_point(method: str, params: dict) -> dict[str, Tensor]:
    """The checkpoint of the run that `needs` names, read from `params["results"]`.

    FileNotFoundError, naming the command that makes it, where that run has no record there, or no checkpoint beside it; ValueError
    where what lies there is the record of another run; LayerCollapse where that run's network collapsed, and so has nothing to start from.
    """
    run, results = needs(method, params), params["results"]
    before = run.pop("method")
    record = records.path(result_params(before, run), results)
    if not record.exists():
        usual = defaults(before)
        changed = {name: value for name, value in run.items() if value != usual[name]}
        lists = {name: value for name, value in changed.items() if isinstance(value, list)}  # -p takes none
        told = [f"-p {name} {shlex.quote(str(value))}" for name, value in changed.items() if name not in lists]
        told += [f"-y {shlex.quote(yaml.safe_dump(lists, default_flow_style=True, width=10**6).strip())}"] if lists else []
        raise FileNotFoundError(
            f"this run starts from {record.stem}, which has no record in {results}; a grid makes it first, by hand it is "
            f"papermill notebooks/methods/{before}.ipynb out.ipynb {' '.join(told)}"
        )
    known = json.loads(record.read_text())
    found, wanted = known["params"], result_params(before, run)
    other = [f"{name} {found.get(name)!r}, not {wanted[name]!r}" for name in wanted if found.get(name) != wanted[name]]
    if other:
        raise ValueError(f"{record} is the record of another run: {'; '.join(other)}")
    if known["status"] == "layer_collapse":
        raise pruning.LayerCollapse(known["collapse"])
    return records.load_checkpoint(record)


def result_params(method: str, params: dict) -> dict:
    """The part of `params` that decides the result, `method` included: a record's `params`, what is `ADDED` left out."""
    left_out = RUNTIME | {name for name, value in records.ADDED.items() if params.get(name) == value}
    return {"method": method} | {name: value for name, value in params.items() if name not in left_out}


class Loader(yaml.SafeLoader):
    """YAML in which a key that comes twice is an error, as YAML has it, rather than the last one winning."""

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        keys = [key.value for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(problem=f"the key {twice} comes twice", problem_mark=node.start_mark)
        return node


def study(name_or_path: str | Path) -> list[dict]:
    """The runs of a study's YAML, each with `method` and all its checked parameters, in the study's order.

    A study is `results: FOLDER` and `runs:`, a list of blocks; in a block a list sweeps a parameter
    (`n`, a list anyway, is passed on whole), and blocks are expanded in order, the last parameter fastest.
    """
    file = Path(name_or_path) if str(name_or_path).endswith(".yaml") else ROOT / "params" / f"{name_or_path}.yaml"
    if not file.exists():
        known = ", ".join(sorted(f.stem for f in (ROOT / "params").glob("*.yaml")))
        raise ParameterError(f"study: {name_or_path!r} is unknown; allowed: {known} (params/), or the path of a .yaml")
    try:
        content = yaml.load(file.read_text(), Loader)
    except yaml.YAMLError as error:
        raise ParameterError(f"{file.name}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or set(content) != {"results", "runs"} or not isinstance(content["runs"], list) or not content["runs"]:
        keys = ", ".join(map(str, content)) if isinstance(content, dict) else repr(content)
        raise ParameterError(f"{file.name}: has {keys}; a study has exactly the keys results (a folder) and runs (a list, not empty)")
    runs = []
    for block in content["runs"]:
        runs += expand(block, file.name, content["results"])
    names = [records.path(result_params(run["method"], without(run, "method")), run["results"]) for run in runs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ParameterError(f"{file.name}: names the run {twice.stem} twice")
    return runs


def run_names(name_or_path: str | Path) -> list[str]:
    """The names of a study's runs, in its order."""
    return [records.run_name(result_params(run["method"], without(run, "method"))) for run in study(name_or_path)]


def progress(name: str, there: Iterable[str], results: str) -> str:
    """How much of a study lies in `results`, where the runs `there` are, and what makes the others: a line to print."""
    names = run_names(name)
    found = len(set(names) & set(there))
    others = f"; the others: make grid STUDY={name}" if found < len(names) else ""
    return f"of the study {name} (params/{name}.yaml), {found} of {len(names)} runs are in {results!r}{others}"


def expand(block: dict, where: str, results: str) -> list[dict]:
    """One block of a study as a list of runs."""
    if not isinstance(block, dict) or "method" not in block:
        raise ParameterError(f"{where}: a block of runs needs the key method; allowed: {', '.join(methods())}")
    for name, told in {"results": "it stands once, at the top of a study", "on_collapse": "a study always records a collapse"}.items():
        if name in block:
            raise ParameterError(f"{where}: {name}: a block of runs does not set it; {told}")
    if isinstance(block["method"], list):
        return [run for method in block["method"] for run in expand(block | {"method": method}, where, results)]
    method = block["method"]
    known = defaults(method)
    seeds = block.get("seed")
    if not isinstance(seeds, list) or not seeds or len(set(map(str, seeds))) < len(seeds):
        raise ParameterError(f"{where}: seed: {seeds!r} is not allowed; a block needs a list of different seeds, such as [0, 1, 2]")
    swept = {}
    for name, value in block.items():
        sweeps = isinstance(value, list) and not isinstance(known.get(name), list) and name != "method"
        swept[name] = value if sweeps else [value]
        if not swept[name]:
            raise ParameterError(f"{where}: {name}: [] names no value to run")
    combinations = (dict(zip(swept, values)) for values in itertools.product(*swept.values()))
    fixed = {"results": results, "on_collapse": "record"}
    return [{"method": method} | check(method, without(run, "method") | fixed, where) for run in combinations]


def without(mapping: dict, key: str) -> dict:
    return {name: value for name, value in mapping.items() if name != key}
