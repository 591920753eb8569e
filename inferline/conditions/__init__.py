"""Conditions on edges: a small safe language over a parent's output, parsed once, evaluated for every query.

What a condition may say; anything else is refused when it is parsed:

* ``output``, the parent's output as a JSON value; ``output.score`` or ``output["score"]``, the value of a key of an
  object; ``output.labels[0]`` or ``output.labels[-1]``, an item of a list. A dot is never an attribute of Python's.
* numbers, texts, ``True``, ``False``, ``None`` (JSON's null), and lists: ``output.label in ["cat", "dog"]``.
* ``==`` and ``!=`` of any two values; ``<``, ``<=``, ``>`` and ``>=`` of two numbers or of two texts; ``and``, ``or``
  and ``not``; ``in`` and ``not in`` a list, a text or the keys of an object; ``+``, ``-``, ``*``, ``/``, ``//`` and
  ``%`` of numbers. True and False are no numbers.
* ``len(x)`` of a text, a list or an object; ``min(x)`` and ``max(x)`` of a list, or of several values; ``any(x)`` and
  ``all(x)`` of a list; ``abs(x)``, ``round(x)``, ``round(x, digits)``; ``lower(text)``, ``upper(text)``,
  ``startswith(text, start)``, ``endswith(text, end)``; ``contains(x, part)``, the same as ``part in x``.

It must come out as True or False. There are no powers, and no sums or products of texts and lists: nothing grows, so
that evaluating takes time at most in proportion to the condition's length times the size of the output.
"""

from __future__ import annotations

from inferline.conditions.condition import Condition, parse_condition
from inferline.conditions.operations import ConditionError

__all__ = ["Condition", "ConditionError", "parse_condition"]
