"""The parameters of a run: their types, limits and defaults, checked before anything is trained.

The `parameters` cell of a method notebook is the one place where its parameters and their defaults are written down. It is read
here and never executed, so that notebook, grid and tests agree. `papermill.inspect_notebook` would read it too, but its import takes two
seconds of processor time, in every run; the same few lines are in `defaults`.
"""
import ast
import contextlib
import functools
import itertools
import json
import math
import shlex
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from sharedlabel import ROOT, choices, folders
from sharedlabel.runs import names
from sharedlabel.runs.contradictions import contradictions, data_set
from sharedlabel.runs.errors import ParameterError, show, suggest

# The upper limits are far beyond what any run needs, and below what ends in an overflow or a full memory, maybe after training only.
Count = Annotated[int, Field(ge=1, le=1_000_000)]
CountOrAll = Annotated[int, Field(ge=0, le=1_000_000)]  # 0: one of every class, every image of a sequence, or what suits the classes
Ratio = Annotated[float, Field(ge=0, le=20)]  # log10 of all weights over those that remain
Share = Annotated[float, Field(ge=0, le=1)]
LearningRate = Annotated[float, Field(gt=0, le=100)]

# Every parameter and what it may be. A float may be written as a whole number; nothing else is converted. A parameter that a
# new method has and this table lacks is of its default's type.
TYPES = {
    "dataset": Literal[*choices.DATASETS], "path": str, "results": str, "image_size": Annotated[int, Field(ge=8, le=1024)],
    "model": Literal[*choices.ALL_MODELS], "initialisation": Literal[*choices.INITIALISATIONS],
    "pruner": Literal[*choices.PRUNERS], "rho": Ratio, "budget": Literal[*choices.BUDGETS], "prune_iterations": Count,
    "seed": Annotated[int, Field(ge=0, lt=2**63)],
    "n": Annotated[list[Count], Field(min_length=1)], "tuples_per_class": Annotated[int, Field(ge=1, le=10_000)],
    "batch_size": Count, "tuple_size": CountOrAll, "tuples_per_batch": CountOrAll, "standard_weight": Share, "free_layers": Count,
    "learning_rate": LearningRate, "max_epochs": Count, "retrain_max_epochs": CountOrAll,
    "patience": Count, "min_improvement": Annotated[float, Field(ge=0, lt=1)],
    "held_out": Annotated[float, Field(gt=0, le=0.5)], "augment": Literal[*choices.AUGMENTATIONS],
    "precision": Literal[*choices.PRECISIONS], "architecture": Literal[*choices.ARCHITECTURES], "message_weight": Share,
    "cnn_method": Literal[*choices.CNN_METHODS], "cnn_training": Literal[*choices.CNN_TRAININGS], "standardised": bool,
    "train_n": Count, "order": Literal[*choices.READING_ORDERS], "permutations": Annotated[int, Field(ge=1, le=1_000)],
    "head_pruner": Literal[*choices.PRUNERS], "head_rho": Ratio, "head_biases": Literal[*choices.HEAD_BIASES],
    "head_score_n": CountOrAll, "head_batch_size": CountOrAll, "head_learning_rate": LearningRate, "head_max_epochs": Count,
    "set_head": Literal[*choices.SET_HEADS],
    "readout": Literal[*choices.READOUTS], "hidden_units": Annotated[int, Field(ge=1, le=10_000)],
    "embedding": Literal[*choices.EMBEDDINGS], "shrinkage": Share, "width": Annotated[int, Field(ge=0, le=1_000)], "pool": Count,
    "check": Literal[*choices.SANITY_CHECKS], "dense_max_epochs": Count,
    "revision": Count, "device": Annotated[str, Field(pattern=choices.DEVICE)], "on_collapse": Literal[*choices.ON_COLLAPSE],
}
STRICT = ConfigDict(strict=True, allow_inf_nan=False)
ADAPTERS = {name: TypeAdapter(kind, config=STRICT) for name, kind in TYPES.items()}
# These change where and how a run happens, not its result: they are in no name and in no record.
RUNTIME_PARAMETERS = {"device", "results", "on_collapse", "path"}  # of a folder its content is in the name (`identity`)
TUPLES_OF_A_BASELINE = {"tuples_per_batch": 10, "tuple_size": 8}  # in the names of heads on it, though it has none
# Parameters that have an effect only where another one has one of these values; elsewhere names have the default.
TRAINED = {"readout": ("linear", "mlp")}
ONLY_WITH = {
    "hidden_units": ({"readout": ("mlp",)}, 32), "shrinkage": ({"readout": ("lda",), "model": ("lda",)}, 0.001),
    "head_batch_size": (TRAINED, 64), "head_learning_rate": (TRAINED, 1e-4), "head_max_epochs": (TRAINED, 160),
    "permutations": ({"order": ("permutations",)}, 5), "dense_max_epochs": ({"check": ("trained_first",)}, 160),
}
ANYWHERE = "the parameters cell, papermill's -p or -y, or the study's YAML"


