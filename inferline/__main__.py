"""``python -m inferline`` is the same as ``inferline``."""

from inferline.cli import main

main()
