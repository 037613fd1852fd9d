"""What section notebooks show: estimates in words, tables as HTML and as plain text, verdicts on claims."""
import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sharedlabel.analysis import comparisons, report


@pytest.fixture
def displayed(monkeypatch) -> list:
    """What is displayed, with its metadata."""
    found = []
    monkeypatch.setattr(report, "display", lambda content, raw=False, metadata=None: found.append((content, metadata)))
    return found


@pytest.mark.parametrize("estimate, text", [
    ((10.42, 6.09, 14.75), "10.4 ± 4.3"),
    ((-28.2, -41.1, -15.3), "−28 ± 13"),
    ((0.0123, 0.0110, 0.0136), "0.0123 ± 0.0013"),
    ((2.5, 2.5, 3.0), "2.5 (2.5 to 3)"),
    ((3.0, 3.0, 3.0), "3 ± 0"),
    ((99.99, 99.9897, 99.9903), "99.99 ± 0.00"),
    ((0.9634, np.nan, np.nan), "0.963"),
    ((np.nan, np.nan, np.nan), "-"),
])
def test_an_estimate_has_two_significant_digits_of_its_interval(estimate, text):
    assert report.format_estimate(*estimate) == text


def test_a_table_is_shown_as_html_and_as_plain_text(displayed):
    frame = pd.DataFrame({"case": ["a < b", "c"], "seeds": [3, np.nan], "share": [0.12345, 10_000.0], "verdict": ["holds", "cannot tell"]})
    report.show_table(frame, "Shares & seeds")
    [(content, _)] = displayed
    assert "Shares &amp; seeds</span></caption>" in content["text/html"] and "a &lt; b</td>" in content["text/html"]
    assert re.search(r'text-align: right">0.123</td>', content["text/html"])
    assert re.search(r'text-align: left; white-space: nowrap; font-weight: bold; color: #0072b2">holds</td>', content["text/html"])
    lines = r"Shares & seeds\n +case +seeds +share +verdict\n *a < b +3 +0.123 +holds\n +c +- 10,000 cannot tell$"
    assert re.search(lines, content["text/plain"])


def test_a_named_index_is_part_of_the_table_and_a_long_table_is_collapsed(displayed):
    frame = pd.DataFrame({"value": range(report.LONG + 1)})
    report.show_table(frame.rename_axis("n"), "Long")
    report.show_table(frame, "Long, but open", collapsed=False)
    (long, _), (open_, _) = displayed
    assert long["text/html"].startswith("<details><summary>Long</summary>") and long["text/html"].count(">16</td>") == 2
    assert "<details>" not in open_["text/html"] and open_["text/html"].count(">16</td>") == 1


@pytest.mark.parametrize("number, text", [
    (0.5, "0.5"), (754, "750"), (999.4, "1 k"), (19_231, "19 k"), (1_234_567, "1.2 M"), (4.36e7, "44 M"), (2e12, "2000 G"),
])
def test_a_large_number_has_two_digits_and_a_letter(number, text):
    assert report.format_count(number) == text


@pytest.mark.parametrize("value, text", [(1234.5, "1,234"), (12.0, "12"), (-0.12345, "−0.123"), (np.nan, "-"), ("2 ± 1", "2 ± 1")])
def test_a_cell(value, text):
    assert report.format_cell(value) == text


def test_nothing_to_show_is_said(displayed):
    report.show_table(pd.DataFrame(), "Accuracies")
    report.show_table(pd.DataFrame(), "Points (* significant)")
    report.show_figure(None, "a curve")
    assert [content.data for content, _ in displayed] == [
        "*Accuracies: no runs yet.*", r"*Points (\* significant): no runs yet.*", "*No runs to draw yet.*",
    ]


def test_numbers_and_short_words_stay_on_a_line_and_long_words_are_not_squeezed(displayed):
    points = ["2.5 (2 to 3)*", "−1 ± 2 ✓"]
    frame = pd.DataFrame({"network": ["a network of many words, ρ = 3.25", "b"], "points": points, "known": ["by the law"] * 2})
    report.show_table(frame, "Points")
    heads, cells = (re.findall(rf'<{tag} style="([^"]*)">', displayed[0][0]["text/html"]) for tag in ("th", "td"))
    assert heads == ["text-align: left; min-width: 6em", "text-align: right", "text-align: left"]
    assert cells[:3] == ["text-align: left", "text-align: right", "text-align: left; white-space: nowrap"]
    shown = set(re.findall(r">([^<>]+)</td>", displayed[0][0]["text/html"]))
    assert {"2.5 (2\xa0to\xa03)*", "−1\xa0±\xa02\xa0✓", "a network of many words, ρ\xa0=\xa03.25"} <= shown


def test_a_figure_is_shown_once_with_its_alternative_text(displayed):
    figure, _ = plt.subplots()
    report.show_figure(figure, "two curves that cross")
    [(content, metadata)] = displayed
    assert content["text/plain"] == metadata["image/png"]["alt"] == "two curves that cross"  # nbval compares the former alone
    assert Image.open(io.BytesIO(base64.b64decode(content["image/png"]))).width > 300 and not plt.fignum_exists(figure.number)


