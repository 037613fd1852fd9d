"""The package's layout: a room stands only on those above it, no import runs in a circle, and no file is long."""
import ast
import collections
import re
import subprocess
import symtable
import sys
from pathlib import Path

import pytest

import sharedlabel
from sharedlabel import ROOT

PACKAGE = ROOT / "sharedlabel"
ROOMS = ["choices", "folders", "runtime", "data", "tuples", "losses", "models", "heads", "pruning", "live", "training", "embeddings",
         "predictors", "moments", "readouts", "metrics", "costs", "runs", "inference", "analysis"]  # from the ground up
FILES = sorted(PACKAGE.rglob("*.py"))


def module_name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(file: Path, top_level: bool) -> set[str]:
    """The package's modules that a file imports: at its top level, which is when it is loaded, or anywhere."""
    tree, found = ast.parse(file.read_text()), set()
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # relative
                package = module_name(file) if file.name == "__init__.py" else module_name(file).rpartition(".")[0]
                base = f"{package}.{base}".rstrip(".")
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name in MODULES}


MODULES = {module_name(file): file for file in FILES}


def room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def test_every_module_is_in_a_room():
    assert {room(name) for name in MODULES} - {""} == set(ROOMS)


def test_the_front_door_names_the_rooms_in_this_order():
    assert re.findall(r"`(\w+)`", sharedlabel.__doc__) == ROOMS


@pytest.mark.parametrize("file", [file for file in FILES if file != PACKAGE / "__init__.py"], ids=lambda f: str(f.relative_to(PACKAGE)))
def test_a_room_stands_only_on_those_above_it(file):
    own = room(module_name(file))
    for name in imports(file, top_level=False) - {"sharedlabel"}:
        assert own and ROOMS.index(room(name)) <= ROOMS.index(own), f"{file.relative_to(ROOT)} imports {name}"


def test_the_front_door_leads_to_one_room_and_loads_nothing_before_it_is_opened():
    assert imports(PACKAGE / "__init__.py", top_level=True) == set()
    assert imports(PACKAGE / "__init__.py", top_level=False) - {"sharedlabel"} == {"sharedlabel.inference"}


def test_no_import_runs_in_a_circle():
    """A package's modules are loaded after its `__init__` has begun, so what a module imports of its own package is that module."""
    needs = {name: {other for other in imports(file, top_level=True) if not name.startswith(f"{other}.")} - {name}
             for name, file in MODULES.items()}
    while needs:
        free = {name for name, others in needs.items() if not others & needs.keys()}
        assert free, f"a circle among {', '.join(sorted(needs))}"
        needs = {name: others for name, others in needs.items() if name not in free}


def scopes_in(table: symtable.SymbolTable) -> list[symtable.SymbolTable]:
    """Functions, classes and what is in them."""
    return [scope for child in table.get_children() for scope in (child, *scopes_in(child))]


@pytest.mark.parametrize("file", [*FILES, *sorted((ROOT / "benchmarks").glob("*.py"))], ids=lambda file: str(file.relative_to(ROOT)))
def test_no_local_name_shadows_an_import(file):
    """A comprehension that still means the import fails then, and only when it is run."""
    module = symtable.symtable(file.read_text(), str(file), "exec")
    imported = {symbol.get_name() for symbol in module.get_symbols() if symbol.is_imported()}
    for scope in scopes_in(module):
        own = {symbol.get_name() for symbol in scope.get_symbols() if symbol.is_local() and not symbol.is_imported()}
        assert not own & imported, f"{scope.get_name()}: {own & imported}"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_file_is_longer_than_350_lines(file):
    assert file.read_text().count("\n") <= 350


def test_every_constant_is_used():
    text = "\n".join(file.read_text() for folder in ("sharedlabel", "tests", "tools", "benchmarks", "notebooks")
                     for pattern in ("*.py", "*.ipynb") for file in (ROOT / folder).rglob(pattern))
    counts = collections.Counter(re.findall(r"\b[A-Z][A-Z_\d]+\b", text))
    constants = {target.id for file in FILES for node in ast.parse(file.read_text()).body if isinstance(node, ast.Assign)
                 for target in node.targets if isinstance(target, ast.Name) and target.id.isupper()}
    assert not {name for name in constants if counts[name] == 1}


def test_a_prediction_needs_none_of_the_slow_imports(tmp_path):
    """torchvision's takes as long as torch's. (SciPy is numba's.)"""
    script = """
import sys, numpy, sharedlabel
assert "torch" not in sys.modules
net = sharedlabel.load("mnist-conv-baseline-synflow-rho3.5-seed0")
net.predict(numpy.zeros((2, 28, 28), numpy.uint8))
print({"torchvision", "sympy", "sklearn", "matplotlib", "pandas", "IPython", "ptflops"} & set(sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout == "set()\n"


def test_a_study_is_read_without_torch_or_pandas():
    script = "import sys; from sharedlabel.runs import studies; studies.load('digits'); print({'torch', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout == "set()\n"


def test_the_live_network_knows_nothing_of_the_study():
    for file in (PACKAGE / "live").glob("*.py"):
        assert {room(name) for name in imports(file, top_level=False)} <= {"live", ""}, file


def test_a_run_imports_neither_torchvision_nor_pytorchs_compiler():
    """Each takes a second, which is as long as a short run trains; and nothing says so but a run's time."""
    script = """
import sys
import torch
from sharedlabel import costs, data, live, losses, metrics, models, predictors, pruning, training
from sharedlabel.runs import checkpoints, lifecycle
from sharedlabel.runtime import random_stream

x, y = torch.rand(20, 1, 8, 8), torch.arange(20) % 10
network = models.build("conv", (1, 8, 8), 10, random_stream(0, "initialisation"))
costs.part_costs(network, (1, 8, 8), 1.0)
pruning.prune(network, "synflow", 1.0, (x, y), 2)
small = live.build(network, (1, 8, 8))
training.make_step(small, losses.standard, training.adam(small, 1e-4))(x.flatten(1)[:, small.columns], y)
print({"torchvision", "torch._dynamo", "pandas", "scipy.stats", "matplotlib"} & set(sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout == "set()\n"
