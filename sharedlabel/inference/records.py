"""A record found by its name, or by the beginning of it."""
import difflib
import os
from pathlib import Path

from sharedlabel import ROOT
from sharedlabel.runs import names
from sharedlabel.runs.errors import ParameterError, show

SHOWN = 4  # names in an error message


def find(record: str | Path, results: str | Path = "results") -> Path:
    """The file of a record: `record` is its path, its name, or what only one name in the folder `results` begins with.
    A path is looked for from where Python runs, then from the repository's root.

    ParameterError, which says what is near, where there is none or more than one.
    """
    path = Path(os.path.expanduser(record))
    if path.suffix in (".json", ".safetensors"):
        path = path.with_name(path.name.removesuffix(".safetensors").removesuffix(".large").removesuffix(".json") + ".json")
        found = next((each for each in (path, ROOT / path) if os.path.isfile(each)), None)  # Path's raises below a closed folder
        if found is None:
            raise ParameterError(f"record: there is no file {path}")
        return found
    folder, name = names.results_folder(results), str(record)
    if not os.path.isdir(folder):
        raise ParameterError(f"results: there is no folder {folder}")
    files = {file.stem: file for file in sorted(folder.glob("*/*/*.json"))}
    fitting = [name] if name in files else [each for each in files if each.startswith(name)]
    if len(fitting) == 1:
        return files[fitting[0]]
    where = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    if fitting and name:
        shown = ", ".join(fitting[:SHOWN]) + (", ..." if len(fitting) > SHOWN else "")
        raise ParameterError(f"record: {len(fitting)} names in {where} begin with {show(name)}: {shown}; write more of it")
    near = difflib.get_close_matches(name[:80], files, n=SHOWN, cutoff=0.7)
    raise ParameterError(
        f"record: {show(name)} is no record's name in {where}, nor the beginning of one, nor the path of a .json"
        + (f"; did you mean {', '.join(near)}?" if near else "")
    )
