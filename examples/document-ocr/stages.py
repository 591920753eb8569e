"""The stages of the document pipeline: find lines of text, tell which way up they are, read them.

The three models are PP-OCRv4's detector and recogniser and PP-OCR's direction classifier, as they ship in the package
rapidocr-onnxruntime (none of its code is used). What goes in and comes out is JSON, pictures are base64 in a string.

References
----------
Du et al., "PP-OCR: a practical ultra lightweight OCR system", arXiv 2009.09941.
Liao et al., "Real-time scene text detection with differentiable binarization", AAAI 2020 (DBNet): the map.
Graves et al., "Connectionist temporal classification", ICML 2006: reading off the recogniser's output.
"""

from __future__ import annotations

import base64
import io
import math
import os
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Picture = NDArray[np.uint8]
"""Grey values (height, width)."""

Box = tuple[int, int, int, int]
"""Left, top, right, bottom; in pixels of the page, right and bottom exclusive."""

LONGEST = 960
"""Pixels of a page's longer side that are looked at; larger pages are scaled down."""

TEXT = 0.3
"""Probability from which a pixel counts as text (DBNet's threshold)."""

SURE = 0.5
"""Mean probability from which a patch of such pixels counts as a line."""

GROWTH = 1.6
"""The map shows lines shrunk: area / perimeter times this is put back on each side (DBNet, equation 10)."""

HEIGHT = 48
"""Pixels that the classifier and the recogniser want a line to be high."""

GROUP = 6
"""Lines that are recognised together (PP-OCR groups as many)."""

PACKAGE = "rapidocr-onnxruntime==1.4.4"


class Detect:
    """Finds the lines of pages.

    A page is a PNG or JPEG, base64 in a string, or an object with that string under ``image``. Its output has
    ``lines``, each with ``box`` and the picture ``image``, and ``vertical``: whether they run up or down the page.
    """

    def __init__(self) -> None:
        self._session = session("ch_PP-OCRv4_det_infer.onnx")

    def __call__(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """Return the lines of each page."""
        pages = [decoded(page["image"] if isinstance(page, dict) else page) for page in inputs]
        longest = max(max(page.shape) for page in pages)
        scale = min(1.0, LONGEST / longest)
        # One square for all, a page and the same page turned cost alike; the model halves it five times.
        side = 32 * math.ceil(longest * scale / 32)
        canvas = np.full((len(pages), side, side), 255, dtype=np.uint8)
        for place, page in zip(canvas, pages, strict=True):
            small = resized(page, round(page.shape[0] * scale), round(page.shape[1] * scale)) if scale < 1 else page
            place[: small.shape[0], : small.shape[1]] = small
        maps = run(self._session, canvas)[:, 0]
        return [found(page, text_boxes(each, scale)) for page, each in zip(pages, maps, strict=True)]


class Orient:
    """Tells by how much to turn pages whose lines run up or down: anti-clockwise, by 90 or by 270 degrees."""

    def __init__(self) -> None:
        self._session = session("ch_ppocr_mobile_v2.0_cls_infer.onnx")

    def __call__(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """Return ``turn`` for each page, and ``confidence``, the share of its lines' votes for that."""
        lines = [[np.rot90(decoded(line["image"])) for line in page["lines"]] for page in inputs]
        owner = np.repeat(np.arange(len(lines)), [len(page) for page in lines])
        # Columns of the output: upright, upside down.
        votes = run(self._session, stacked([line for page in lines for line in page], 192, 192))
        upside_down = np.bincount(owner, weights=votes[:, 1], minlength=len(lines))
        share = upside_down / np.bincount(owner, minlength=len(lines)).clip(1)
        return [{"turn": 270 if each > 0.5 else 90, "confidence": float(max(each, 1 - each))} for each in share]


class Recognise:
    """Reads the lines of pages; the input has the output of `Detect`, and of `Orient` where it was asked."""

    def __init__(self) -> None:
        self._session = session("ch_PP-OCRv4_rec_infer.onnx")
        characters = self._session.get_modelmeta().custom_metadata_map["character"].splitlines()
        self._characters = np.array(["", *characters, " "])

    def __call__(self, inputs: Sequence[Any]) -> list[dict[str, Any]]:
        """Return ``text`` of each page, one line of it per line."""
        turns = [page.get("orient", {"turn": 0})["turn"] for page in inputs]
        found_lines = [page["detect"]["lines"] for page in inputs]
        lines = [
            np.rot90(decoded(line["image"]), turn // 90)
            for turn, page in zip(turns, found_lines, strict=True)
            for line in page
        ]
        texts = iter(self._read(lines))
        return [
            {"text": in_reading_order([(turned(line["box"], turn), next(texts)) for line in page])}
            for turn, page in zip(turns, found_lines, strict=True)
        ]

    def _read(self, lines: Sequence[Picture]) -> list[str]:
        """Return the text of each line, recognised in groups of about the same width: little of it is padding."""
        texts = [""] * len(lines)
        order = sorted(range(len(lines)), key=lambda place: lines[place].shape[1] / lines[place].shape[0])
        for start in range(0, len(order), GROUP):
            group = order[start : start + GROUP]
            probabilities = run(self._session, stacked([lines[place] for place in group], 160))
            for place, text in zip(group, self._decoded(probabilities), strict=True):
                texts[place] = text
        return texts

    def _decoded(self, probabilities: NDArray[np.float32]) -> list[str]:
        """Return the likeliest character of each column, repeats and blanks (the first one) left out."""
        best = probabilities.argmax(axis=2)
        fresh = np.ones(best.shape, dtype=bool)
        fresh[:, 1:] = best[:, 1:] != best[:, :-1]
        return ["".join(self._characters[row[new]]) for row, new in zip(best, fresh, strict=True)]


def session(model: str) -> onnxruntime.InferenceSession:
    """Return a session of one of the package's models, with as many threads as ``OMP_NUM_THREADS`` says, or one.

    Raises
    ------
    FileNotFoundError
        When the package is not installed; says what to do.
    """
    spec = find_spec("rapidocr_onnxruntime")  # not imported: that needs OpenCV
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"the models are not installed: pip install --no-deps {PACKAGE}")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "1"))
    options.inter_op_num_threads = 1
    path = Path(spec.submodule_search_locations[0], "models", model)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(model: onnxruntime.InferenceSession, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the output for pictures (count, height, width): all three want three channels from -1 to 1."""
    grey = pictures.astype(np.float32) / 127.5 - 1
    colours = np.ascontiguousarray(np.broadcast_to(grey[:, None], (len(grey), 3, *grey.shape[1:])))
    outputs: list[NDArray[np.float32]] = model.run(None, {"x": colours})
    return outputs[0]


def decoded(text: str) -> Picture:
    """Return the picture that is in a string."""
    with Image.open(io.BytesIO(base64.b64decode(text))) as image:
        return np.asarray(image.convert("L"))


def encoded(picture: Picture) -> str:
    """Return a picture as base64 of a PNG."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", compress_level=1)
    return base64.b64encode(stream.getvalue()).decode()


