"""Make what the search pipeline runs on, from the sentences and documents beside this file.

    python examples/text-search/prepare.py

``language.joblib`` tells five languages apart (character n-grams, logistic regression), ``index.joblib`` finds the
document whose vector is nearest, ``queries.jsonl`` has the texts to profile with. A few seconds on one core.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import joblib
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from stages import make_encoder

FOLDER = Path(__file__).parent
ENGLISH = 0.6
"""Share of English among the queries."""


def language_classifier(sentences: dict[str, list[str]]) -> Pipeline:
    """Return a classifier of texts, trained on sentences by language."""
    texts = [text for each in sentences.values() for text in each]
    labels = [language for language, each in sentences.items() for _ in each]
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True)
    return make_pipeline(grams, LogisticRegression(C=10.0)).fit(texts, labels)


def document_index(documents: dict[str, str]) -> KNeighborsClassifier:
    """Return a classifier of vectors whose answer is the title of the nearest document: of two vectors for each."""
    with torch.inference_mode():
        vectors = make_encoder()([*documents, *documents.values()])
    return KNeighborsClassifier(n_neighbors=1).fit(vectors.numpy(), [*documents, *documents])


def sample_queries(sentences: dict[str, list[str]], count: int, seed: int) -> list[str]:
    """Return texts to search for, `ENGLISH` of them English."""
    source = random.Random(seed)
    others = [text for language, texts in sentences.items() if language != "en" for text in texts]
    return [source.choice(sentences["en"] if source.random() < ENGLISH else others) for _ in range(count)]


def main() -> None:
    """Write the three files."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=256, help="queries")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--folder", type=Path, default=FOLDER)
    chosen = options.parse_args()
    sentences, documents = (
        json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8")) for name in ("sentences", "documents")
    )
    joblib.dump(language_classifier(sentences), chosen.folder / "language.joblib")
    joblib.dump(document_index(documents), chosen.folder / "index.joblib")
    queries = sample_queries(sentences, chosen.count, chosen.seed)
    lines = "".join(f"{json.dumps(text, ensure_ascii=False)}\n" for text in queries)
    (chosen.folder / "queries.jsonl").write_text(lines, encoding="utf-8")


if __name__ == "__main__":
    main()
