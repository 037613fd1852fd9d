"""`make lab`: JupyterLab itself, in a browser, with copies of the notebooks; and how the copies are kept."""
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest
from conftest import make_environment

from sharedlabel import ROOT
from sharedlabel.analysis import tables
from sharedlabel.runs import studies

sys.path.insert(0, str(ROOT / "tools"))
import lab as copies  # noqa: E402

NOTEBOOKS = sorted(str(file.relative_to(ROOT)) for file in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in file.parts)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def read(notebook: Path) -> dict:
    return json.loads(notebook.read_text())


def write(notebook: Path, *sources: str, outputs: tuple = ()) -> None:
    notebook.parent.mkdir(parents=True, exist_ok=True)
    cells = [{"cell_type": "code", "source": source, "outputs": list(outputs)} for source in sources]
    notebook.write_text(json.dumps({"cells": cells}))


# ---- the copies


@pytest.fixture
def original(tmp_path) -> Path:
    for folder in ("params", "results"):
        (tmp_path / "checkout" / folder).mkdir(parents=True)
    notebook = tmp_path / "checkout" / "notebooks" / "methods" / "a.ipynb"
    write(notebook, "rho = 2")
    return notebook


@pytest.fixture
def copy(original, tmp_path) -> Path:
    assert not copies.refresh(tmp_path / "lab", tmp_path / "checkout")
    notebook = tmp_path / "lab" / "notebooks" / "methods" / "a.ipynb"
    assert notebook.read_bytes() == original.read_bytes()
    return notebook


def test_a_copy_follows_its_original_until_it_is_edited(original, copy, tmp_path):
    write(original, "rho = 3")
    assert not copies.refresh(tmp_path / "lab", tmp_path / "checkout")
    assert copy.read_bytes() == original.read_bytes()
    write(copy, "rho = 4")
    assert not copies.refresh(tmp_path / "lab", tmp_path / "checkout")
    write(original, "rho = 5")
    (line,) = copies.refresh(tmp_path / "lab", tmp_path / "checkout")
    assert str(copy) in line and read(copy)["cells"][0]["source"] == "rho = 4"
    copy.unlink()
    assert not copies.refresh(tmp_path / "lab", tmp_path / "checkout")
    assert copy.read_bytes() == original.read_bytes()


def test_a_copy_that_was_only_executed_keeps_its_outputs_until_the_original_changes(original, copy, tmp_path):
    write(copy, "rho = 2", outputs=("something",))
    assert not copies.refresh(tmp_path / "lab", tmp_path / "checkout")
    assert read(copy)["cells"][0]["outputs"]
    write(original, "rho = 3")
    assert not copies.refresh(tmp_path / "lab", tmp_path / "checkout")
    assert copy.read_bytes() == original.read_bytes()


def test_every_link_of_a_copy_leads_somewhere(tmp_path):
    copies.refresh(tmp_path)
    for name in NOTEBOOKS:
        for cell in read(tmp_path / name)["cells"]:
            if cell["cell_type"] == "markdown":
                for link in LINK.findall("".join(cell["source"])):
                    assert ((tmp_path / name).parent / link).exists(), f"{name}: {link}"


# ---- JupyterLab


class Lab(NamedTuple):
    url: str
    token: str
    root: Path  # where the copies are

    def ask(self, path: str, method: str = "GET") -> bytes:
        return urllib.request.urlopen(urllib.request.Request(f"{self.url}{path}?token={self.token}", method=method)).read()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """`make lab` with a home of its own, in which JupyterLab is told to save every two seconds instead of every two minutes."""
    home = tmp_path_factory.mktemp("home")
    settings = home / ".jupyter" / "lab" / "user-settings" / "@jupyterlab" / "docmanager-extension" / "plugin.jupyterlab-settings"
    settings.parent.mkdir(parents=True)
    settings.write_text('{"autosaveInterval": 2}')
    command = ["make", "-o", "venv", f"VENV={sys.prefix}", "lab", f"LAB={home / 'lab'}", "FLAGS=--no-browser --allow-root --port=0"]
    variables = make_environment() | {"HOME": str(home)}
    variables.pop("SHAREDLABEL_GRID", None)  # a person's kernel draws pictures
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, env=variables, start_new_session=True, **pipe)
    try:
        found = next(found for line in process.stdout if (found := re.search(r"(http://127\.0\.0\.1:\d+/)\S*\?token=(\w+)", line)))
        threading.Thread(target=process.stdout.read, daemon=True).start()  # so that the pipe is never full
        yield Lab(*found.groups(), home / "lab")
    finally:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]  # kernels are in groups of their own
        os.killpg(process.pid, signal.SIGTERM)
        for left in psutil.wait_procs(family, timeout=30)[1]:
            left.kill()
        process.wait()


