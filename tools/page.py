"""nbconvert's settings for one notebook as a page that needs no network: `nbconvert --config tools/page.py NOTEBOOK`."""
import re

from latex2mathml.converter import convert
from nbconvert.preprocessors import Preprocessor


class Formulas(Preprocessor):
    """Formulas become MathML, which browsers draw by themselves."""

    def preprocess_cell(self, cell, resources, index):
        if cell.cell_type == "markdown":
            cell.source = re.sub(r"(\$\$?)(.+?)\1", as_mathml, cell.source, flags=re.DOTALL)
        return cell, resources


def as_mathml(formula: re.Match) -> str:
    return convert(formula[2], display="block" if formula[1] == "$$" else "inline")


c = get_config()  # noqa: F821, traitlets has it here
c.NbConvertApp.export_format = "html"
c.NbConvertApp.log_level = "WARN"
c.HTMLExporter.template_file = "tools/page.html.j2"
c.HTMLExporter.preprocessors = [Formulas]
c.TagRemovePreprocessor.enabled = True
c.TagRemovePreprocessor.remove_input_tags = {"hide-input"}
