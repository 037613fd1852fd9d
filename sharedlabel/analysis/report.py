"""Shows figures, tables and verdicts in a section notebook: HTML for people, and the same as plain text, which nbval compares."""
import html
import math
import re
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
from IPython.core.pylabtools import print_figure
from IPython.display import Markdown, display

from sharedlabel.analysis.comparisons import NO_RUNS, Claim
from sharedlabel.runs import names
from sharedlabel.runs.files import write_atomically

VERDICT_COLOURS = {"holds": "#0072b2", "fails": "#c44500", "cannot tell": "#6b6b6b",
                   "not tested": "#6b6b6b"}  # told apart by the colour-blind, legible on white
LONG = 16  # rows from which on a table is collapsed
NUMBERS = r"(?:[\d.,±−+()\s*✓✗%-]|to)+"  # of a column of numbers, with intervals and marks
SHORT_WORDS = 12  # characters that stay on one line
RIGHT, NO_BREAK = "text-align: right", "\N{NO-BREAK SPACE}"
CLAIMS_CAPTION = ("Verdicts; estimates of the cases that fail where a claim fails, else of all, ± half a 95 % interval over seeds; "
                  "in brackets: of cases that nobody can tell, those whose own interval contradicts the claim")
CAPTION = ('<caption style="caption-side: top; text-align: left; padding-bottom: 0.4em"><span '
           'style="position: sticky; left: 0; display: inline-block; max-width: min(88vw, 45em)">{}</span></caption>')  # as a table scrolls


def format_estimate(estimate: float, low: float = math.nan, high: float = math.nan) -> str:
    """An estimate with its 95 % interval: "10.4 ± 4.3", two significant digits of the half interval and as many decimals before it.

    A skewed interval is written out, "2.5 (2.5 to 3)"; without an interval the estimate has three significant digits; "-" for nan.
    """
    if math.isnan(estimate):
        return "-"
    half = (high - low) / 2
    if math.isnan(half) or half <= 1e-9 * abs(estimate):
        text = format_cell(estimate) + ("" if math.isnan(half) else " ± 0")
    elif math.isclose(high - estimate, half, rel_tol=1e-6):
        decimals = max(0, min(1 - math.floor(math.log10(half)), max(2, 3 - math.floor(math.log10(max(abs(estimate), half))))))
        text = f"{estimate:.{decimals}f} ± {half:.{decimals}f}"
    else:
        text = f"{estimate:.3g} ({low:.3g} to {high:.3g})"
    return text.replace("-", "−")


def format_summary(found: pd.DataFrame, value: str = "mean") -> list[str]:
    """`format_estimate` of every row of a table with the columns `value`, `low` and `high`, such as `intervals.summary` gives."""
    return [format_estimate(*row) for row in zip(found[value], found["low"], found["high"])]