@pytest.fixture
def open_notebook(lab, chromium):
    """A function that opens a notebook in JupyterLab and returns the page once its kernel waits; kernels go at the end."""
    def open_notebook(name: str):
        page.goto(f"{lab.url}lab/tree/{name}?reset&token={lab.token}")
        page.wait_for_selector(".jp-Notebook .jp-Cell")
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")
        return page

    page = chromium.new_page(viewport={"width": 1300, "height": 900})
    page.set_default_timeout(120_000)  # of a busy machine
    yield open_notebook
    page.close()
    # The server's own answer is an error while a kernel is started or goes; one that is left goes with the server.
    with contextlib.suppress(urllib.error.HTTPError):
        for kernel in json.loads(lab.ask("api/kernels")):
            lab.ask(f"api/kernels/{kernel['id']}", "DELETE")


def wait_until(done, what: str, seconds: float = 300):
    """What `done` returns, as soon as that is true; a file that is being written is not there yet."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(json.JSONDecodeError, FileNotFoundError):
            if found := done():
                return found
        time.sleep(1)
    pytest.fail(f"{what}: not within {seconds} seconds")


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_opens_and_opening_it_changes_nothing(open_notebook, lab, name):
    committed = (ROOT / name).read_bytes()
    page = open_notebook(name)
    assert page.locator(".jp-RenderedMarkdown h1").first.inner_text().strip("¶")
    assert not page.locator("mjx-merror, .jp-RenderedText[data-mime-type='application/vnd.jupyter.error'], .jp-Dialog").count()
    page.wait_for_function("!document.querySelector('.jp-mod-current.jp-mod-dirty')")  # it was saved
    assert read(lab.root / name)["cells"] == json.loads(committed)["cells"]  # JupyterLab notes in the copy which kernel opened it
    assert (ROOT / name).read_bytes() == committed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["notebooks/overview.ipynb", "notebooks/methods/baseline.ipynb", "notebooks/sections/appendix_a_3.ipynb"])
def test_a_notebook_runs_from_a_clean_kernel_without_error_or_warning(open_notebook, lab, name):
    page = open_notebook(name)
    page.get_by_role("menuitem", name="Edit", exact=True).click()
    page.get_by_text("Clear Outputs of All Cells").click()
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Restart Kernel and Run All Cells").click()
    page.locator(".jp-Dialog button.jp-mod-accept").click()

    def executed() -> list[dict]:
        """The code cells, when all have run or one has failed."""
        page.keyboard.press("Control+s")  # what saves by itself waits the longer the slower the machine is
        cells = [cell for cell in read(lab.root / name)["cells"] if cell["cell_type"] == "code"]
        failed = any(output["output_type"] == "error" for cell in cells for output in cell["outputs"])
        return cells if failed or [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1)) else []

    outputs = [output for cell in wait_until(executed, name) for output in cell["outputs"]]
    assert outputs and not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.slow
def test_an_edit_that_is_saved_by_itself_changes_no_grid(open_notebook, lab):
    page, name = open_notebook("notebooks/methods/baseline.ipynb"), "notebooks/methods/baseline.ipynb"
    page.locator(".jp-CodeCell .cm-line", has_text="prune_iterations = 100").click()
    page.keyboard.press("End")
    page.keyboard.type("0")
    wait_until(lambda: "prune_iterations = 1000\n" in "".join(read(lab.root / name)["cells"][2]["source"]), "the edit is saved", 60)
    assert "prune_iterations = 100\n" in "".join(read(ROOT / name)["cells"][2]["source"])
    assert set(studies.run_names("mnist")) <= set(tables.load_records()["run"])  # all of them are done, as before
