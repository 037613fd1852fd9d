"""The notebook of section 5.2 on made-up records whose verdicts are known; nbval executes it on the real ones."""
import json

import numpy as np
import papermill
import pytest

from sharedlabel import ROOT, parameters, records

SIZES = [1, 25, 80]
PART = {"params_total": 260384, "params_remaining": 83, "macs_dense": 1000, "macs_live": 40}


def save(results, method: str, seed: int, accuracies: list[float], **given) -> None:
    """A record of MNIST Conv at rho 3.5 with these n-accuracies in per cent at n = 1, 25, 80; its epochs zigzag about them by one."""
    given = {"dataset": "mnist", "model": "conv", "rho": 3.5, "seed": seed, "n": SIZES} | given
    measures = [
        {"n": n, "protocol": protocol, "tuples": 10_000 // n, "n_accuracy": accuracy / 100, "n_accuracy_low": 0.0, "n_accuracy_high": 1.0,
         "macs_live": 40 * n, "information_gain": 1.0, "information_gain_corrected": 1.0, "relative_information": 1.0}
        for protocol in ("disjoint", "random") for n, accuracy in zip(SIZES, accuracies)
    ]
    zigzag = 0.01 * np.resize([-1.0, 1.0], 30)
    curves = {f"n_accuracy_{n}": list(accuracy / 100 + zigzag) for n, accuracy in zip(SIZES, accuracies)} | {"train_loss": [1.0] * 30}
    records.save({
        "params": parameters.result_params(method, parameters.check(method, given)), "status": "ok", "network": {"cnn": PART},
        "measures": measures, "epochs": {"best": 30, "stopped": "limit", "curves": curves},
        "provenance": {"versions": {}, "device": "cpu", "seconds": 60.0, "commit": "", "time": ""},
    }, results)


@pytest.fixture(scope="module")
def said(tmp_path_factory) -> str:
    """What the notebook prints where balanced is 5 points behind at n = 1 and 8 ahead at n = 80, freeze-and-retrain 3 ahead."""
    folder = tmp_path_factory.mktemp("section")
    for seed, noise in enumerate((-0.4, 0.0, 0.5)):
        baseline = np.array([40.0, 70.0, 80.0]) + 3 * noise
        save(folder / "results", "baseline", seed, list(baseline))
        save(folder / "results", "balanced", seed, list(baseline + [-5 + noise, 1 + noise, 8 + noise]))
        save(folder / "results", "freeze_retrain", seed, list(baseline + [0, 0, 3 + noise]))
        save(folder / "results", "balanced", seed, list(baseline + [-9 + noise, -2, 3]), lam=0.0)
    save(folder / "results", "balanced", 0, [35.0, 70.0, 90.0], tuple_size=25)
    papermill.execute_notebook(
        str(ROOT / "notebooks" / "sections" / "section_5_2.ipynb"), str(folder / "executed.ipynb"), {"results": str(folder / "results")},
        kernel_name="python3", progress_bar=False, cwd=str(ROOT),
    )
    outputs = [output for cell in json.loads((folder / "executed.ipynb").read_text())["cells"] for output in cell.get("outputs", [])]
    return "".join("".join(output.get("text", "")) for output in outputs)


@pytest.mark.parametrize("line", [
    "n = 80: balanced 88.1, baseline 80.1, difference +8.0 ± 1.1 points, 3 pairs; 30 and 30 epochs of at most 160 -> holds",
    "n = 1: baseline 40.1, balanced 35.1, difference +5.0 ± 1.1 points, 3 pairs; 30 and 30 epochs of at most 160 -> holds",
    "n = 80: freeze_retrain 83.1, baseline 80.1, difference +3.0 ± 1.1 points, 3 pairs; 30 and 30 epochs of at most 160 -> holds",
    "n = 80: freeze_retrain 83.1, balanced 88.1, difference -5.0 ± 0.0 points, 3 pairs; 30 and 30 epochs of at most 160 -> fails",
    "-> holds (of 1 rows: 1 holds, 0 fails, 0 cannot tell; the paper has 7)\n",
    "-> holds (of 1 rows: 1 holds, 0 fails, 0 cannot tell; the paper has 7); almost always: in 86% of the rows",
    "-> fails (of 1 rows: 0 holds, 1 fails, 0 cannot tell; the paper has 7)",
])
def test_each_claim_gets_its_verdict(said, line):
    assert line in said


def test_the_n_of_overtaking_is_told_with_its_uncertainty(said):
    assert "MNIST, Conv, ρ = 3.5: balanced is ahead from n = 25 on (95 %: 25 to 80; never up to n = 80 in " in said
    assert "surely ahead at n = 80, surely behind at n = 1\n" in said


def test_the_papers_number_is_compared_in_points(said):
    assert "80     125   94.2 88.9 to 97.3  88.1 4.5        -6.0      3     no          yes" in said
    assert "CIFAR-10, ResNet-18, ρ = 4.5\nbaseline: no runs yet\nbalanced: no runs yet" in said


def test_lambda_0_is_compared_with_the_usual_one(said):
    assert "n = 1: -4.0 ± 0.0 points, 3 pairs\nn = 80: -5.0 ± 1.1 points, 3 pairs\n-> holds" in said
    assert "λ = 1 and the baseline: no pair of runs yet" in said


def test_the_papers_gap_is_read_against_the_zigzag_of_training(said):
    assert "n = 80: the paper's gap is +7.5 points; what single runs differ by anyway: epochs: ±2.9, beyond; seeds: ±4.4, beyond" in said


def test_what_is_missing_is_counted(said):
    assert "of the study table_1 (params/table_1.yaml), 0 of 135 runs are in" in said
