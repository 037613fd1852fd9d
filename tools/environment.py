"""Makes the environment that `make` works in, or completes it: the versions of requirements.lock, each download checked by its hash.

    python3 tools/environment.py FOLDER [--cpu]

`--cpu` installs nothing but the CPU build of torch, from PyTorch's own index, which has no hashes of ours.
A set-up that was interrupted goes on. An environment that already has a torch within pyproject.toml's range keeps it (the CPU build,
conda's, that of a cluster): neither torch nor CUDA's libraries are downloaded then. Needs nothing but Python's standard library.
"""
import argparse
import contextlib
import fcntl
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMES_WITH_TORCH = re.compile(r"(torch|torchvision|triton|nvidia-[\w-]+|cuda-[\w-]+)==")
# Exits with 0 where torch and torchvision work and are of the versions that pyproject.toml allows, or later ones.
HAS_TORCH = """
import pathlib, re, sys, torch, torchvision
text = pathlib.Path("pyproject.toml").read_text()
for module in torch, torchvision:
    lowest = re.search(rf'"{module.__name__}>=([0-9.]+)"', text)[1]
    found, wanted = ([int(part) for part in re.findall(r"[0-9]+", version)[:2]] for version in (module.__version__, lowest))
    if found < wanted:
        sys.exit(1)
"""


def succeeds(*command) -> bool:
    """Whether a command, run in the checkout, ends with 0; what it prints is not shown."""
    try:
        return subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
    except OSError:  # there is no such program
        return False


def install_cpu_torch(folder: Path) -> None:
    """The CPU build of the lock's torch and torchvision, a tenth of what PyPI's, with CUDA's libraries, would be."""
    wanted = re.findall(r"^(?:torch|torchvision)==\S+", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    index = os.environ | {"PIP_INDEX_URL": "https://download.pytorch.org/whl/cpu"}
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *wanted], check=True, env=index)
    (folder / "made-from").unlink(missing_ok=True)  # of an earlier set-up: this torch is kept by the next one


def without_torch(hashed: str) -> str:
    """The requirements without torch and what comes with it; a requirement is a line and the indented lines below it."""
    entries = re.split(r"\n(?=[A-Za-z])", hashed)
    return "\n".join(entry for entry in entries if not COMES_WITH_TORCH.match(entry))


def create(folder: Path) -> None:
    """A virtual environment with pip, also where there is one whose set-up was interrupted before it had pip."""
    if not succeeds(folder / "bin" / "python", "-m", "pip", "--version"):
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)


def contents() -> str:
    """What an environment is made from, as the Makefile compares it."""
    return (ROOT / "requirements.lock").read_text() + (ROOT / "pyproject.toml").read_text()


@contextlib.contextmanager
def alone(folder: Path):
    """Wait until no other process makes this environment; a file system without locks hinders nobody."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "being-made").open("w") as file:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install(folder: Path) -> None:
    """What requirements.lock names and this package go into the environment; from what it was made is written down at the end."""
    python, own_torch, made_from = folder / "bin" / "python", folder / "keeps-its-torch", folder / "made-from"
    has_torch = succeeds(python, "-c", HAS_TORCH)
    if has_torch and not made_from.exists():
        own_torch.touch()
    elif not has_torch:  # none, or its own is one no more: pyproject.toml wants a later one
        own_torch.unlink(missing_ok=True)
        made_from.touch()  # after a kill the torch that pip brings now is not taken for one of its own
    hashed = (ROOT / "requirements.hashes").read_text()
    if own_torch.exists():
        print(f"{folder} keeps the torch that it has", flush=True)
        hashed = without_torch(hashed)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(hashed)
        requirements.flush()
        subprocess.run([*pip, "--require-hashes", "--requirement", requirements.name], check=True)
    subprocess.run([*pip, "--no-build-isolation", "--editable", ROOT], check=True)
    made_from.write_text(contents())


if __name__ == "__main__":
    if sys.version_info < (3, 11):  # noqa: UP036, the Python that it may be started with
        sys.exit("needs Python 3.11 or later: make PYTHON=...")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cpu", action="store_true", help="PyTorch without CUDA")
    arguments = parser.parse_args()
    target = arguments.folder.absolute()
    if set(":{}") & set(str(target)):  # PATH is split at colons, setuptools puts variables into braces
        sys.exit(f"{target}: an environment cannot be in a folder with a colon or braces in its path; make VENV=FOLDER puts it elsewhere")
    print(f"making the environment in {target}, a few minutes the first time", flush=True)
    try:
        with alone(target):
            create(target)
            if arguments.cpu:
                install_cpu_torch(target)
            elif not (made := target / "made-from").exists() or made.read_text() != contents():  # unless another process made it meanwhile
                install(target)
    except subprocess.CalledProcessError as error:
        sys.exit(f"the environment is not complete ({error.cmd[0]} ended with {error.returncode}); the same command goes on")
