"""Names that Kubernetes takes, for names that it may not.

Names of Services are DNS labels (RFC 1035: they begin with a letter), those of other objects DNS subdomains (RFC
1123); both are of at most 63 characters here. A Deployment's is shorter, because its Pods get 17 more.
"""

from __future__ import annotations

import json
import re
from hashlib import sha256

from serving_adapter.replicas.protocol import SetKey

__all__ = ["core_name", "label_value", "name_of", "set_name"]

_LONGEST = 46
_DIGITS = 10
_CORE = "-core"
_MARKED = re.compile(rf"-[0-9a-f]{{{_DIGITS}}}$")


def name_of(text: str) -> str:
    """Return the text when it can stand as it is, else a name that no other text gets.

    Examples
    --------
    >>> name_of("social-media"), name_of("Social media!"), name_of("größe" * 20)
    ('social-media', 'social-media-ba937666cf', 'gr-egr-egr-egr-egr-egr-egr-egr-1502361fea')
    """
    clean = _clean(text, _LONGEST - len(_CORE))
    # What ends like a digest gets one too, or it could be that of another text.
    return text if clean == text and not _MARKED.search(text) else _marked(text, text)


def core_name(deployment: str) -> str:
    """Return what a deployment's serving core is called, and found by as a host.

    Examples
    --------
    >>> core_name("social-media")
    'social-media-core'
    """
    return name_of(deployment) + _CORE


def set_name(deployment: str, key: SetKey) -> str:
    """Return what the Deployment of a set of replicas is called; the digest tells it from every other.

    Examples
    --------
    >>> set_name("social-media", SetKey("translate", "1", "k80"))
    'social-media-translate-1-b3a08bef98'
    """
    return _marked("-".join((deployment, key.stage, key.version)), json.dumps([deployment, *key]))


def label_value(text: str) -> str:
    """Return the text when it can be a label's value, else one that no other text gets.

    Examples
    --------
    >>> label_value("v1.2_b"), label_value("my model"), label_value("")
    ('v1.2_b', 'my-model-76eeb051b5', '')
    """
    fits = re.fullmatch(r"([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?", text) is not None
    return text if fits and not _MARKED.search(text) else _marked(text, text)


def _clean(text: str, longest: int) -> str:
    """Return what is left of a text when only lower-case letters, digits and single dashes may be."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    begun = words if words[:1].isalpha() else f"x-{words}".rstrip("-")
    return begun[:longest].rstrip("-")


def _marked(text: str, told_apart_by: str) -> str:
    digest = sha256(told_apart_by.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    return f"{_clean(text, _LONGEST - len(_CORE) - _DIGITS - 1)}-{digest}"
