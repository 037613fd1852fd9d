"""What a person types, from any path: the Makefile, the set-up of its environment, folders that nobody may write to."""
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup
from conftest import make_environment

from sharedlabel import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import environment  # noqa: E402

NEEDED = (
    "Makefile", "Snakefile", "profiles", "params", "sharedlabel", "notebooks", "tools",
    "requirements.lock", "requirements.hashes", "pyproject.toml",
)
STUDY = """results: runs/digits-study
runs:
  - {dataset: digits, method: baseline, model: [conv, fc], rho: [1.5, 2], seed: [0, 1], learning_rate: 0.003, max_epochs: 20}
"""
KERNEL_TEST = '''
import os
from pathlib import Path
import nbformat, papermill
import sharedlabel

def test_code_is_this_checkouts(tmp_path):
    """Here and in a kernel, which starts in another folder."""
    here = Path(__file__).parent / "sharedlabel"
    cell = nbformat.v4.new_code_cell("import sharedlabel; print(sharedlabel.__file__)")
    kernel = {"name": "python3", "display_name": "", "language": "python"}
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "in.ipynb")
    papermill.execute_notebook(str(tmp_path / "in.ipynb"), str(tmp_path / "out.ipynb"), cwd=str(tmp_path), progress_bar=False)
    printed = nbformat.read(tmp_path / "out.ipynb", 4).cells[0].outputs[0].text.strip()
    assert Path(sharedlabel.__file__).parent == Path(printed).parent == here
    assert os.environ["PYTHONPATH"].split(":")[0] == str(here.parent)
'''


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of what the commands need, in a path with a space, an apostrophe and braces; the home beside it is empty."""
    folder = tmp_path_factory.mktemp("odd") / "it's a {name} of $one" / "study"
    for empty in folder, folder.parent / "home":
        empty.mkdir(parents=True)
    ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "*.egg-info")
    for name in NEEDED:
        source = ROOT / name
        shutil.copytree(source, folder / name, ignore=ignore) if source.is_dir() else shutil.copyfile(source, folder / name)
    (folder / "params" / "digits.yaml").write_text(STUDY)
    (folder / "test_here.py").write_text(KERNEL_TEST)
    (folder / "ruff.toml").write_text('exclude = ["*"]')  # `make test` of this checkout looks at the same files
    return folder


def make(checkout: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess:
    """`make` with the environment that runs the tests, whose set-up is left out (`-o venv`)."""
    variables = make_environment() | {"HOME": str(checkout.parent / "home"), "PYTHONDONTWRITEBYTECODE": "1"} | environ
    command = ["make", "-o", "venv", f"VENV={sys.prefix}", *arguments]
    return subprocess.run(command, cwd=checkout, env=variables, capture_output=True, text=True, timeout=900)


@pytest.mark.slow
def test_make_test_runs_this_checkouts_code_in_an_environment_that_checkouts_share(checkout, tmp_path):
    done = make(checkout, "test", "FLAGS=--override-ini addopts= -p no:cacheprovider test_here.py", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.slow
def test_make_study_ends_with_a_page_to_open(checkout):
    done = make(checkout, "study")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    page = done.stdout.strip().rpartition("\n")[2].removeprefix("Open ")
    assert page == str(checkout / "runs" / "digits-study" / "section_5_1.html") and Path(page).stat().st_size > 10_000
    assert len(list((checkout / "runs" / "digits-study").rglob("*-seed*.json"))) == 8


def test_the_page_has_each_figures_text_and_formula_and_needs_no_network(tmp_path):
    recipe = (ROOT / "Makefile").read_text()
    (options,) = re.findall(r"nbconvert (.*page.*) \$\(DIGITS\)", recipe)
    texts = [{"image/png": {"alt": 'n > 1, "rho" 2'}}, {}]
    figures = [nbformat.v4.new_output("display_data", {"image/png": "aGVsbG8="}, metadata=text) for text in texts]
    cells = [nbformat.v4.new_code_cell("hidden = 1", outputs=figures, metadata={"tags": ["hide-input"]}),
             nbformat.v4.new_code_cell("shown = 2"),
             nbformat.v4.new_markdown_cell("Of $10^{-\\rho}$:\n$$a_i$$")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "figures.ipynb")
    command = [sys.executable, "-m", "nbconvert", *options.split(), tmp_path / "figures.ipynb"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    page = BeautifulSoup((tmp_path / "figures.html").read_text(), "html.parser")
    assert [formula["display"] for formula in page.find_all("math")] == ["inline", "block"] and "$" not in page.body.get_text()
    assert not page.select("script[src], link[href^=http]") and "cdnjs" not in page.decode()
    assert "shown" in page.body.get_text() and "hidden = 1" not in page.body.get_text()
    with_text, without = page.find_all("img")
    assert with_text["alt"] == 'n > 1, "rho" 2' and with_text["src"].endswith("aGVsbG8=")
    assert without["alt"].startswith("No description") and "missing on 1 image" in done.stderr  # a lack is still told


def test_make_lab_works_on_copies_in_any_path(checkout):
    done = make(checkout, "lab", "FLAGS=--version")
    assert done.returncode == 0, done.stderr
    lab = checkout / "runs" / "lab"
    assert {file.name for file in lab.rglob("*.ipynb")} == {file.name for file in (checkout / "notebooks").rglob("*.ipynb")}
    assert (lab / "params" / "digits.yaml").read_text() == STUDY


@pytest.mark.parametrize("study, named", [
    ("it's", "study: No closing quotation: it's"), ("it's my own.yaml", "it's my own.yaml: has 'runs';"), ("$HOME", "'$HOME'"),
])
def test_a_study_with_any_name_reaches_snakemake_as_it_was_typed(checkout, study, named):
    (checkout / "it's my own.yaml").write_text("runs: []")
    done = make(checkout, "grid", f"STUDY={study.replace('$', '$$')}", "FLAGS=--dry-run")
    assert done.returncode and "Traceback" not in done.stderr
    assert named in done.stderr, done.stderr


def test_grid_without_a_study_names_them(checkout):
    done = make(checkout, "grid")
    assert done.returncode == 2 and "make grid STUDY=NAME" in done.stdout and "digits" in done.stdout


def test_nothing_is_written_below_a_home_that_is_read_only(checkout):
    printed = make(checkout, "-f", "Makefile", "--eval=show:;@echo \"$$HOME\"", "show", HOME="/proc/none").stdout.strip()
    assert printed == str(checkout / "runs" / "home") and Path(printed).is_dir()
    assert make(checkout, "--eval=show:;@echo \"$$HOME\"", "show").stdout.strip() == str(checkout.parent / "home")


# ---- read-only folders


def read_only(command: list[str], *folders: Path, **environ: str) -> subprocess.CompletedProcess:
    """Run a command to which some folders are read-only, for root, too; skips where this system does not let us."""
    script = "for folder; do mount --bind \"$folder\" \"$folder\" && mount -o remount,ro,bind \"$folder\" || exit 99; done"
    shell = ["unshare", "--mount", "--map-root-user", "bash", "-c", f"{script}; exec {shlex.join(command)}", "bash", *map(str, folders)]
    try:
        done = subprocess.run(shell, cwd="/", env=os.environ | environ, capture_output=True, text=True, timeout=600)
    except FileNotFoundError:
        pytest.skip("needs Linux's unshare")
    if done.returncode == 99 or "unshare failed" in done.stderr:
        pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
    return done


@pytest.mark.slow
@pytest.mark.parametrize("temporary", [True, False])
def test_compiled_code_needs_neither_a_writable_home_nor_a_writable_checkout(checkout, tmp_path, temporary):
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    code = "from sharedlabel.live import maps; import os; print(maps.__file__, os.environ.get('NUMBA_CACHE_DIR', ''))"
    folders = (checkout, tmp_path / "home", *(() if temporary else (tmp_path / "tmp",)))
    variables = {"HOME": str(tmp_path / "home"), "PYTHONPATH": str(checkout), "TMPDIR": str(tmp_path / "tmp"), "XDG_CACHE_HOME": ""}
    done = read_only([sys.executable, "-c", code], *folders, **variables)
    assert done.returncode == 0 and str(checkout) in done.stdout, done.stderr
    cache = Path(done.stdout.strip().rpartition(" ")[2])
    assert (cache.parent == tmp_path / "tmp") == temporary and not cache.exists()  # it went with the process


# ---- the set-up


@pytest.mark.slow
def test_a_set_up_that_was_interrupted_before_it_had_pip_goes_on(tmp_path):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "it's {here}"], check=True)
    python = tmp_path / "it's {here}" / "bin" / "python"
    assert not environment.succeeds(python, "-m", "pip", "--version")
    environment.create(tmp_path / "it's {here}")
    assert environment.succeeds(python, "-m", "pip", "--version")


def fake_environment(folder: Path, has_torch: bool) -> Path:
    """One whose python writes down its arguments and the requirements that it was given."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"""#!/bin/sh
