"""Overview, planner and section notebooks are read: their code is folded, here and in JupyterLab, but for the parameters."""
import json
import re

import pytest

from sharedlabel import ROOT

READ = [*(ROOT / "notebooks").glob("*.ipynb"), *(ROOT / "notebooks" / "sections").glob("*.ipynb")]


@pytest.mark.parametrize("notebook", READ, ids=lambda notebook: notebook.stem)
def test_code_is_folded_but_for_the_parameters(notebook):
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] == "code":
            about = cell["metadata"]
            tags, folded = set(about.get("tags", [])), about.get("jupyter", {}).get("source_hidden", False)
            assert (tags & {"parameters", "hide-input"}, folded) in [({"parameters"}, False), ({"hide-input"}, True)], cell["source"]


@pytest.mark.parametrize("notebook", READ, ids=lambda notebook: notebook.stem)
def test_an_alternative_text_says_what_its_figure_shows(notebook):
    """Not only what it is of: what is read from the curves ends the text, and where nothing was read it ends in a space."""
    outputs = [output for cell in json.loads(notebook.read_text())["cells"] for output in cell.get("outputs", [])]
    texts = [output["metadata"]["image/png"]["alt"] for output in outputs if "image/png" in output.get("data", {})]
    assert [text for text in texts if len(text) < 20 or text.endswith(" ")] == []


@pytest.mark.parametrize("notebook", READ, ids=lambda notebook: notebook.stem)
def test_a_parameter_that_it_does_not_have_is_refused(notebook):
    """By its second cell of code, which runs before anything is read."""
    cells = [cell for cell in json.loads(notebook.read_text())["cells"] if cell["cell_type"] == "code"]
    assert re.search(r"^parameters\.refuse_unknown\(globals\(\)\)$", "".join(cells[1]["source"]), re.MULTILINE)
