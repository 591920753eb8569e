"""The document pipeline reads what stands on the pages that it is profiled with, whichever way up they are."""

from __future__ import annotations

import base64
import io
from difflib import SequenceMatcher

import pytest
from PIL import Image


@pytest.fixture(scope="module")
def folder(prepared):
    return prepared("document-ocr", "make_pages.py", needs="rapidocr_onnxruntime")


@pytest.fixture(scope="module")
def stages(folder, models):
    return models(folder)


@pytest.fixture(scope="module")
def pages(folder, json_lines):
    # One of every kind: letters and invoices, upright and turned either way.
    return json_lines(folder / "pages.jsonl")[:8]


@pytest.fixture(scope="module")
def texts(folder, json_lines):
    return json_lines(folder / "texts.jsonl")[:8]


def read(stages, pages):
    """Take pages through the pipeline, and return what was read and which were turned."""
    found = stages["detect"](pages)
    sideways = [number for number, page in enumerate(found) if page["vertical"]]
    inputs = [{"detect": page} for page in found]
    if sideways:
        for number, output in zip(sideways, stages["orient"]([found[number] for number in sideways]), strict=True):
            inputs[number]["orient"] = output
    return [page["text"] for page in stages["recognise"](inputs)], {n: inputs[n]["orient"]["turn"] for n in sideways}


def accuracy(text, expected):
    """Return the share of characters that agree, spaces apart."""
    one, other = ("".join(each.split()) for each in (text, expected))
    same = SequenceMatcher(None, one, other, autojunk=False).get_matching_blocks()
    return sum(block.size for block in same) / max(len(one), len(other))


def test_every_page_is_read(stages, pages, texts):
    answers, turns = read(stages, pages)
    assert [accuracy(*pair) for pair in zip(answers, texts, strict=True)] == pytest.approx([1] * 8, abs=0.1)
    # Page by page, line by line, in the order in which it stands there.
    assert [len(text.splitlines()) for text in answers] == [len(text.splitlines()) for text in texts]
    assert turns == {3: 270, 6: 90}  # made by turning them by the rest of a circle


def test_a_page_alone_reads_as_in_a_batch_and_as_an_object(stages, pages):
    together, _ = read(stages, pages[:4])
    alone = [read(stages, [{"image": page}])[0][0] for page in pages[:4]]
    assert [accuracy(*pair) for pair in zip(alone, together, strict=True)] == pytest.approx([1] * 4, abs=0.05)


def test_a_page_without_text_has_none(stages):
    stream = io.BytesIO()
    Image.new("L", (100, 140), 255).save(stream, "JPEG")
    assert read(stages, [base64.b64encode(stream.getvalue()).decode()]) == ([""], {})


def test_the_same_seed_gives_the_same_pages(folder, prepared, json_lines):
    again = prepared("document-ocr", "make_pages.py", needs="rapidocr_onnxruntime")
    assert again != folder
    assert (again / "pages.jsonl").read_bytes() == (folder / "pages.jsonl").read_bytes()
    assert len(set(json_lines(folder / "pages.jsonl"))) == 32
