"""Render the pages that the document pipeline is profiled with: invoices and letters, every fourth one sideways.

    python examples/document-ocr/make_pages.py                   # pages.jsonl and texts.jsonl beside this file
    python examples/document-ocr/make_pages.py --count 8 --folder /tmp

The same seed gives the same pages. ``pages.jsonl`` has one input of the pipeline per line, ``texts.jsonl`` what is to
be read on that page.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import random
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIZE = (480, 360)
"""Width and height of an upright page."""

MARGIN = 24

SENTENCES = (
    "The lift on the third floor is out of order.",
    "Please send the signed copy by Friday.",
    "Our office moves to Garden Street in May.",
    "The samples arrived dry and undamaged.",
    "Two of the chairs came without screws.",
    "We would like to extend the rental.",
    "The meeting room is booked until noon.",
    "Enclosed are the keys to the storage room.",
    "The heating was repaired on Tuesday.",
    "Could you confirm the number of guests?",
    "The second delivery is still missing.",
    "Thank you for the quick repair.",
    "The contract ends on 30 September.",
    "Your parcel waits at the front desk.",
    "Water the plants while we are away.",
    "The old printer may be collected.",
)
NAMES = ("Ada Moreau", "Jonas Falk", "Priya Nair", "Tom Becker", "Lucia Ortega", "Mei Tanaka", "Olu Adeyemi")
GOODS = (
    "Paper A4, recycled",
    "Desk lamp, black",
    "Ink cartridge, blue",
    "Envelopes, 500 in a box",
    "Notebook, squared",
    "Cable, 2 m, shielded",
    "Stapler with staples",
    "Coffee, whole beans",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page: its grey picture, its text line by line, and how far it was turned anti-clockwise (0, 90 or 270)."""

    image: Image.Image
    text: str
    turn: int

    def encoded(self) -> str:
        """Return the picture as base64 of a PNG."""
        stream = io.BytesIO()
        self.image.save(stream, "PNG")
        return base64.b64encode(stream.getvalue()).decode()


def make_pages(count: int, seed: int) -> list[Page]:
    """Return pages: letters and invoices in turn; of eight, two are sideways, one to each side."""
    source = random.Random(seed)
    pages = []
    for number in range(count):
        rows = invoice(source) if number % 2 else letter(source)
        turn = {3: 90, 6: 270}.get(number % 8, 0)
        pages.append(
            Page(
                image=drawn(rows, source).rotate(turn, expand=True),
                text="\n".join(" ".join(filter(None, row)) for row in rows),
                turn=turn,
            )
        )
    return pages


def letter(source: random.Random) -> list[tuple[str, str]]:
    """Return the rows of a letter, each with what stands on its left and on its right."""
    date = (
        f"{source.randint(1, 28)} {source.choice(('March', 'April', 'June', 'October'))} {source.randint(2019, 2025)}"
    )
    body = source.sample(SENTENCES, source.randint(2, 3))
    return [
        (f"Dear {source.choice(NAMES)},", date),
        *((sentence, "") for sentence in body),
        (f"Yours, {source.choice(NAMES)}", ""),
    ]


def invoice(source: random.Random) -> list[tuple[str, str]]:
    """Return the rows of an invoice, likewise."""
    items = [
        (f"{source.randint(1, 12)} x {name}", source.randint(100, 9999))
        for name in source.sample(GOODS, source.randint(3, 5))
    ]
    return [
        (f"Invoice {source.randint(10000, 99999)}", f"No. {source.randint(2, 9)}"),
        *((name, f"{cents / 100:.2f}") for name, cents in items),
        ("Total", f"{sum(cents for _, cents in items) / 100:.2f}"),
    ]


def drawn(rows: list[tuple[str, str]], source: random.Random) -> Image.Image:
    """Return a page with those rows on it; paper, ink and size of the letters differ from page to page."""
    paper, ink = source.randint(225, 255), source.randint(0, 70)
    font = ImageFont.load_default(source.randint(17, 20))
    page = Image.new("L", SIZE, paper)
    draw = ImageDraw.Draw(page)
    step = (SIZE[1] - 2 * MARGIN) // max(7, len(rows))
    for number, (left, right) in enumerate(rows):
        height = MARGIN + number * step
        draw.text((MARGIN, height), left, fill=ink, font=font)
        draw.text((SIZE[0] - MARGIN, height), right, fill=ink, font=font, anchor="ra")
    return page


def main() -> None:
    """Write the pages."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=32)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--folder", type=Path, default=Path(__file__).parent)
    chosen = options.parse_args()
    pages = make_pages(chosen.count, chosen.seed)
    for name, values in (
        ("pages", [page.encoded() for page in pages]),
        ("texts", [page.text for page in pages]),
    ):
        lines = "".join(f"{json.dumps(value)}\n" for value in values)
        (chosen.folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