echo "$@" >> '{folder}/arguments'
for each; do case "$each" in *.txt) cp "$each" '{folder}/installed' ;; esac; done
case "$1" in -c) exit {int(not has_torch)} ;; esac
""")
    python.chmod(0o755)
    return folder


def test_make_completes_an_environment_where_the_lock_has_changed_and_only_there(checkout, tmp_path):
    """The rule that all other tests leave out; PYTHON says whether it was started."""
    variables = make_environment() | {"HOME": str(tmp_path)}
    command = ["make", "venv", f"VENV={tmp_path}/it's here", f"PYTHON={shutil.which('false')}"]
    (tmp_path / "it's here").mkdir()
    made = tmp_path / "it's here" / "made-from"
    for text, code in ((environment.contents(), 0), (environment.contents() + "\n", 2), (None, 2)):
        made.write_text(text) if text else made.unlink()
        assert subprocess.run(command, cwd=checkout, env=variables, capture_output=True).returncode == code


@pytest.mark.parametrize("has_torch", [True, False])
def test_an_environment_that_has_a_fitting_torch_keeps_it(tmp_path, has_torch):
    folder = fake_environment(tmp_path / "venv", has_torch)
    environment.create(folder)
    environment.install(folder)
    installed = {line.partition("==")[0] for line in (folder / "installed").read_text().splitlines() if "==" in line}
    assert {"numpy", "snakemake", "ptflops"} <= installed
    for name in ("torch", "torchvision", "triton", "nvidia-cublas", "cuda-toolkit"):
        assert (name in installed) != has_torch
    assert "--require-hashes" in (folder / "arguments").read_text()
    lock = (ROOT / "requirements.lock").read_text()
    assert (folder / "made-from").read_text() == lock + (ROOT / "pyproject.toml").read_text()  # what the Makefile compares


def test_a_torch_that_the_set_up_itself_installed_follows_the_lock(tmp_path):
    folder = fake_environment(tmp_path / "venv", has_torch=True)
    (folder / "made-from").write_text("an older lock")
    environment.install(folder)
    assert "\ntorch==" in (folder / "installed").read_text()


def test_a_torch_of_its_own_that_fits_no_more_is_replaced(tmp_path):
    folder = fake_environment(tmp_path / "venv", has_torch=False)
    for name in ("made-from", "keeps-its-torch"):
        (folder / name).write_text("")
    environment.install(folder)
    assert "\ntorch==" in (folder / "installed").read_text() and not (folder / "keeps-its-torch").exists()


def test_a_torch_of_a_set_up_that_was_killed_follows_the_lock(tmp_path, monkeypatch):
    folder, run = fake_environment(tmp_path / "venv", has_torch=False), subprocess.run

    def killed(command, **how):
        if "--editable" in command:
            raise KeyboardInterrupt
        return run(command, **how)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(environment.subprocess, "run", killed)
        environment.install(folder)
    (folder / "bin" / "python").write_text((folder / "bin" / "python").read_text().replace("exit 1", "exit 0"))  # pip had brought torch
    environment.install(folder)
    assert "\ntorch==" in (folder / "installed").read_text() and not (folder / "keeps-its-torch").exists()


def test_a_cpu_torch_after_a_set_up_that_was_killed_is_kept(tmp_path):
    folder = fake_environment(tmp_path / "venv", has_torch=True)
    (folder / "made-from").touch()
    environment.install_cpu_torch(folder)
    environment.install(folder)
    assert "\ntorch==" not in (folder / "installed").read_text() and (folder / "keeps-its-torch").exists()


def test_of_two_set_ups_at_once_one_waits_and_has_nothing_left_to_do(tmp_path):
    folder = fake_environment(tmp_path / "venv", has_torch=True)
    python = folder / "bin" / "python"
    python.write_text(python.read_text().replace("for each;", "sleep 0.3; for each;"))
    command = [sys.executable, ROOT / "tools" / "environment.py", folder]
    both = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [each.wait() for each in both] == [0, 0]
    assert (folder / "arguments").read_text().count("--editable") == 1


@pytest.mark.parametrize("torch, torchvision, fits", [
    ("2.11.0+cpu", "0.26.0", True), ("3.0", "1.0", True), ("2.9.1", "0.26", False), ("2.11", "0.9", False),
])
def test_a_fitting_torch_is_one_of_pyprojects_range(tmp_path, torch, torchvision, fits):
    for name, version in {"torch": torch, "torchvision": torchvision}.items():
        (tmp_path / f"{name}.py").write_text(f"__version__ = {version!r}")
    command = ["env", f"PYTHONPATH={tmp_path}", sys.executable, "-c", environment.HAS_TORCH]
    assert environment.succeeds(*command) == fits


@pytest.mark.parametrize("name", ["a:b", "{a}"])
def test_a_folder_where_no_environment_can_be_is_refused_in_one_line(tmp_path, name):
    ended = subprocess.run([sys.executable, ROOT / "tools" / "environment.py", tmp_path / name], capture_output=True, text=True)
    assert ended.returncode == 1 and "colon" in ended.stderr and ended.stderr.count("\n") == 1