def method_names() -> list[str]:
    """The methods that have a notebook. FileNotFoundError where the package is not in its checkout."""
    found = sorted(notebook.stem for notebook in (ROOT / "notebooks" / "methods").glob("*.ipynb"))
    if not found:
        raise FileNotFoundError(f"{ROOT} has no notebooks/methods: sharedlabel runs from its checkout; pip install --editable CHECKOUT")
    return found


def defaults(method: str) -> dict:
    """The parameters of a method and their default values, from its notebook's `parameters` cell; ParameterError on a wrong one."""
    if method not in method_names():
        allowed = method_names()
        near = suggest(method, allowed)
        raise ParameterError(f"method: {show(method)} is unknown; allowed: {', '.join(allowed)}, the notebooks of notebooks/methods{near}")
    notebook = ROOT / "notebooks" / "methods" / f"{method}.ipynb"
    values = parameters_cell(notebook, notebook.stat().st_mtime_ns)
    return {name: validate(name, value, f"the parameters cell of {method}.ipynb", type(value)) for name, value in values.items()}


@functools.lru_cache
def parameters_cell(notebook: Path, changed: int) -> dict:
    """What a notebook's `parameters` cell assigns; a study of a thousand runs reads it once. `changed` is the file's mtime.

    ParameterError at a line that is not NAME = VALUE.
    """
    cell = next(c for c in json.loads(notebook.read_text())["cells"] if "parameters" in c["metadata"].get("tags", []))
    source, values = "".join(cell["source"]), {}
    for node in ast.parse(source).body:
        try:
            (target,), value = node.targets, ast.literal_eval(node.value)
            values[target.id] = value
        except (AttributeError, ValueError):  # another statement, several names, or a value to be computed
            line = ast.get_source_segment(source, node)
            raise ParameterError(f"the parameters cell of {notebook.name} has lines NAME = VALUE alone, not {show(line)}") from None
    return values


def default(name: str):
    """The default value of a parameter, in the notebooks that have it."""
    return next(found[name] for method in method_names() if name in (found := defaults(method)))


def check(method: str, given: dict, where: str = ANYWHERE) -> dict:
    """All parameters of a run of `method`, defaults filled in, a whole number for a float made one.

    Where `n` is the notebook's own, the sizes stay of which the data set can form tuples.
    Raises ParameterError, which names the value, what is allowed and `where` to set it.
    """
    known = defaults(method)
    for name in given:
        if name not in known:
            near = suggest(name, known)
            raise ParameterError(
                f"{str(name)[:80]}: not a parameter of {method} (set in {where}); "
                f"its notebook in notebooks/methods has {', '.join(known)}{near}"
            )
    params = {name: validate(name, given.get(name, value), where, type(value)) for name, value in known.items()}
    try:
        largest = data_set(params).largest_tuple
    except folders.FolderError as error:
        raise ParameterError(f"path: {error} (set in {where})") from None
    if params["n"] == known["n"]:
        params["n"] = [size for size in known["n"] if size <= largest] or known["n"]
    params = effective(params)
    for message in contradictions(params):
        raise ParameterError(f"{message} (set in {where})")
    return params


def effective(params: dict, classes: int | None = None) -> dict:
    """The parameters with a number for each 0 that stands for one, and those that have no effect in this run as names leave them out.

    classes: of the data set; by default those of the `dataset`. A record's folder that is named by its content is not known: what
    depends on its classes stays 0.
    """
    params, tuples = dict(params), {"tuples_per_batch", "tuple_size"} & params.keys()
    if params.get("cnn_method") == "baseline":  # tuples are the balanced CNN's
        params |= {name: TUPLES_OF_A_BASELINE[name] for name in tuples}
    elif 0 in map(params.get, tuples) and (classes or params.get("dataset") in choices.DATASETS):
        classes = classes or data_set(params).classes
        usual = {"tuples_per_batch": classes, "tuple_size": 8 if classes <= 10 else 2}  # why two: benchmarks/tuple_size.md
        params |= {name: params[name] or usual[name] for name in tuples}
    for name, (where, default_value) in ONLY_WITH.items():
        deciding = next((other for other in where if other in params), None)
        if name in params and deciding and params[deciding] not in where[deciding]:
            params[name] = default_value
    if "retrain_max_epochs" in params:
        params["retrain_max_epochs"] = params["retrain_max_epochs"] or params["max_epochs"]
    if "head_score_n" in params:  # an unpruned head has no score
        scored = params["head_score_n"] if params["head_rho"] else 0
        params["head_score_n"] = min(scored or params["train_n"], params["train_n"])
    return params


