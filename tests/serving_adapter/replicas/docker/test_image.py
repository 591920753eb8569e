"""The image that is built, and what cannot be."""

from __future__ import annotations

import io
import tarfile
import zipfile

import pytest

from inferline.errors import InputError, OutsideError
from serving_adapter.replicas.docker import build_image

pytestmark = pytest.mark.containers


def test_holds_the_folder_but_no_caches_and_belongs_to_nobody(service, base_image, engine, tmp_path):
    folder = tmp_path / "pipeline"
    for name in ("models.py", "weights/a.bin", ".git/config", "sub/__pycache__/x.pyc"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "weights").chmod(0o700)
    (folder / "models.py").chmod(0o600)
    wheel = tmp_path / "nothing-1-py3-none-any.whl"
    write_wheel(wheel)
    tag = f"{base_image.partition(':')[0]}:built"
    identity = build_image(folder, ("onnx",), tag, wheel=wheel, base=base_image, url=service.url)
    built = engine.images.get(tag)
    assert built.id.endswith(identity.removeprefix("sha256:"))
    assert built.attrs["Config"]["User"] == "10001:10001"
    asked = engine.containers.create(tag, ["true"], network_mode="host")
    try:
        listing = set(names(asked.get_archive("/pipeline")[0]))
    finally:
        asked.remove(force=True)
        engine.images.remove(tag, force=True)
    assert listing == {
        ("pipeline", 0o755),
        ("pipeline/models.py", 0o644),
        ("pipeline/weights", 0o755),
        ("pipeline/weights/a.bin", 0o644),
        ("pipeline/sub", 0o755),
    }


def test_says_what_failed(service, base_image, tmp_path):
    wheel = tmp_path / "nothing-1-py3-none-any.whl"
    wheel.write_bytes(b"no wheel")
    with pytest.raises(OutsideError, match=r"building image 'localhost/no:1': (?s:.*)pip install"):
        build_image(tmp_path, (), "localhost/no:1", wheel=wheel, base=base_image, url=service.url)


def test_a_folder_and_a_wheel_that_are_not_there(tmp_path):
    with pytest.raises(InputError, match=r"nowhere: there is no such folder"):
        build_image(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no\.whl: there is no such wheel"):
        build_image(tmp_path, wheel=tmp_path / "no.whl")


def names(stream) -> list[tuple[str, int]]:
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
        return [(each.name, each.mode & 0o777) for each in archive]


def write_wheel(path) -> None:
    """Write the smallest wheel that pip takes."""
    about = {
        "METADATA": "Metadata-Version: 2.1\nName: nothing\nVersion: 1\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: none\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "nothing-1.dist-info/METADATA,,\nnothing-1.dist-info/WHEEL,,\nnothing-1.dist-info/RECORD,,\n",
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in about.items():
            archive.writestr(f"nothing-1.dist-info/{name}", text)
