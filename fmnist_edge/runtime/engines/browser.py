"""The engines that run in a headless Chromium: `.web` folders by their own module, and the runtimes of npm.

Each starts a browser of its own with a fresh profile. The model runs in a Web Worker of a page that is served on the
loopback, with the finest clock that the browser has. `benchmark.browser` times it there.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError, one_line
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine import Engine, TensorSpec, single
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.engines.chromium import TIMEOUT_S, BrowserError, Page, launched
from fmnist_edge.runtime.engines.page_server import served
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.runtime.runner import PixelTable
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["NPM_VARIABLE", "BrowserEngine", "npm_folder", "npm_packages", "versions_of"]

NPM_VARIABLE = "FMNIST_EDGE_NPM"  # the folder in which `npm install` was run
PAGE = Path(__file__).with_name("browser_page")
LOAD_S = 300.0
DTYPES = ("float32", "int8", "uint8")


@dataclass(frozen=True)
class Library:
    """What runs a model: `browser_page/MODULE.js` uses it.

    Attributes:
        dtypes: of the tensors that it takes.
        entries: npm package -> the file to import.
    """

    title: str
    dtypes: tuple[str, ...] = DTYPES
    entries: Mapping[str, str] = field(default_factory=dict)


LIBRARIES = {
    "web": Library("fmnist-edge"),
    "onnxruntime": Library("ONNX Runtime Web", entries={"onnxruntime-web": "dist/ort.wasm.bundle.min.mjs"}),
    "litert": Library(
        "LiteRT.js",
        ("float32", "uint8"),
        {"@litertjs/core": "dist/index.js", "@litertjs/wasm-utils": "dist/index.js"},
    ),
}
# No name leads anywhere, so the browser sends nothing to another host.
OFFLINE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


def npm_packages() -> str:
    """What engines need from npm: name@version, with spaces between them."""
    return " ".join(filter(None, (record.settings.get("npm") for record in ENGINES.values())))


class BrowserEngine(Engine):
    """A model in a Web Worker. One thread; it ignores `threads`.

    Attributes:
        browser: the running `chromium.Browser`.
        cold: milliseconds from the start of the worker to the loaded model and to the first answer, and the bytes that
            were loaded until then.
    """

    def __init__(
        self,
        path: str,
        threads: int | None = None,
        *,
        module: str,
        npm: str = "",
    ) -> None:
        """`module`: a key of LIBRARIES. `npm`: packages as name@version, with spaces between them."""
        packages, library = versions_of(npm), LIBRARIES[module]
        folder = npm_folder(packages)
        manifest = Manifest.read(path)
        self._contract, self._path = contract_of(manifest, path), path
        self.input = single(list(manifest.inputs), "input", path)
        self.output = single(list(manifest.outputs), "output", path)
        check_dtypes(self.input.dtype, self.output.dtype, library.dtypes, library.title)
        self.version = " ".join([library.title, *list(packages.values())[:1]])
        self._stack = ExitStack()
        try:
            self._start(module, folder)
        except BaseException:
            self.close()
            raise

    def _start(self, module: str, npm: Path | None) -> None:
        found = Path(self._path)
        artifact = f"/artifact/{found.name}" + "/" * found.is_dir()
        sources = {"/artifact/": found.parent.resolve(), "/": PAGE}
        if npm is not None:
            sources = {"/npm/": npm / "node_modules", **sources}
        modules = {name: f"/npm/{name}/{file}" for name, file in LIBRARIES[module].entries.items()}
        self.server = self._stack.enter_context(served(sources, modules))
        profile = self._stack.enter_context(temporary_folder("browser"))
        self.browser = self._stack.enter_context(launched(profile, flags=[OFFLINE]))
        self._page = Page(self.browser.connection, self.browser.new_target())
        self._page.open(f"{self.server.url}index.html")
        spec = {"module": f"./{module}.js", "artifact": artifact, **tensors_of(self.input, self.output, self._contract)}
        started = self._call(f"start({json.dumps(spec)})", LOAD_S)
        self.cold = {
            "load_ms": started["load_ms"],
            "first_answer_ms": started["first_answer_ms"],
            "bytes_loaded": self.server.bytes_below("/artifact/", "/npm/"),
        }
        where = f"{self.browser.name} {self.browser.version}"
        self.version = ", ".join(filter(None, (self.version, started["variant"], where)))

    def _call(self, expression: str, timeout_s: float) -> Any:
        try:
            return self._page.run(expression, timeout_s)
        except BrowserError as error:
            raise ArtifactError(f"{self._path}: in the browser: {one_line(error, 200)}") from None

    def ask(self, method: str, timeout_s: float = TIMEOUT_S, **arguments: Any) -> Any:
        """What the worker's `method` replies, see `browser_page/worker.js`. Raises ArtifactError for what it throws."""
        return self._call(f"ask({json.dumps(method)}, {json.dumps(arguments)})", timeout_s)

    def publish(self, **content: np.ndarray) -> None:
        """Let the worker read arrays, by their names."""
        for name, array in content.items():
            self.server.published[f"/data/{name}"] = np.ascontiguousarray(array).tobytes()

    def run(self, batch: np.ndarray) -> np.ndarray:
        if batch.dtype != self.input.dtype or batch.shape[1:] != tuple(self.input.shape[1:]):
            raise ArtifactError(f"an input of {batch.dtype} {batch.shape}; expected {self.input}")
        self.publish(batch=batch)
        rows = [np.frombuffer(base64.b64decode(row), self.output.dtype) for row in self.ask("run", LOAD_S)]
        return np.stack(rows).reshape(len(batch), -1)

    def close(self) -> None:
        self._stack.close()