def training_limit(params: dict) -> dict:
    """`limit_epochs` and `images_a_step` of the run's CNN (of freeze-and-retrain, while it is retrained); `params` are effective."""
    images = params.get("batch_size")
    if "tuples_per_batch" in params and params.get("cnn_method") != "baseline":
        images = params["tuples_per_batch"] * params.get("tuple_size", params.get("train_n"))
    return {"limit_epochs": params.get("retrain_max_epochs", params["max_epochs"]), "images_a_step": images}


def validate(name: str, value, where: str, fallback: type):
    """The value, if its parameter may have it; `fallback` is the type of a parameter that is not in `TYPES`. ParameterError otherwise."""
    adapter = ADAPTERS.get(name) or TypeAdapter(fallback, config=STRICT)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        own = f"; for images of your own: dataset folder, path {show(value)}" if name == "dataset" and "/" in str(value) else ""
        by_hand = name == "n" and not isinstance(value, list) and where == ANYWHERE
        own += f"; papermill takes one by -y '{{{name}: [1, 5]}}'" if by_hand else ""
        own += f"; ./{value} is text" if name in ("path", "results") and isinstance(value, (int, float)) else ""
        raise ParameterError(f"{name}: {explain(error, adapter.json_schema())}{own} (set in {where})") from None


def explain(error: ValidationError, schema: dict) -> str:
    """What is wrong with a parameter's value and what is allowed, in one line; `schema` is the JSON schema of its type."""
    first = error.errors(include_url=False)[0]
    value, kind = first["input"], first["type"].removesuffix("_type").replace("string", "str")
    if "enum" in schema:
        return f"{show(value)} is unknown; allowed: {', '.join(schema['enum'])}{suggest(value, schema['enum'])}"
    if kind == "too_short":
        return "[] is empty; allowed is a list of int"
    if first["type"].endswith("_type"):
        return f"{show(value)} is {type(value).__name__}, allowed is {'a list of ' if first['loc'] else ''}{kind}{number_in(value, kind)}"
    if "pattern" in schema:  # that of a device
        return f"{show(value)} is unknown; allowed: {choices.DEVICES}"
    limits = schema["items"] if first["loc"] else schema
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    with contextlib.suppress(OverflowError):  # an integer beyond a float stays one
        value = float(value) if limits["type"] == "number" else value
    allowed = " and ".join(f"{sign} {limits[key]}" for key, sign in signs.items() if key in limits)
    return f"{show(value)} is not allowed; it is a number {allowed}"


def number_in(value, kind: str) -> str:
    """How to write a number that YAML 1.1 took for text, such as 1e-3."""
    try:
        number = {"int": int, "float": float}[kind](value) if isinstance(value, str) and len(value) < 80 else math.nan
    except (KeyError, ValueError):
        number = math.nan
    return f"; write {yaml.safe_dump(number).split()[0]}" if math.isfinite(number) else ""


def from_notebook(method: str, namespace: dict) -> dict:
    """The checked parameters of a running method notebook; `namespace` is its `globals()`.

    Given is what the cells from the parameters cell up to the call of `lifecycle.begin` assign (papermill adds a cell of its
    own after the parameters cell), as IPython's history `In` has them: so a parameter that papermill passes and the notebook does
    not have is refused, and the notebook can run twice in one kernel.
    """
    history = [assigned_names(source) for source in namespace["In"]]
    lacking = [set(defaults(method)) - assigned for assigned in history]
    if all(lacking):
        raise ParameterError(f"the parameters cell of {method}.ipynb lacks {', '.join(sorted(min(lacking, key=len)))}")
    start = max(i for i, lacks in enumerate(lacking) if not lacks)
    end = next(i for i in range(start, len(history)) if "lifecycle.begin(" in namespace["In"][i])
    return check(method, {name: namespace[name] for name in set().union(*history[start:end])})


