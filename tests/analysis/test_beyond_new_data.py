"""What was found past the paper is judged on another folder's records by the same rules."""
import pandas as pd
import pytest
from made_records import write_run

from sharedlabel.analysis import beyond_new_data, comparisons

DENSE = {"model": "mlp", "pool": 4, "width": 16}


def made(results, dataset: str, dense: float) -> None:
    """Five seeds of Conv with 50 % of tuples, of LDA on it with 97 %, and of a small dense network, which costs less, with `dense` %."""
    for seed in range(5):
        shared = {"dataset": dataset, "seed": seed, "n": [5, 40, 80]}
        cnn = shared | {"model": "conv", "rho": 3.5}
        write_run(results, dict.fromkeys((5, 40, 80), 50 + 0.1 * seed), **cnn)
        write_run(results, dict.fromkeys((5, 40, 80), 97 + 0.2 * seed), "readout", readout="lda", **cnn)
        write_run(results, dict.fromkeys((5, 80), dense + 0.3 * seed), "small_dense", macs=20, rho=0.0, **shared | DENSE | {"n": [5, 80]})


@pytest.fixture
def judged(tmp_path):
    """Verdicts on a folder of FashionMNIST, where a dense network is better than Conv but not than its readout, and a folder of MNIST."""
    made(tmp_path / "known", "mnist", 99.0)
    made(tmp_path / "new", "fashionmnist", 60.0)
    return comparisons.judge_claims(beyond_new_data.CLAIMS, beyond_new_data.select_runs(tmp_path / "new")), tmp_path / "known"


def test_a_claim_is_decided_by_the_new_records_alone_and_stands_beside_its_old_verdict(judged):
    found, known = judged
    table = beyond_new_data.tabulate(found, known).set_axis(list(beyond_new_data.known_claims()))
    for claim, before, after in [("lda-averaging", "holds", "holds"), ("lda-limit", "holds", "holds"), ("dense-flops", "holds", "fails"),
                                 ("law-large-n", "no runs yet", "no runs yet"), ("mlp-lstm", "no runs yet", "no runs yet")]:
        assert tuple(table.loc[claim, ["before", "FashionMNIST"]]) == (before, after), claim
    cases = pd.concat(found.values())["case"]
    assert len(cases) and cases.str.contains("FashionMNIST").all()


def test_claims_have_names_of_their_own_and_the_rules_of_the_old_ones():
    for (_, claim), new in zip(beyond_new_data.known_claims().values(), beyond_new_data.CLAIMS):
        assert new.id == f"new-{claim.id}" and new.rule == claim.rule and claim.words in new.words
