"""Nothing that is loaded can run code, and what listens does so on this machine alone. docs/security.md says what is trusted."""
import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from conftest import make_environment

from sharedlabel import ROOT

# Calls that run code found in what they read, or hand text to a shell.
UNSAFE = re.compile(
    r"((c|cloud)?pickle|dill|marshal|shelve|joblib)\.(loads?|open|Unpickler)|(pd|pandas)\.read_pickle|os\.(system|popen)|eval|exec"
    r"|yaml\.(full_load|unsafe_load|load_all|FullLoader|UnsafeLoader)|torch\.(hub|jit)\.load|__import__|importlib\.import_module"
)
FOLDERS = ("sharedlabel", "benchmarks", "tools")
SCRIPTS = ["Snakefile", *(str(file.relative_to(ROOT)) for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))]
NOTEBOOKS = [str(file.relative_to(ROOT)) for file in (ROOT / "notebooks").rglob("*.ipynb") if ".ipynb_checkpoints" not in file.parts]


def source(name: str) -> str:
    text = (ROOT / name).read_text()
    if name.endswith(".ipynb"):
        return "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code")
    return text


def unsafe_calls(text: str) -> list[str]:
    """The calls that could run code which they load; a Snakefile is no Python, and is searched line by line."""
    try:
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    except SyntaxError:
        return [line for line in text.splitlines() if re.search(rf"(?<![\w.])({UNSAFE.pattern})\(|torch\.load|yaml\.load\(", line)]
    found = []
    for call in calls:
        name, keywords = ast.unparse(call.func), {each.arg: ast.unparse(each.value) for each in call.keywords}
        loader = keywords.get("Loader") or (ast.unparse(call.args[1]) if len(call.args) > 1 else "")
        bad = UNSAFE.fullmatch(name) or keywords.get("shell") == "True" or keywords.get("allow_pickle") == "True"
        bad = bad or (name == "torch.load" and keywords.get("weights_only") != "True")
        bad = bad or (name == "yaml.load" and loader not in ("StudyLoader", "yaml.SafeLoader"))
        found += [ast.unparse(call)] * bool(bad)
    return found


@pytest.mark.parametrize("name", [*SCRIPTS, *NOTEBOOKS])
def test_no_code_loads_what_could_run_code(name):
    assert unsafe_calls(source(name)) == []


@pytest.mark.parametrize("text", [
    "pickle.load(f)", "torch.load(f)", "torch.load(f, weights_only=False)", "yaml.load(f, yaml.Loader)", "yaml.load(f)",
    "yaml.unsafe_load(f)", "np.load(f, allow_pickle=True)", "eval(x)", "subprocess.run(x, shell=True)", "pd.read_pickle(f)",
    "rule a:\n    x = pickle.loads(f)",
])
def test_an_unsafe_call_is_found(text):
    assert unsafe_calls(text)


@pytest.mark.parametrize("text", [
    "torch.load(f, weights_only=True)", "yaml.load(f, StudyLoader)", "network.eval()", "ast.literal_eval(x)",
])
def test_a_safe_call_is_not(text):
    assert not unsafe_calls(text)


def test_the_loader_of_studies_is_a_safe_one():
    import yaml

    from sharedlabel.runs import studies
    assert issubclass(studies.StudyLoader, yaml.SafeLoader)
    with pytest.raises(yaml.YAMLError):
        yaml.load("!!python/object/apply:os.system ['true']", studies.StudyLoader)


@pytest.mark.slow
def test_make_lab_listens_on_this_machine_alone_and_asks_for_a_token(tmp_path):
    (tmp_path / ".jupyter").mkdir()
    (tmp_path / ".jupyter" / "jupyter_server_config.py").write_text("c.ServerApp.ip = '0.0.0.0'")  # of another project, years ago
    command = ["make", "-o", "venv", f"VENV={sys.prefix}", f"LAB={tmp_path}/lab", "lab", "FLAGS=--no-browser --allow-root --port=0"]
    variables = make_environment() | {"HOME": str(tmp_path)}
    pipe = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lab = subprocess.Popen(command, cwd=ROOT, env=variables, start_new_session=True, **pipe)
    try:
        address = r"(http://127\.0\.0\.1:(\d+)/)\S*\?token=(\w{20,})"
        url, port, token = next(found for line in lab.stdout if (found := re.search(address, line))).groups()
        for _ in range(100):
            listening = [each for process in psutil.Process(lab.pid).children(recursive=True) for each in process.net_connections("tcp")
                         if each.status == psutil.CONN_LISTEN and each.laddr.port == int(port)]
            if listening:
                break
            time.sleep(0.1)
        assert {each.laddr.ip for each in listening} == {"127.0.0.1"}
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"{url}api/contents")
        assert urllib.request.urlopen(f"{url}api/contents?token={token}").status == 200
    finally:
        os.killpg(lab.pid, signal.SIGTERM)
        lab.wait(30)


def test_committed_files_hold_no_links_that_lead_elsewhere():
    tracked = subprocess.run(["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert tracked and not [name for name in tracked if Path(ROOT / name).is_symlink()]
