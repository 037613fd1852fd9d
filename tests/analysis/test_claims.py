"""The scoreboard says what the records say, and the README what the scoreboard says."""
import pandas as pd
import pytest
from made_records import write_run

from sharedlabel import ROOT
from sharedlabel.analysis import claims, comparisons, report


@pytest.fixture(scope="module")
def board() -> pd.DataFrame:
    return claims.scoreboard()


def test_every_claim_has_a_verdict_and_a_notebook_that_decides_it(board):
    assert set(board["verdict"]) <= {*report.VERDICT_COLOURS, comparisons.NO_RUNS} and board["id"].is_unique
    for name in set(board["section"]):
        assert (ROOT / "notebooks" / "sections" / f"{name}.ipynb").exists()


def test_the_readme_says_what_the_records_say(board):
    """`make claims` writes it; prose above the table has to be read again whenever this fails."""
    text = (ROOT / "README.md").read_text()
    assert claims.between_markers(text, claims.short_form(board)) == text


def test_the_readme_is_of_one_screen():
    text = (ROOT / "README.md").read_text()
    assert text.count("\n") <= 150 and len(text.split()) <= 1200


def small_board(*verdicts: tuple[str, bool]) -> pd.DataFrame:
    rows = [{"id": f"c{i}", "claim": f"claim {i} | x", "verdict": verdict, "ours": ours, "section": "section_5_1", "source": "section 2",
             "paper": "", "mnist_alone": i == 1, "estimate": "1 ± 2 (points)", "cases": f"{verdict} 1",
             "hold": int(verdict == "holds"), "fail": int(verdict == "fails"), "open": 0, "open_against": 0, "untested": 0}
            for i, (verdict, ours) in enumerate(verdicts)]
    return pd.DataFrame(rows)


def test_verdicts_are_counted_of_the_papers_claims_alone():
    board = small_board(("holds", False), ("fails", False), ("fails", True), ("cannot tell", False), ("fails", False),
                        ("not tested", False))
    counted = "Verdicts on the paper's 5 claims: holds 1, fails 2, open (*cannot tell*) 1, not tested 1; 1 rest on MNIST alone. "
    assert claims.count_verdicts(board).startswith(counted)


def test_the_short_form_has_a_row_a_claim_of_the_paper():
    board = small_board(("holds", False), ("fails", True), ("fails", False), ("cannot tell", False), ("cannot tell", False))
    board.loc[2:, ["open", "open_against", "untested"]] = [[8, 3, 0], [2, 0, 4], [0, 0, 5]]
    link = "notebooks/sections/section_5_1.ipynb#claim-c"
    assert claims.short_form(board).split("\n")[-4:] == [
        f"|Claim 0 \\| x|[holds]({link}0)|1|||", f"|Claim 2 \\| x|[fails]({link}2)||1|8 (3)|",
        f"|Claim 3 \\| x|[open]({link}3)|||2, 4 untested|", f"|Claim 4 \\| x|[open]({link}4)|||5 untested|",
    ]


def test_a_block_goes_between_the_markers_and_nowhere_else():
    text = f"before\n{claims.BEGIN}\nold\n{claims.END}\nafter\n"
    assert claims.between_markers(text, "new") == f"before\n{claims.BEGIN}\nnew\n{claims.END}\nafter\n"
    for wrong in ("no markers", text + claims.BEGIN, text.replace(claims.END, "")):
        with pytest.raises(ValueError, match="the text needs the lines"):
            claims.between_markers(wrong, "new")


def test_the_command_writes_between_the_markers_or_prints(board, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(claims, "scoreboard", lambda: board)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{claims.BEGIN}\n{claims.END}\nafter\n")
    monkeypatch.setattr("sys.argv", ["claims", str(page)])
    claims.main()
    assert page.read_text() == claims.between_markers(page.read_text(), claims.short_form(board)) and not capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["claims"])
    claims.main()
    printed = capsys.readouterr().out
    assert claims.count_verdicts(board) in printed and printed.count("section_5_1") == (board["section"] == "section_5_1").sum()


@pytest.mark.parametrize("method", ["baseline", "freeze_retrain", "readout"])
def test_a_folder_of_one_method_has_a_scoreboard(method, tmp_path):
    for seed in range(3):
        write_run(tmp_path, {1: 90, 5: 99}, method, dataset="mnist", model="conv", rho=3.0, seed=seed, n=[1, 5])
    found = claims.scoreboard(str(tmp_path))
    assert set(found.loc[found["section"].isin(["section_5_3", "appendix_a_3"]), "verdict"]) <= {comparisons.NO_RUNS, "not tested"}
    assert not found["mnist_alone"].all()


def test_without_records_the_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        claims.scoreboard(tmp_path)
