"""The scoreboard: every claim of the paper and of this study, judged from the records alone.

    python -m sharedlabel.analysis.claims                 prints it
    python -m sharedlabel.analysis.claims README.md       writes its short form between the markers in a Markdown file
"""
import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sharedlabel.analysis import (
    appendix_a_3,
    appendix_c_2,
    beyond_dependent,
    beyond_law,
    beyond_new_data,
    beyond_pruning,
    comparisons,
    readout,
    report,
    sanity_checks,
    section_5_1,
    section_5_1_claims,
    section_5_2,
    section_5_3,
    small_dense,
    tables,
)
from sharedlabel.analysis.comparisons import Claim
from sharedlabel.analysis.section_5_3_runs import select_runs as select_head_runs
from sharedlabel.runs.files import write_atomically

BEGIN, END = "<!-- scoreboard: written by `make claims`, checked by a test -->", "<!-- end of scoreboard -->"


class Section(NamedTuple):
    """A section notebook: its title, its claims, and the runs that decide them, read from a folder of records."""

    title: str
    claims: list[Claim]
    select_runs: Callable[[str], Any]


SECTIONS = {
    "section_5_1": Section("5.1", section_5_1_claims.CLAIMS, section_5_1.select_runs),
    "section_5_2": Section("5.2", section_5_2.CLAIMS, lambda results: section_5_2.select_runs(tables.load_records(results))),
    "section_5_3": Section("5.3", section_5_3.CLAIMS, select_head_runs),
    "appendix_a_3": Section("A.3", appendix_a_3.CLAIMS, appendix_a_3.select_runs),
    "appendix_c_2": Section("C.2", appendix_c_2.CLAIMS, appendix_c_2.select_runs),
    "beyond_law": Section("the law", beyond_law.CLAIMS, beyond_law.select_runs),
    "beyond_readout": Section("readout", readout.CLAIMS, readout.select_runs),
    "beyond_small_dense": Section("small dense networks", [*small_dense.CLAIMS, *sanity_checks.CLAIMS], small_dense.select_runs),
    "beyond_pruning": Section("pruning", beyond_pruning.CLAIMS, lambda results: beyond_pruning.select_runs()),
    "beyond_dependent": Section("views", beyond_dependent.CLAIMS, beyond_dependent.select_runs),
    "beyond_new_data": Section("new data", beyond_new_data.CLAIMS, lambda results: beyond_new_data.select_runs()),
}


def scoreboard(results: str = "results") -> pd.DataFrame:
    """A row a claim: `id`, `section` (a key of SECTIONS), `ours` (whether it is not the paper's), `mnist_alone` (whether no tested case
    is of other data), and the columns of `report.count_cases` and `report.claims_table`.

    FileNotFoundError if the folder `results` (relative: to the repository) has no record.
    """
    found = []
    for name, section in SECTIONS.items():
        judged = comparisons.judge_claims(section.claims, section.select_runs(results))
        rows = report.claims_table(section.claims, judged)
        rows = rows.join(pd.DataFrame([report.count_cases(claim, judged[claim.id]) for claim in section.claims]))
        alone = [rows.loc[rows["verdict"] != "not tested", "case"].astype(str).str.startswith("MNIST, ") for rows in judged.values()]
        alone = [bool(len(cases) and cases.all()) for cases in alone]
        paper = [claim.paper for claim in section.claims]
        found.append(rows.assign(id=list(judged), section=name, paper=paper, mnist_alone=alone))
    return pd.concat(found, ignore_index=True).assign(ours=lambda table: table["source"] == "ours")


def count_verdicts(board: pd.DataFrame) -> str:
    """How many of the paper's claims hold, fail and are undecided, in a sentence, and what that means."""
    verdicts, alone = board.loc[~board["ours"], "verdict"], int(board.loc[~board["ours"], "mnist_alone"].sum())
    holds, fails, untested = (int((verdicts == word).sum()) for word in ("holds", "fails", "not tested"))
    return (
        f"Verdicts on the paper's {len(verdicts)} claims: holds {holds}, fails {fails}, open (*cannot tell*) "
        f"{len(verdicts) - holds - fails - untested}"
        f"{f', not tested {untested}' if untested else ''}; {alone} rest on MNIST alone. A claim holds if every case (network, n or "
        "comparison) holds by its own interval, and fails if one fails, corrected for their number; where it says "
        "almost or usually, most decide. Brackets: open cases their own interval contradicts."
    )


def capitalise(words: str) -> str:
    """With a capital at the beginning; all else stays as it is."""
    return words[0].upper() + words[1:]


def short_form(board: pd.DataFrame, folder: str = "notebooks/sections") -> str:
    """The paper's claims as a Markdown table: claim, verdict, which links to the notebook in `folder` that decides it, and its cases."""
    lines = [count_verdicts(board), "", "|the paper's claim|verdict|hold|fail|open|", "|---|---|---|---|---|"]
    for row in board[~board["ours"]].itertuples():
        words = capitalise(row.claim).replace("|", "\\|")
        undecided = [f"{row.open}{f' ({row.open_against})' if row.open_against else ''}"] if row.open else []
        undecided += [f"{row.untested} untested"] if row.untested else []
        counts, verdict = f"{row.hold or ''}|{row.fail or ''}|{', '.join(undecided)}", row.verdict.replace("cannot tell", "open")
        lines.append(f"|{words}|[{verdict}]({folder}/{row.section}.ipynb#{report.anchor(row.id)})|{counts}|")
    return "\n".join(lines)


def between_markers(text: str, block: str) -> str:
    """`text` with `block` between the two markers; ValueError where it does not have each marker once."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"the text needs the lines {BEGIN!r} and {END!r}, once each")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{block}\n{END}{rest.split(END)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="a document that has the two markers; without one the scoreboard is printed")
    file = parser.parse_args().file
    text = file and file.read_text()
    board = scoreboard()
    if file:
        write_atomically({file: between_markers(text, short_form(board)).encode()})
    else:
        columns = ["section", "claim", "verdict", "cases", "estimate", "seeds"]
        print(f"{count_verdicts(board)}\n\n{board[columns].to_string(index=False)}")


if __name__ == "__main__":
    main()
