"""Executed notebooks: a figure taken out of one, and figures made smaller.

    python -m sharedlabel.analysis.notebooks extract NOTEBOOK HEADING TARGET
    python -m sharedlabel.analysis.notebooks shrink NOTEBOOK...
"""
import argparse
import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

PLACES = 2 ** np.array([16, 8, 0])  # a colour as one number


def extract(notebook: str, heading: str, target: str) -> None:
    """Write the first figure below a heading of an executed notebook to a PNG file, for the README."""
    cells = json.loads(Path(notebook).read_text())["cells"]
    start = next(i for i, cell in enumerate(cells) if "".join(cell["source"]).startswith(heading))
    outputs = [output for cell in cells[start:] for output in cell.get("outputs", [])]
    picture = next(output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {}))
    Path(target).write_bytes(base64.b64decode(picture))


def shrink(*notebooks: str) -> None:
    """Give the figures in executed notebooks 256 colours each, which nobody sees and which makes them a third as large.

    Half of these are the most frequent ones as they are, so that faint areas stay apart; the others keep those of a legend's few pixels.
    The state of widgets is dropped: sliders are made anew where there is a kernel, and without one they can do nothing.
    """
    for notebook in map(Path, notebooks):
        content = json.loads(notebook.read_text())
        content["metadata"].pop("widgets", None)
        for output in (output for cell in content["cells"] for output in cell.get("outputs", []) if "image/png" in output.get("data", {})):
            whole, small = Image.open(io.BytesIO(base64.b64decode(output["data"]["image/png"]))), io.BytesIO()
            if whole.mode != "P":  # not yet
                whole = whole.convert("RGB")
                counts, colours = map(np.array, zip(*whole.getcolors(whole.width * whole.height)))
                rare = np.reshape(whole.quantize(128, method=Image.Quantize.MAXCOVERAGE).getpalette(), (-1, 3))
                palette = np.concatenate([colours[counts.argsort()[::-1][:128]], rare])
                nearest = ((colours[:, None] - palette) ** 2).sum(2).argmin(1).astype(np.uint8)
                places = np.zeros(2**24, np.uint8)
                places[colours @ PLACES] = nearest
                few = Image.fromarray(places[np.asarray(whole, int) @ PLACES])
                few.putpalette(palette.astype(np.uint8).tobytes())
                few.save(small, "png", optimize=True)
                output["data"]["image/png"] = base64.encodebytes(small.getvalue()).decode()
        notebook.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=["extract", "shrink"])
    parser.add_argument("arguments", nargs="+")
    given = parser.parse_args()
    if given.verb == "extract" and len(given.arguments) != 3:
        parser.error("extract takes a notebook, a heading and a target")
    {"extract": extract, "shrink": shrink}[given.verb](*given.arguments)