def format_count(number: float) -> str:
    """A large number with two significant digits: 12,345,678 is "12 M"."""
    rounded = float(f"{number:.2g}")
    size = min(max(0, math.floor(math.log10(rounded)) // 3), 3) if rounded >= 1 else 0
    return f"{rounded / 1000**size:g} {['', 'k', 'M', 'G'][size]}".strip()


def stack_networks(found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables by network one below the other, in a column `network`; empty of none."""
    return pd.concat(found, names=["network"]).reset_index("network").reset_index(drop=True) if found else pd.DataFrame(columns=["network"])


def escape_markdown(text: str) -> str:
    """Text as Markdown that shows it as it is: an asterisk is an asterisk."""
    return re.sub(r"([*_`$<\\[\]])", r"\\\1", text)


def anchor(claim_id: str) -> str:
    """The name of the place where a claim is displayed: `section_5_1.ipynb#claim-sweet-spot` leads there."""
    return f"claim-{claim_id}"


def verdict_colour(verdict: str) -> str:
    """The colour of a verdict in words; what is not one, as that there are no runs yet, is grey."""
    return VERDICT_COLOURS.get(verdict, VERDICT_COLOURS["cannot tell"])


def describe_verdict(claim: Claim, verdict: str) -> Markdown:
    """A claim's words, its verdict and the rule that decides it, at its `anchor`, which JupyterLab looks for in an attribute of its own."""
    name, (source, words, rule) = anchor(claim.id), map(escape_markdown, (claim.source, claim.words, claim.rule))
    word = f'<b style="color: {verdict_colour(verdict)}">{verdict}</b>'
    return Markdown(f'<a id="{name}" data-jupyter-id="{name}"></a>**Claim** ({source}): {words}. **Verdict:** {word}. **Rule:** {rule}.')


def show_table(frame: pd.DataFrame, caption: str, collapsed: bool | None = None, anchors: Iterable[str] = ()) -> None:
    """Display a table under its caption. Named indices become columns, others are left out; nan is "-", numbers have three digits.

    Collapsed, it is the caption alone until somebody opens it; by default a table of more than LONG rows is. Of an empty table
    the caption says that there are no runs yet. anchors: where the verdicts lead to, one a row.
    """
    if frame.empty:
        display(Markdown(f"*{escape_markdown(caption)}: no runs yet.*"))
        return
    frame = frame.reset_index([name for name in frame.index.names if name is not None])
    collapsed = len(frame) > LONG if collapsed is None else collapsed
    text = frame.map(format_cell)
    plain = f"{caption}\n{text.to_string(index=False)}"
    display({"text/html": table_html(text, caption, collapsed, anchors), "text/plain": plain}, raw=True)


def format_cell(value) -> str:
    """A number with three significant digits, from a thousand on and whole ones in full; "-" for a missing value; text as it is."""
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return "-"
    return (f"{value:,.0f}" if value == int(value) or abs(value) >= 1000 else f"{value:.3g}").replace("-", "−")


def table_html(text: pd.DataFrame, caption: str, collapsed: bool, anchors: Iterable[str] = ()) -> str:
    """A table of text as HTML that scrolls sideways rather than widen the page; words stand left, numbers right, verdicts in colour.

    No line breaks within a number and its interval, but before a bracket, nor within short words; columns of longer ones are not squeezed.
    """
    def cell(value: str, tag: str, style: str, link: str | None = None) -> str:
        colour = f"; font-weight: bold; color: {VERDICT_COLOURS[value]}" if value in VERDICT_COLOURS else ""
        numbers = r" (?!\()" if style == RIGHT and tag == "td" else r"(?<=[ρn]) (?== )|(?<=[ρn] =) (?=\d)"  # "ρ = 3" is one, too
        shown = html.escape(re.sub(numbers, NO_BREAK, value))
        shown = f'<a href="#{link}" style="color: inherit">{shown}</a>' if link and colour else shown
        return f'<{tag} style="{style}{colour}">{shown}</{tag}>'

    def styles(column: pd.Series) -> tuple[str, str]:
        """Of a column's heading and of its cells."""
        longest = column.str.len().max()
        if column.str.fullmatch(NUMBERS).all():
            return RIGHT, RIGHT
        if longest <= SHORT_WORDS:
            return "text-align: left", "text-align: left; white-space: nowrap"
        return f"text-align: left; min-width: {min(longest / 2, max(6, longest / 7), 14):.0f}em", "text-align: left"

    heads, bodies = zip(*(styles(text.iloc[:, i]) for i in range(text.shape[1])))
    lines = ["".join(cell(str(name), "th", style) for name, style in zip(text.columns, heads))]
    for row, link in zip_longest(text.itertuples(index=False), anchors):
        lines.append("".join(cell(value, "td", style, link) for value, style in zip(row, bodies)))
    head, *body = (f"<tr>{line}</tr>" for line in lines)
    title = "" if collapsed else CAPTION.format(html.escape(caption))
    table = f'<div style="overflow-x: auto"><table>{title}<thead>{head}</thead><tbody>{"".join(body)}</tbody></table></div>'
    return f"<details><summary>{html.escape(caption)}</summary>{table}</details>" if collapsed else table


def show_figure(figure: plt.Figure | None, alt: str) -> None:
    """Display a figure once, with `alt`, the text for readers who cannot see it, which nbval compares. None: there is nothing to draw."""
    if figure is None:
        display(Markdown("*No runs to draw yet.*"))
        return
    display({"image/png": print_figure(figure, base64=True), "text/plain": alt}, metadata={"image/png": {"alt": alt}}, raw=True)
    plt.close(figure)


def write_long_table(frame: pd.DataFrame, name: str, results: str | Path = "results") -> None:
    """Write a table to `results`/tables/NAME.csv, numbers with six significant digits; nothing for an empty table.

    results: the folder of records that the table comes from, relative to the repository.
    """
    if not frame.empty:
        index = any(level is not None for level in frame.index.names)
        content = frame.to_csv(index=index, float_format="%.6g", lineterminator="\n")
        write_atomically({names.results_folder(results) / "tables" / f"{name}.csv": content.encode()})


def count_cases(claim: Claim, cases: pd.DataFrame) -> dict[str, int]:
    """How many cases `hold`, `fail`, are `open` or `untested`; how many their own interval contradicts (`against`; of the open:
    `open_against`)."""
    counts = {name: int((cases["verdict"] == word).sum()) for name, word in zip(("hold", "fail", "open", "untested"), VERDICT_COLOURS)}
    undecided = cases[cases["verdict"] == "cannot tell"]
    return counts | {"against": claim.count_contradictions(cases), "open_against": claim.count_contradictions(undecided)}


def claims_table(claims: Iterable[Claim], judged: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a claim: its words, the verdict, how many cases have which, the range of the estimates, and seeds.

    A case holds by its own interval but fails only if that is sure among all. So that the two numbers can be compared, brackets say how
    many of the undecided cases are contradicted by their own interval (`Claim.wanted`).

    judged: the rows of every claim by its id (`comparisons.judge_claims`). Where a claim fails the estimates are those of the cases
    that fail. A skewed interval is left to `show_claim`.
    """
    rows = []
    for claim in claims:
        cases = judged[claim.id]
        verdict, against = claim.verdict(cases), count_cases(claim, cases)["open_against"]
        decisive = cases[(cases["verdict"] == "fails") | (verdict != "fails")]
        measured = decisive.dropna(subset="estimate").sort_values("estimate", kind="stable")
        ends = measured.assign(high=measured["high"].where(measured["seeds"] > 2)).iloc[[0, -1] if len(measured) else []]
        ends = format_summary(ends, "estimate") or ["-"]  # of two seeds an interval tells nothing
        ends = dict.fromkeys(text.partition(" (")[0].removesuffix(" ± 0") for text in ends)
        seeds = dict.fromkeys((int(measured["seeds"].min()), int(measured["seeds"].max()))) if len(measured) else ["-"]
        counts = cases["verdict"].value_counts()
        counts = [f"{word} {counts[word]}" for word in VERDICT_COLOURS if word in counts]
        counts = [f"{count} ({against})" if against and count.startswith("cannot tell") else count for count in counts]
        rows.append({
            "claim": claim.words, "verdict": verdict, "estimate": f"{' to '.join(ends)} ({claim.unit})",
            "cases": ", ".join(counts) or NO_RUNS, "seeds": " to ".join(map(str, seeds)), "source": claim.source,
        })
    return pd.DataFrame(rows)


def show_claims(claims: Iterable[Claim], judged: dict[str, pd.DataFrame]) -> None:
    """Display the verdicts on all claims of a notebook, a row each (`claims_table`); a verdict leads to where the claim is displayed."""
    claims = list(claims)
    show_table(claims_table(claims, judged), CLAIMS_CAPTION, collapsed=False, anchors=[anchor(claim.id) for claim in claims])


def show_claim(claim: Claim, rows: pd.DataFrame) -> None:
    """Display one claim case by case, under its words, its verdict and the rule that decides it."""
    shown = rows.assign(estimate=format_summary(rows, "estimate")).drop(columns=["low", "high"]).rename(columns={"estimate": claim.unit})
    display(describe_verdict(claim, claim.verdict(rows)))
    show_table(shown, f"{claim.words}: case by case")