def refuse_unknown(namespace: dict) -> None:
    """ParameterError where papermill passed a notebook a parameter that it does not have; `namespace` is its `globals()`.

    papermill's cell, which begins with a comment of its own, follows the parameters cell. A method's notebook has `from_notebook`.
    """
    for cell, passed in itertools.pairwise(namespace["In"]):
        if passed.startswith("# Parameters\n"):
            known = assigned_names(cell)
            for name in sorted(assigned_names(passed) - known):
                raise ParameterError(f"{name}: not a parameter of this notebook; it has {', '.join(sorted(known))}{suggest(name, known)}")


def assigned_names(source: str) -> set[str]:
    """The names that a cell assigns at its top level; none where it is not plain Python."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return set()
    return {target.id for node in body if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)}


def prerequisite(params: dict) -> dict | None:
    """The run that a run of these `params` starts from (its `method` and all its parameters), None where it starts afresh.

    It has the same parameters, as far as both notebooks know them, and its own notebook's revision and defaults. A method with layers to
    free (`free_layers`) starts from the baseline, a head from the CNN of its `cnn_method` unless the two are trained as one, which is
    measured at the default n that the data set, where known, has images for.
    """
    before = params.get("cnn_method", "baseline" if "free_layers" in params else None)
    if before is None or params.get("cnn_training") == "end_to_end":
        return None
    known = defaults(before)
    run = known | {name: params[name] for name in known if name in params} | {"method": before, "revision": known["revision"]}
    if "cnn_method" in params:
        largest = data_set(params).largest_tuple if params["dataset"] in choices.DATASETS else max(known["n"])
        run["n"] = [size for size in known["n"] if size <= largest]
    return run


def papermill_command(run: dict) -> str:
    """The command that makes a run (its `method` and parameters) by hand; it names what differs from the notebook's defaults."""
    known = defaults(run["method"])
    changed = {name: run[name] for name, value in known.items() if name in run and run[name] != effective(run | {name: value})[name]}
    free = {name for name in ("results", "path") if "/" not in str(changed.get(name, "/"))}  # of "2024" or "None" -p makes no text
    typed = {name: value for name, value in changed.items() if isinstance(value, list) or name in free}
    words = [f"-p {name} {shlex.quote(str(value))}" for name, value in changed.items() if name not in typed]
    words += [f"-y {shlex.quote(yaml.safe_dump(typed, default_flow_style=True, width=10**6).strip())}"] if typed else []
    return f".venv/bin/papermill notebooks/methods/{run['method']}.ipynb out.ipynb {' '.join(words)}"


def commands_by_hand(params: dict) -> list[str]:
    """`papermill_command` of a run into the default folder of results, behind that of the run that it starts from, if any."""
    params = params | {"results": default("results")}
    if params["dataset"] not in choices.DATASETS:
        params |= {"dataset": "folder", "path": "PATH/OF/YOUR/IMAGES"}  # a record names it by what is in it
    before = prerequisite(params)
    return [papermill_command(run) for run in (before, params) if run is not None]


def later_values(params: dict) -> dict:
    """The parameters that are left out of names at a certain value, and that value in a run of these `params`."""
    return names.LATER_PARAMETERS | {name: params.get(same) for name, same in names.LATER_SAME_AS.items()}


def of_record(recorded: dict) -> dict:
    """A record's `params`, `method` among them, by the names that notebooks have now and with what was left out filled in."""
    renamed = {old: new for new, old in names.RECORDED_AS.items()}
    params = {renamed.get(name, name): value for name, value in recorded.items()}
    return {name: value for name, value in later_values(params).items() if name in defaults(params["method"])} | params


def identity(method: str, params: dict) -> dict:
    """The part of `params` that decides the result, `method` included, by the names that records have: a record's `params`.

    A folder of one's own images is called by what is in it, not by where it is; scaled to another size it is another data set.
    """
    left_out = {"method"} | RUNTIME_PARAMETERS | {name for name, value in later_values(params).items() if params.get(name) == value}
    found = {"method": method} | {names.RECORDED_AS.get(name, name): value for name, value in params.items() if name not in left_out}
    if params["dataset"] == "folder":
        found["dataset"] = folder_name(params["path"], params["image_size"])
    return found


def folder_name(path: str, image_size: int) -> str:
    """What records call the data set of a folder of one's own images. FolderError where it is none."""
    return f"folder-{folders.read(path).identity}-{image_size}px"
