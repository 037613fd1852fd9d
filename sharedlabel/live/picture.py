"""Draws terms.svg, the README's picture: python sharedlabel/live/picture.py."""
from pathlib import Path

CELL, GAP = 14, 4


def row(x: int, y: int, count: int, colour: str) -> str:
    return "".join(f'<rect x="{x + i * CELL}" y="{y}" width="{CELL - 2}" height="{CELL}" fill="{colour}"/>' for i in range(count))


def text(x: int, y: int, words: str, **style) -> str:
    return f'<text x="{x}" y="{y}" ' + " ".join(f'{k.replace("_", "-")}="{v}"' for k, v in style.items()) + f">{words}</text>"


def draw() -> str:
    live, dead, parts = {1, 3, 4}, "#dddddd", []
    for v in range(6):
        y = 40 + v * (CELL + GAP)
        parts += [row(80, y, 16, "#4c78a8" if v in live else dead), text(40, y + 11, f"x[{v}]")]
    for k, v in enumerate(sorted(live)):
        y = 40 + v * (CELL + GAP) + CELL // 2
        parts.append(f'<path d="M {80 + 16 * CELL} {y} C 380 {y}, 390 92, 440 92" fill="none" stroke="#f58518" stroke-width="2"/>')
        parts.append(text(340, y - 4, f"× w[{k}]", fill="#b35900"))
    parts += [row(444, 85, 16, "#54a24b"), text(444, 76, "out[u] = bias + w[0] x[1] + w[1] x[3] + w[2] x[4]")]
    parts.append(text(80, 28, "one row, a slot: this activation for every image of the batch"))
    parts.append(text(80, 166, "grey: dead, neither read nor computed"))
    parts.append(text(444, 124, "16 of 64 images shown; the sum stays in registers"))
    parts.append(text(444, 142, "until its last term, and is stored once"))
    return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 780 180" font-family="sans-serif" font-size="12">'
            f'<rect width="780" height="180" fill="white"/>{"".join(parts)}</svg>\n')


if __name__ == "__main__":
    Path(__file__).with_name("terms.svg").write_text(draw())
