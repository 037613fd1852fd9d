"""The facts that are committed of a data set are those of its data."""
import pytest

from sharedlabel import choices, data
from sharedlabel.data import facts, tinyimagenet


def committed(name: str) -> facts.Facts:
    return facts.loads((facts.FOLDER / f"{name}.json").read_text())


def test_digits():
    assert committed("digits") == facts.of_data("digits")


def test_mnist(mnist):
    assert committed("mnist") == facts.of_data("mnist")


def test_cifar(cifar):
    assert committed(cifar[0]) == facts.of_data(cifar[0])
    assert committed("cifar10").classes[3] == "cat" and committed("cifar100").classes[88] == "tiger"


@pytest.mark.slow
def test_tinyimagenet():
    if not (data.root() / f"{tinyimagenet.NAME}.safetensors").exists():
        pytest.skip("needs Tiny ImageNet, decoded (set SHAREDLABEL_DATA)")
    assert committed("tinyimagenet") == facts.of_data("tinyimagenet")
    assert committed("tinyimagenet").classes[0] == "goldfish" and len(set(committed("tinyimagenet").classes)) == 200


def test_they_are_small():
    assert all(file.stat().st_size < 4096 for file in facts.FOLDER.iterdir())


@pytest.mark.parametrize("name", sorted(file.stem for file in facts.FOLDER.glob("*.json")))
def test_they_are_of_a_data_set_as_it_is_registered(name):
    assert committed(name).shape[0] == choices.DATASETS[name].channels
    assert facts.loads(facts.dumps(committed(name))) == committed(name)


@pytest.mark.parametrize("wrong", [{"shape": (1, 0, 8)}, {"scale": [1.0, 1.0]}, {"classes": []}, {"white": 0}])
def test_facts_that_do_not_fit_together_are_refused(wrong):
    fitting = {"shape": (1, 8, 8), "scale": [1.0], "shift": [0.0], "classes": ["a", "b"]}
    facts.Facts(**fitting)
    with pytest.raises(ValueError):
        facts.Facts(**fitting | wrong)