def resized(picture: Picture, height: int, width: int) -> Picture:
    """Return a picture of that size."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize((max(1, width), max(1, height)), Image.Resampling.BILINEAR))


def stacked(lines: Sequence[Picture], least: int, most: int | None = None) -> NDArray[np.uint8]:
    """Return lines of text of one height, padded with grey to the widest, at least and at most so wide."""
    widths = [math.ceil(HEIGHT * line.shape[1] / line.shape[0]) for line in lines]
    widths = widths if most is None else [min(width, most) for width in widths]
    batch = np.full((len(lines), HEIGHT, max([least, *widths])), 127, dtype=np.uint8)
    for place, line, width in zip(batch, lines, widths, strict=True):
        place[:, :width] = resized(line, HEIGHT, width)
    return batch


def text_boxes(probability: NDArray[np.float32], scale: float) -> list[Box]:
    """Return a box around each line that a probability map shows.

    DBNet grows the outline of each patch; here its upright bounding box is grown, which is the same for lines that
    run along the page.
    """
    labels, count = ndimage.label(probability > TEXT, structure=np.ones((3, 3)))
    scores = ndimage.mean(probability, labels, np.arange(1, count + 1))
    boxes = []
    for score, (rows, columns) in zip(scores, ndimage.find_objects(labels), strict=True):
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if score < SURE or min(height, width) < 3:
            continue
        grow = GROWTH * height * width / (2 * (height + width))
        left, top = (max(0, math.floor((start - grow) / scale)) for start in (columns.start, rows.start))
        right, bottom = (math.ceil((stop + grow) / scale) for stop in (columns.stop, rows.stop))
        boxes.append((left, top, right, bottom))
    return boxes


def found(page: Picture, boxes: Iterable[Box]) -> dict[str, Any]:
    """Return the output of detection."""
    height, width = page.shape
    inside = [(left, top, min(right, width), min(bottom, height)) for left, top, right, bottom in boxes]
    across = sum(right - left for left, _, right, _ in inside)
    down = sum(bottom - top for _, top, _, bottom in inside)
    lines = [{"box": box, "image": encoded(page[box[1] : box[3], box[0] : box[2]])} for box in inside]
    return {"vertical": down > across, "size": [width, height], "lines": lines}


def turned(box: Sequence[int], turn: int) -> Box:
    """Return a box on the page turned anti-clockwise by 0, 90 or 270 degrees, moved as a whole by any amount."""
    left, top, right, bottom = box
    if turn == 90:
        return top, -right, bottom, -left
    return (-bottom, left, -top, right) if turn == 270 else (left, top, right, bottom)


def in_reading_order(lines: Sequence[tuple[Box, str]]) -> str:
    """Return texts from the top down; what is side by side, from the left, in one line."""
    rows: list[list[tuple[Box, str]]] = []
    for box, text in sorted(lines, key=lambda line: line[0][1] + line[0][3]):
        # Side by side is what begins above the middle of the row so far.
        if rows and 2 * box[1] < rows[-1][0][0][1] + rows[-1][0][0][3]:
            rows[-1].append((box, text))
        else:
            rows.append([(box, text)])
    return "\n".join(" ".join(text for _, text in sorted(row)) for row in rows)
