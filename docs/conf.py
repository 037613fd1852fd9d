"""The site that `make site` builds: README, docs/ and the notebooks as they were executed, linked as they are on the host.

Nothing is executed and nothing downloaded, neither now nor by the pages: formulas become MathML, which browsers draw by themselves.
"""
import base64
import hashlib
import json
import re
import shutil
from pathlib import Path

from bs4 import BeautifulSoup
from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
LONG_WORDS = 30  # characters

project = "Shared-label pruning"
author = "The authors of sharedlabel"
copyright = author
extensions = ["myst_nb"]
include_patterns = [
    "README.md", "CONTRIBUTING.md", "docs/*.md", "benchmarks/*.md", "sharedlabel/*/README.md",
    "notebooks/*.ipynb", "notebooks/*/*.ipynb",
]
exclude_patterns = ["**/.ipynb_checkpoints"]
root_doc = "README"

nb_execution_mode = "off"
nb_output_stderr = "error"  # nothing in a committed notebook warns
nb_render_markdown_format = "myst"
nb_code_prompt_show, nb_code_prompt_hide = "show code", "hide code"
nb_ipywidgets_js = {}  # sliders need a kernel; their scripts would be downloaded
myst_enable_extensions = ["dollarmath"]
myst_dmath_double_inline = True
myst_heading_anchors = 4
html_math_renderer = "mathml"

html_theme = "sphinx_book_theme"
html_title = project
html_favicon = "favicon.svg"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_context = {"default_mode": "light"}  # figures and verdicts are coloured for white paper
html_theme_options = {"home_page_in_toc": True, "navbar_persistent": [], "article_header_end": []}
html_copy_source = False

# In the order of reading; a pattern finds the pages that are not named before it.
CONTENTS = """

```{toctree}
:hidden:
:caption: Read
:glob:
notebooks/overview
```

```{toctree}
:hidden:
:caption: The paper's sections
:glob:
notebooks/sections/section_*
notebooks/sections/appendix_*
```

```{toctree}
:hidden:
:caption: Past the paper
:glob:
notebooks/sections/beyond_law
notebooks/sections/beyond_readout
notebooks/sections/beyond_small_dense
notebooks/sections/beyond_pruning
notebooks/sections/beyond_*
```

```{toctree}
:hidden:
:caption: Use it
:glob:
notebooks/[!o]*
```

```{toctree}
:hidden:
:caption: Methods
:glob:
notebooks/methods/baseline
notebooks/methods/balanced
notebooks/methods/freeze_retrain
notebooks/methods/graph
notebooks/methods/cnn_lstm
notebooks/methods/head_control
notebooks/methods/readout
notebooks/methods/s[!a]*
notebooks/methods/*
```

```{toctree}
:hidden:
:caption: Running and extending
:glob:
docs/*
CONTRIBUTING
```

```{toctree}
:hidden:
:caption: Speed
:glob:
sharedlabel/*/README
benchmarks/*
```
"""


def adapt_source(app: Sphinx, name: str, source: list[str]) -> None:
    """The few things that a host and JupyterLab do in another way than Sphinx: contents, anchors in capitals, links to folders."""
    source[0] = re.sub(r"(\]\((?!https?:)[^)#\s]*)(#[\w-]+)", lambda link: link[1] + link[2].lower(), source[0])
    if name == root_doc:
        source[0] = re.sub(r"\]\((sharedlabel/\w+)\)", link_of_room, source[0]) + CONTENTS


def link_of_room(link: re.Match) -> str:
    """A link to a folder of the package leads to its README, or to its code."""
    readme = Path(link[1]) / "README.md"
    return f"]({readme if (ROOT / readme).exists() else Path(link[1]) / '__init__.py'})"


def adapt_outputs(app: Sphinx, doctree: nodes.document) -> None:
    """Alternative texts of figures, from the notebook's metadata; and links to notebooks in tables that are HTML already."""
    file = Path(app.env.doc2path(app.env.docname))
    texts = alternative_texts(file) if file.suffix == ".ipynb" else {}
    for image in doctree.findall(nodes.image):
        image.attributes.setdefault("alt", texts.get(Path(image["uri"]).stem, ""))
    for raw in doctree.findall(nodes.raw):
        html = raw.astext()
        raw.children = [nodes.Text(adapt_html(html) if "<t" in html else html)]
        for anchor in re.findall(r'id="(claim-[\w-]+)"', html):  # so that links to it are found, as those to headings are
            app.env.metadata[app.env.docname].setdefault("myst_slugs", {})[anchor] = (0, anchor, "claim")


def adapt_html(html: str) -> str:
    """Tables that notebooks bring: links lead to pages; each cell says which column it is of, for a phone, where rows become blocks.

    A table without verdicts and long words stays a table on a phone: it scrolls.
    """
    content = BeautifulSoup(html, "html.parser")
    for link in content.select("a[href]"):
        link["href"] = re.sub(r"^([^:]+)\.ipynb", r"\1.html", link["href"])
    for table in content.find_all("table"):
        names = [cell.get_text() for cell in table.select("thead th")]
        for row in table.select("tbody tr"):
            for name, cell in zip(names, row.find_all("td")):
                cell["data-label"] = name
        if "verdict" in names or any(len(cell.get_text()) > LONG_WORDS for cell in table.select("tbody td")):
            table["class"] = "stack"
    return str(content)


def alternative_texts(notebook: Path) -> dict[str, str]:
    """Those of an executed notebook's pictures, by the names that myst-nb gives their files: their hashes."""
    found = {}
    for cell in json.loads(notebook.read_text())["cells"]:
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                name = hashlib.sha256(base64.b64decode(output["data"]["image/png"])).hexdigest()
                found[name] = output["metadata"].get("image/png", {}).get("alt", "")
    return found


def write_formula(display: str):
    """A visitor that writes a formula as MathML; one that may be wider than a phone in a box that scrolls."""
    def visit(translator, node: nodes.Element) -> None:
        formula = convert(node.astext(), display=display)
        box = "div" if display == "block" else "span" if len(node.astext()) > 30 else ""
        translator.body.append(f'<{box} class="formula">{formula}</{box}>' if box else formula)
        raise nodes.SkipNode
    return visit


def copy_first_page(app: Sphinx, exception: Exception | None) -> None:
    """A host opens `index.html`."""
    if not exception and app.builder.format == "html":
        shutil.copyfile(Path(app.outdir) / f"{root_doc}.html", Path(app.outdir) / "index.html")


def setup(app: Sphinx) -> None:
    app.connect("source-read", adapt_source)
    app.connect("doctree-read", adapt_outputs)
    app.connect("build-finished", copy_first_page)
    app.add_html_math_renderer("mathml", (write_formula("inline"), None), (write_formula("block"), None))
