"""Copies of the notebooks to try things out in: what JupyterLab saves there changes neither a grid nor what is committed.

    python3 tools/lab.py FOLDER

A copy follows its original as long as nobody has edited a cell of it. `params/` and `results/` beside the copies, to which notebooks have
links, are the real ones. Needs nothing but Python's standard library.
"""
import argparse
import hashlib
import json
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def digest_cells(notebook: Path) -> str:
    """Of what stands in a notebook's cells; outputs, and what JupyterLab notes on the kernel, are no edit."""
    sources = [[cell["cell_type"], "".join(cell["source"])] for cell in json.loads(notebook.read_text())["cells"]]
    return hashlib.sha256(json.dumps(sources).encode()).hexdigest()


def refresh(folder: Path, source: Path = ROOT) -> list[str]:
    """Bring the copies in `folder` of the notebooks below `source` up to date; returns a line for each that was edited and is outdated."""
    written_down = folder / ".copied.json"  # by path: the digests of the original (whole, its cells) when it was copied
    copied = json.loads(written_down.read_text()) if written_down.exists() else {}
    outdated = []
    for notebook in sorted(source.glob("notebooks/**/*.ipynb")):
        name = str(notebook.relative_to(source))
        copy, new = folder / name, [hashlib.sha256(notebook.read_bytes()).hexdigest(), digest_cells(notebook)]
        if ".ipynb_checkpoints" in name or (copy.exists() and copied.get(name) == new):
            continue
        if copy.exists() and digest_cells(copy) not in (new[1], copied.get(name, new)[1]):
            outdated.append(f"{copy} was edited, and its original has changed since: remove the copy for a new one")
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(notebook, copy)
        copied[name] = new
    part = written_down.with_suffix(".part")
    part.write_text(json.dumps(copied, indent=1))
    part.replace(written_down)  # who is killed leaves a whole one
    for name in ("params", "results"):
        if not (folder / name).exists():
            (folder / name).unlink(missing_ok=True)  # of a checkout that was moved
            (folder / name).symlink_to(source / name)
    return outdated


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    print("".join(f"{line}\n" for line in refresh(parser.parse_args().folder)), end="", flush=True)
