"""The web form of the shipped models, made from their `.tflite` files without TensorFlow; and Node, which runs it."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fmnist_edge.artifact import Artifact
from fmnist_edge.errors import UnavailableError
from fmnist_edge.exporters.web.compiler import find_compiler
from fmnist_edge.exporters.web.exporter import EXPORTER
from fmnist_edge.runtime.manifest import Manifest
from support import ROOT

__all__ = ["SHIPPED", "needs_node", "needs_wasm_compiler", "node", "photo_test", "raw", "tflite_of", "web_folder"]

SHIPPED = sorted(path.parent.name for path in (ROOT / "exported").glob("*/int8.tflite"))


@functools.cache
def reason_without_compiler() -> str:
    try:
        find_compiler()
    except UnavailableError as error:
        return str(error)
    return ""


def needs_wasm_compiler() -> pytest.MarkDecorator:
    return pytest.mark.skipif(bool(reason_without_compiler()), reason=reason_without_compiler() or "there is one")


def needs_node() -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which("node") is None, reason="no node; run: apt-get install nodejs")


def tflite_of(model: str) -> Path:
    return ROOT / "exported" / model / "int8.tflite"


def web_folder(
    model: str, out: Path, sections: Mapping[str, object] | None = None, golden_files: Sequence[Path] = ()
) -> Artifact:
    """`out/<model>/int8_only.web` with its manifest; `sections` replace those of the model's own manifest."""
    path = out / model / "int8_only.web"
    manifest = Manifest.read(tflite_of(model)).with_sections(sections or {})
    golden = manifest.golden_vectors()
    assert golden is not None
    sources = EXPORTER.sources(tflite_of(model).read_bytes(), manifest, golden.images[0], golden_files)
    names = {"artifact": path.name, "format": "web", "precision": "int8_only"}
    complete = manifest.with_sections({**names, **sources.facts})
    return Artifact.write_folder(path, sources.files, complete, carries_manifest=True)


def node(folder: Path, body: str, *arguments: object, stdin: bytes = b"") -> Any:
    """What the JavaScript `body` returns, by JSON. It has `load(options)`, `errorOf(promise)`, `args` and `input`."""
    program = f"""
import {{ readFileSync }} from "node:fs";
import {{ Classifier }} from {json.dumps((folder / "classifier.js").as_uri())};
const url = {json.dumps(folder.as_uri())};
const load = (options) => Classifier.load(url, options);
const args = {json.dumps([str(item) for item in arguments])};
const input = new Uint8Array(readFileSync(0));
const errorOf = async (promise) => {{
  try {{ await promise(); }} catch (error) {{ return `${{error.name}}: ${{error.message}}`; }}
  return null;
}};
const found = await (async () => {{ {body} }})();
console.log(JSON.stringify(found, (_, value) => (ArrayBuffer.isView(value) ? [...value] : value)));
"""
    ended = subprocess.run(
        ["node", "--input-type=module", "-e", program], input=stdin, capture_output=True, check=False, timeout=300
    )
    assert ended.returncode == 0, ended.stderr.decode()[-3000:]
    return json.loads(ended.stdout)


def raw(path: Path) -> np.ndarray:
    """A PNG's pixels, as a browser gives them: RGBA, upright."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGBA"))


PHOTO_TEST = """
const classify = await load({ simd: args[0] === "simd" });
const sizes = JSON.parse(args[1]);
let at = 0;
return classify.photoTest(() => {
  const [width, height] = sizes.shift();
  const data = input.subarray(at, (at += 4 * width * height));
  return { data, width, height };
});
"""


def photo_test(artifact: Artifact, build: str) -> Any:
    """What the module says of the golden photos. `build`: "simd" or "plain"."""
    photos = [raw(artifact.path / entry["file"]) for entry in artifact.manifest.document["photos"]["images"]]
    sizes = json.dumps([(photo.shape[1], photo.shape[0]) for photo in photos])
    return node(artifact.path, PHOTO_TEST, build, sizes, stdin=b"".join(photo.tobytes() for photo in photos))