def contract_of(manifest: Manifest, path: str) -> Contract:
    contract = manifest.contract
    if contract.dtype != "uint8" or contract.outputs:
        raise UnavailableError(f"{Path(path).name}: in a browser we run models of images of bytes; leave it out")
    return contract


def check_dtypes(tensor: str, output: str, known: Sequence[str], title: str) -> None:
    unknown = next((dtype for dtype in (tensor, output) if dtype not in known), None)
    if unknown is not None:
        raise UnavailableError(
            f"{title} has no {unknown} tensors; it takes files whose input and output are {' or '.join(known)}"
        )


def tensors_of(tensor: TensorSpec, output: TensorSpec, contract: Contract) -> dict[str, Any]:
    """What the worker needs to turn an image into the model's input."""
    return {
        "shape": contract.input_shape,
        "classes": contract.score_count,
        "layout": contract.layout,
        "reversed": contract.preprocessing.order == "BGR",
        "dtype": tensor.dtype,
        "tensorShape": [1, *tensor.shape[1:]],
        "table": base64.b64encode(PixelTable(tensor, contract).values.tobytes()).decode(),
    }


def versions_of(packages: str) -> dict[str, str]:
    """Name -> version of packages like "@litertjs/core@2.5.3", with spaces between them."""
    return dict(item.rsplit("@", 1) for item in packages.split())


def npm_folder(packages: Mapping[str, str], given: Path | None = None) -> Path | None:
    """The folder whose node_modules has `packages`, name -> version; None without packages.

    It is `given`, or what NPM_VARIABLE names, or else the working folder.

    Raises UnavailableError, with the command that installs them, for a package that is missing or another version.
    """
    if not packages:
        return None
    folder = (given or Path(os.environ.get(NPM_VARIABLE) or ".")).resolve()
    for name, version in packages.items():
        try:
            found = json.loads((folder / "node_modules" / name / "package.json").read_bytes())["version"]
        except (OSError, ValueError, KeyError, TypeError):
            found = None
        if found != version:
            state = "is not installed" if found is None else f"is {found}, not {version}"
            wanted = " ".join(f"{item}@{number}" for item, number in packages.items())
            raise UnavailableError(
                f"{name} {state} in the npm folder; run: npm install --prefix DIR {wanted}, then give --npm DIR"
            )
    return folder
