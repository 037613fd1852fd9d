"""What a decorator registers is known without executing its file, stands in its place, and is the function that is called."""
import subprocess
import sys

import pytest
import torch
from torch import nn

from sharedlabel import ROOT, choices, data, models, pruning


@pytest.mark.parametrize("entries, found", [
    (choices.DATASETS, data.READERS), (choices.MODELS, {name: models.BUILDERS[name] for name in choices.MODELS}),
    (choices.PRUNERS, pruning.PRUNERS),
], ids=["data sets", "networks", "pruners"])
def test_every_name_has_its_function(entries, found):
    assert list(found) == list(entries)
    for name, entry in entries.items():
        assert f"{found[name].__module__}:{found[name].__name__}" == entry.place and found[name].__name__.lower() == name


def test_data_sets_stand_in_the_order_of_their_images_and_classes():
    known = [name for name, entry in choices.DATASETS.items() if entry.side]
    assert known == sorted(known, key=lambda name: (choices.pixels(choices.DATASETS[name]), choices.DATASETS[name].classes))
    assert [name for name in known if name in choices.PAPER_DATASETS] == list(choices.PAPER_DATASETS)
    assert [name for name in choices.PRUNERS if name in choices.PAPER_PRUNERS] == list(choices.PAPER_PRUNERS)


SOURCE = '''
@choices.Pruner("Mine")
def mine(network): ...

@other("x")
@choices.Network("Its title", channels=3)
class Theirs: ...

def none(): ...
'''


def test_decorators_are_read_and_not_executed(tmp_path, monkeypatch):
    monkeypatch.setattr(choices, "PACKAGE", tmp_path)
    (tmp_path / "a.py").write_text("raise SystemExit\n" + SOURCE)
    assert choices.registered(choices.Pruner, tmp_path / "a.py") == {"mine": choices.Pruner("Mine", f"{tmp_path.name}.a:mine")}
    assert choices.registered(choices.Network, tmp_path / "a.py")["theirs"].channels == 3


def test_a_name_that_is_registered_twice_is_refused_with_both_places(tmp_path, monkeypatch):
    monkeypatch.setattr(choices, "PACKAGE", tmp_path)
    files = [tmp_path / f"{name}.py" for name in "ab"]
    for file in files:
        file.write_text(SOURCE)
    with pytest.raises(ValueError, match=r"mine is registered twice, as .*\.a:mine and as .*\.b:mine"):
        choices.registered(choices.Pruner, *files)


@pytest.mark.parametrize("decorator, message", [
    ('@choices.Pruner(TITLE)', "a:mine, line 1: a decorator's arguments are literals .*TITLE|a:mine, line 1: .* literals"),
    ('@choices.Pruner("Mine", speed=3)', "a:mine, line 1: .*speed"),
    ('@choices.DataSet("Mine", channels=1, side=8, classes=2)', "a:mine, line 1: the decorator lacks smallest_class, largest_tuple"),
])
def test_a_decorator_that_cannot_be_read_is_named(decorator, message, tmp_path, monkeypatch):
    monkeypatch.setattr(choices, "PACKAGE", tmp_path)
    (tmp_path / "a.py").write_text(f"{decorator}\ndef mine(): ...\n")
    with pytest.raises(ValueError, match=message):
        choices.registered(choices.DataSet if "DataSet" in decorator else choices.Pruner, tmp_path / "a.py")


def test_the_choices_are_read_without_torch():
    script = "import sys; from sharedlabel import choices; print(len(choices.PRUNERS) > 4, {'torch', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT).stdout == "True set()\n"


@pytest.mark.parametrize("name", choices.MODELS)
def test_a_network_has_as_many_layers_with_weights_as_it_is_registered_with(name):
    network = models.build(name, (3, 32, 32), 10, torch.Generator())
    assert sum(isinstance(module, (nn.Linear, nn.Conv2d)) for module in network.modules()) == choices.MODELS[name].layers
