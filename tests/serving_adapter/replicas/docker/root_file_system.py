"""The files of this machine that a container needs to run this Python with some of its packages.

They lie in the image where a Python from source lies, below ``/usr/local``, so that any user may read them.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CHANGES", "Content", "content", "write"]

PACKAGES = (
    "annotated-types",
    "click",
    "cloudpickle",
    "httptools",
    "markdown-it-py",
    "mdurl",
    "msgspec",
    "numpy",
    "pip",
    "prometheus-client",
    "pydantic",
    "pydantic-core",
    "pygments",
    "pyyaml",
    "pyzmq",
    "redis",
    "rich",
    "simpleeval",
    "typing-extensions",
    "typing-inspection",
    "uvicorn",
    "uvloop",
)
"""What ``inferline serve`` and a container with a callable import."""

PROGRAMS = ("/bin/sh", "/usr/bin/test", "/usr/bin/true", "/usr/bin/rm", "/usr/bin/mkdir", "/usr/bin/chown")

CHANGES = (
    "ENV PATH=/usr/local/bin:/usr/bin:/bin",
    # The packages are there, and no index is.
    "ENV PIP_NO_DEPS=1",
    "ENV PIP_NO_INDEX=1",
    "ENV PIP_ROOT_USER_ACTION=ignore",
)

_NOT_NEEDED = re.compile(r"/(test|tests|idlelib|lib2to3|ensurepip|tkinter|turtledemo|site-packages|config-[^/]*)/")
_VERSION = f"python{sys.version_info.major}.{sys.version_info.minor}"
_PIP = '#!/bin/sh\nexec python3 -m pip "$@"\n'


@dataclass(frozen=True)
class Content:
    """Where each file of the image comes from, and a digest that changes when they do."""

    files: dict[str, Path]
    digest: str


def content() -> Content:
    """Look for the files."""
    files = {f"usr/local/bin/{_VERSION}": Path(sys.executable).resolve()}
    standard = Path(sysconfig.get_path("stdlib"))
    for path in sorted(standard.rglob("*")):
        inside = f"/{path.relative_to(standard).as_posix()}"
        if path.is_file() and not _NOT_NEEDED.search(inside):
            files[f"usr/local/lib/{_VERSION}{inside}"] = path
    for package in PACKAGES:
        distribution = importlib.metadata.distribution(package)
        for file in distribution.files or ():
            if not {"..", "tests"} & {*file.parts}:  # scripts lie elsewhere
                files[f"usr/local/lib/{_VERSION}/site-packages/{file.as_posix()}"] = Path(
                    str(distribution.locate_file(file))
                )
    files.update({program.lstrip("/"): Path(program).resolve() for program in PROGRAMS})
    files = {name: path for name, path in files.items() if path.is_file()}
    files.update(_libraries(files))
    listing = "\n".join(f"{name} {path.stat().st_size}" for name, path in sorted(files.items()))
    return Content(files=files, digest=hashlib.sha256(f"{listing}\n{CHANGES}".encode()).hexdigest()[:16])


def write(contents: Content, archive: tarfile.TarFile) -> None:
    """Write the files, and the folders that have to be there."""
    for folder in ("tmp", "proc", "sys", "dev", "etc", "run", "var/lib", "root"):
        made = tarfile.TarInfo(folder)
        made.type, made.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
        archive.addfile(made)
    for name, path in sorted(contents.files.items()):
        entry = tarfile.TarInfo(name)
        there = path.stat()
        entry.size, entry.mtime, entry.mode = (
            there.st_size,
            int(there.st_mtime),
            0o755 if there.st_mode & 0o111 else 0o644,
        )
        with path.open("rb") as file:
            archive.addfile(entry, file)
    link = tarfile.TarInfo("usr/local/bin/python3")
    link.type, link.linkname = tarfile.SYMTYPE, _VERSION
    archive.addfile(link)
    _add(archive, "usr/local/bin/pip", _PIP, 0o755)
    _add(archive, "etc/passwd", "root:x:0:0::/root:/bin/sh\n", 0o644)
    _add(archive, "etc/group", "root:x:0:\n", 0o644)


def _add(archive: tarfile.TarFile, name: str, text: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(text), mode
    archive.addfile(entry, io.BytesIO(text.encode()))


def _libraries(files: dict[str, Path]) -> dict[str, Path]:
    """Return the system's libraries that those files need, where the dynamic linker looks for them."""
    binaries = [path for name, path in files.items() if ".so" in name or name.startswith(("usr/bin/", "bin/"))]
    binaries.append(Path(sys.executable).resolve())
    found: dict[str, Path] = {}
    said = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    inside = {path.resolve() for path in files.values()}
    for name, place in re.findall(r"^\s+(\S+)(?: => (/\S+))? \(0x", said, re.MULTILINE):
        path = Path(place or name)
        if not path.is_absolute() or path.resolve() in inside:
            continue
        # The loader is named by its path in every program; the others are found in the system's folders.
        folder = os.fspath(path.parent).lstrip("/") if "ld-linux" in path.name else "usr/lib"
        found[f"{folder}/{path.name}"] = path
    return found
