"""Overview, planner and section notebooks are read: their code is folded, here and in JupyterLab, but for the parameters."""
import json

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