def test_a_long_table_is_written_with_six_digits(tmp_path):
    report.write_long_table(pd.DataFrame({"rho": [1.5], "value": [1 / 3]}), "section_what", tmp_path)
    report.write_long_table(pd.DataFrame(), "section_nothing", tmp_path)
    assert [file.name for file in (tmp_path / "tables").iterdir()] == ["section_what.csv"]
    assert (tmp_path / "tables" / "section_what.csv").read_text() == "rho,value\n1.5,0.333333\n"


def claim(rows: list[tuple], **more) -> comparisons.Claim:
    made = pd.DataFrame(rows, columns=comparisons.CLAIM_COLUMNS)
    return comparisons.Claim("more", "section 0", "more is more", "points", "it is positive", lambda runs: made, **more)


def test_a_claim_is_summed_up_in_one_row():
    unknown = ("c", 1, *[np.nan] * 4, "cannot tell")
    found = claim([("a", 1, 2.0, 1.0, 3.0, 3, "holds"), ("b", 1, -1.0, -3.0, 1.0, 5, "cannot tell"), unknown])
    [row] = report.claims_table([found], comparisons.judge_claims([found], pd.DataFrame())).to_dict("records")
    assert row == {
        "claim": "more is more", "source": "section 0", "verdict": "cannot tell", "cases": "holds 1, cannot tell 2",
        "estimate": "−1.0 ± 2.0 to 2.0 ± 1.0 (points)", "seeds": "3 to 5",
    }


def test_the_range_of_estimates_is_of_all_cases_and_of_few_seeds_without_an_interval():
    few = ("b", 1, -9.0, -99.0, 81.0, 2, "cannot tell"), ("c", 1, 9.0, np.nan, np.nan, 1, "cannot tell")
    found = claim([("a", 1, 2.0, 1.0, 3.0, 3, "holds"), *few])
    [row] = report.claims_table([found], comparisons.judge_claims([found], pd.DataFrame())).to_dict("records")
    assert (row["estimate"], row["seeds"]) == ("−9 to 9 (points)", "1 to 3")


def test_a_claim_that_fails_shows_the_estimates_of_the_cases_that_fail():
    open_case = ("c", 1, -2.0, -3.0, -0.1, 5, "cannot tell")
    found = claim([("a", 1, 2.0, 1.0, 3.0, 3, "holds"), ("b", 1, -2.0, -3.0, -1.0, 5, "fails"), open_case])
    [row] = report.claims_table([found], comparisons.judge_claims([found], pd.DataFrame())).to_dict("records")
    assert (row["verdict"], row["cases"], row["estimate"], row["seeds"]) == (
        "fails", "holds 1, fails 1, cannot tell 1 (1)", "−2.0 ± 1.0 (points)", "5")


def test_brackets_count_open_cases_on_either_wrong_side_of_what_the_claim_wants():
    ranges = ("a", -3, -1.5), ("b", -2, 0.5), ("c", 1.5, 4)
    rows = [(name, 1, (low + high) / 2, low, high, 5, "cannot tell") for name, low, high in ranges]
    for wanted, contradicted in (((-1, 1), " (2)"), ((0, np.inf), " (1)"), ((0, 1), " (2)"), ((-5, 5), "")):
        found = claim([*rows, ("d", 1, 9.0, np.nan, np.nan, 1, "cannot tell")], wanted=wanted)
        [row] = report.claims_table([found], comparisons.judge_claims([found], pd.DataFrame())).to_dict("records")
        assert row["cases"] == f"cannot tell 4{contradicted}"


def test_a_claim_without_runs_says_so(displayed):
    found = claim([])
    assert report.claims_table([found], {"more": found.rows(pd.DataFrame())}).loc[0, ["verdict", "cases", "seeds"]].tolist() == [
        "no runs yet", "no runs yet", "-"]
    report.show_claim(found, found.rows(pd.DataFrame()))
    assert [content.data for content, _ in displayed] == [
        '<a id="claim-more" data-jupyter-id="claim-more"></a>**Claim** (section 0): more is more. '
        '**Verdict:** <b style="color: #6b6b6b">no runs yet</b>. **Rule:** it is positive.',
        "*more is more: case by case: no runs yet.*",
    ]


def test_a_claim_is_shown_case_by_case(displayed):
    found = claim([("a", 1, 2.0, 1.0, 3.0, 3, "holds")])
    report.show_claim(found, found.rows(pd.DataFrame()))
    assert ">holds</b>" in displayed[0][0].data
    assert re.search(r"case +n +points +seeds +verdict\n +a +1 2.0 ± 1.0 +3 +holds$", displayed[1][0]["text/plain"])
    report.show_claims([found], comparisons.judge_claims([found], pd.DataFrame()))
    assert "more is more" in displayed[2][0]["text/html"]
    assert f'<a href="#{report.anchor("more")}" style="color: inherit">holds</a>' in displayed[2][0]["text/html"]
