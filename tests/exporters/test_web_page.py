"""The web form's page in headless Chromium: the same bits as Python, what it shows, what it loads, and bad input."""

import base64
import io
import json
import os
import shutil
import subprocess
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from support.browser import browser, needs_browser, served
from support.web_models import SHIPPED, needs_wasm_compiler, tflite_of, web_folder
from support.web_page import PROVEN, opened, text

from fmnist_edge.data import fashion_mnist
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.folder import MANIFEST
from fmnist_edge.runtime.images import read_image
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.runtime.polarity import Polarity

pytestmark = [pytest.mark.slow, needs_browser(), needs_wasm_compiler()]
SOME = "compact_cnn"
AXE = "axe-core@4.11.0"
SHOWN = "!document.getElementById('result').hidden"
TOLD = "!document.getElementById('message').hidden"
# A worker as the page's own. `raw` is base64 of images of 28 x 28 grey pixels.
SCORES = """(async () => {
  const worker = new Worker("worker.js", { type: "module" });
  const replies = new Map();
  worker.onmessage = ({ data }) => { replies.get(data.id)(data.value ?? Promise.reject(Error(data.error?.message))); };
  let last = 0;
  const ask = (method, args) =>
    new Promise((done) => { replies.set(++last, done); worker.postMessage({ id: last, method, args }); });
  await ask("load", { url: location.href, options: %s });
  const pixels = Uint8Array.from(atob("%s"), (letter) => letter.charCodeAt(0));
  const scores = [];
  for (let at = 0; at < pixels.length; at += 784) {
    const image = new ImageData(28, 28);
    pixels.subarray(at, at + 784).forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
    scores.push([...(await ask("scores", { image, options: {} }))]);
  }
  worker.terminate();
  return scores;
})()"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("profile")) as found:
        yield found


def python_classifier(model):
    return Classifier(ENGINES["numpy"].load(tflite_of(model)), Manifest.read(tflite_of(model)).contract)


def page_scores(page, images, options="{}"):
    raw = base64.b64encode(np.ascontiguousarray(images).tobytes()).decode()
    return np.asarray(page.run(SCORES % (options, raw)), np.float32)


class TestBits:
    @pytest.mark.parametrize("model", SHIPPED)
    def test_shipped_models(self, chromium, model, tmp_path):
        """Golden vectors and photos, which the page replays; and the vectors' scores bit for bit, in both builds."""
        made = web_folder(model, tmp_path)
        images = made.manifest.golden_vectors().images
        with served(made.path) as url:
            page = opened(chromium, url)
            assert text(page, "proof-text") == "Answers as at export (16 golden vectors, 5 photos)"
            with python_classifier(model) as classifier:
                expected = classifier.scores(images)
            for options in ('{"simd": true}', '{"simd": false}'):
                assert np.array_equal(page_scores(page, images, options), expected)
            assert page.errors == []

    @pytest.mark.parametrize("model", ["tiny_resnet_edge", SOME])
    def test_a_thousand_test_images(self, chromium, model, tmp_path):
        images = fashion_mnist.load("test").images[:1000]
        made = web_folder(model, tmp_path)
        with served(made.path) as url, python_classifier(model) as classifier:
            page = opened(chromium, url)
            assert np.array_equal(page_scores(page, images), classifier.scores(images))

    @pytest.mark.parametrize("mode", ["L", "RGB", "P", "LA-opaque", "RGB-gamma", "RGB-jpeg"])
    def test_image_files(self, chromium, compact_web, tmp_path, mode):
        """A file of each kind that is no photo of the export, decoded by the browser."""
        levels = np.random.default_rng(3).integers(0, 256, (61, 47, 3), np.uint8)
        picture = Image.fromarray(levels).convert(mode.partition("-")[0])
        path = tmp_path / "photo.png"
        chunks = PngInfo()
        if mode.endswith("gamma"):  # which Pillow leaves to the caller, and browsers apply unless they are told not to
            chunks.add(b"gAMA", (100_000).to_bytes(4, "big"))
        picture.save(path, "JPEG" if mode.endswith("jpeg") else "PNG", pnginfo=chunks)
        with served(compact_web.path) as url, python_classifier(SOME) as classifier:
            page = opened(chromium, url)
            page.choose_file("#file", path)
            page.wait(SHOWN)
            expected = classifier.from_file(path, invert="auto")
        assert text(page, "label") == expected.label
        seen = page.run("""(() => {
          const canvas = document.getElementById("seen");
          return [...canvas.getContext("2d").getImageData(0, 0, 28, 28).data].filter((_, i) => i % 4 === 0);
        })()""")
        pixels = read_image(path, *compact_web.contract.image_form)[None]
        assert bytes(seen) == Polarity(compact_web.contract).apply(pixels, "auto", 1).tobytes()


class TestPage:
    @pytest.mark.parametrize("dark", [False, True])
    @pytest.mark.parametrize("width", [390, 1440])
    def test_what_it_shows(self, chromium, compact_web, width, dark):
        with served(compact_web.path) as url:
            page = opened(chromium, url, width=width, dark=dark)
            page.run("document.querySelectorAll('#examples button')[2].click()")
            page.wait(SHOWN)
            assert text(page, "name") == SOME and "ms, from image file to answer" in text(page, "took")
            assert page.run("document.querySelectorAll('#bars tr').length") == 5
            assert page.run("document.documentElement.scrollWidth <= innerWidth")
            first, second = page.run("[...document.querySelectorAll('.bar')].slice(0, 2).map((bar) => bar.offsetWidth)")
            assert first > second
            assert page.errors == []
            pictures = os.environ.get("FMNIST_EDGE_PICTURES")  # a folder, to look at them
            if pictures:
                page.picture(Path(pictures) / f"web-{width}-{'dark' if dark else 'light'}.png")

    def test_the_answer_and_its_bars(self, chromium, compact_web):
        photo = compact_web.manifest.document["photos"]["images"][1]
        with served(compact_web.path) as url, python_classifier(SOME) as classifier:
            page = opened(chromium, url)
            page.run("document.querySelectorAll('#examples button')[1].click()")
            page.wait(SHOWN)
            expected = classifier.from_file(compact_web.path / photo["file"], invert="auto")
            rows = page.run("[...document.querySelectorAll('#bars tr')].map((row) => row.innerText)")
        labels = compact_web.contract.labels
        assert text(page, "label") == expected.label
        assert [row.partition("\t")[0].strip() for row in rows] == [labels[index] for index in expected.top_k(5)]

    def test_the_polarity_can_be_chosen(self, chromium, compact_web):
        with served(compact_web.path) as url:
            page = opened(chromium, url)
            page.run("document.querySelectorAll('#examples button')[4].click()")
            page.wait(SHOWN)
            assert text(page, "seen-text") == "as the model sees it"
            page.run("""(() => {
              const choice = document.getElementById("invert");
              choice.value = "never";
              choice.dispatchEvent(new Event("change"));
            })()""")
            page.wait("document.getElementById('seen-text').textContent.includes('looks inverted')")

    def test_paste_and_drop(self, chromium, compact_web):
        with served(compact_web.path) as url:
            page = opened(chromium, url)
            for event in ("paste", "drop"):
                kind, key = {"paste": ("ClipboardEvent", "clipboardData"), "drop": ("DragEvent", "dataTransfer")}[event]
                page.run(f"""(async () => {{
                  document.getElementById("result").hidden = true;
                  const data = new DataTransfer();
                  const photo = await (await fetch("photo-2.png")).blob();
                  data.items.add(new File([photo], "a.png", {{ type: "image/png" }}));
                  document.dispatchEvent(new {kind}("{event}", {{ {key}: data, bubbles: true, cancelable: true }}));
                }})()""")
                page.wait(SHOWN)
            page.run("document.dispatchEvent(new ClipboardEvent('paste', { clipboardData: new DataTransfer() }))")
            page.wait(TOLD)
            assert text(page, "message") == "There is no image in the clipboard."

    def test_camera(self, chromium, compact_web):
        with served(compact_web.path) as url:
            page = opened(chromium, url)
            page.run("document.getElementById('camera').click()")
            page.wait("!document.getElementById('live').hidden && document.getElementById('video').videoWidth > 0")
            page.run("document.getElementById('take').click()")
            page.wait(SHOWN)
            assert page.run("document.getElementById('live').hidden && document.activeElement.id === 'camera'")
            assert page.errors == []

    def test_nothing_else_is_loaded_and_nothing_inline_runs(self, chromium, compact_web):
        with served(compact_web.path) as url:
            page = opened(chromium, url)
            page.run("document.querySelectorAll('#examples button')[0].click()")
            page.wait(SHOWN)
            assert all(item.startswith((url, f"blob:{url}")) for item in page.requests), page.requests
            page.run("""(() => {
              const script = document.createElement("script");
              script.textContent = "document.title = 'inline ran'";
              document.body.append(script);
            })()""")
            assert page.run("document.title") == SOME
            with served(compact_web.path) as other:
                outside = f"fetch('{other}', {{ mode: 'no-cors' }}).then(() => 'loaded', (error) => error.name)"
                assert page.run(outside) == "TypeError"

    def test_it_works_offline_once_loaded(self, chromium, compact_web):
        with served(compact_web.path) as url:
            page = opened(chromium, url)
            page.run("navigator.serviceWorker.ready.then(() => true)")
            page.wait("navigator.serviceWorker.controller !== null")
            page.wait("caches.open('fmnist-edge-web').then(async (cache) => (await cache.keys()).length > 15)")
        page.open(url)  # the server is gone
        page.wait(PROVEN)
        assert text(page, "proof-text").startswith("Answers as at export")
        page.run("document.querySelectorAll('#examples button')[0].click()")
        page.wait(SHOWN)

    @pytest.mark.network
    @pytest.mark.parametrize("dark", [False, True])
    def test_accessibility(self, chromium, compact_web, tmp_path_factory, dark):
        """axe-core, which it fetches from npm."""
        folder = tmp_path_factory.getbasetemp() / "axe"
        if not (folder / "package/axe.min.js").is_file():
            if shutil.which("npm") is None:
                pytest.skip("no npm to fetch axe-core; run: apt-get install npm")
            folder.mkdir(exist_ok=True)
            packed = subprocess.run(["npm", "pack", AXE], cwd=folder, capture_output=True, check=False)
            if packed.returncode:
                pytest.skip("npm cannot fetch axe-core here")
            subprocess.run(["tar", "xzf", *map(str, folder.glob("axe-core-*.tgz"))], cwd=folder, check=True)
        with served(compact_web.path) as url:
            page = opened(chromium, url, width=390, dark=dark)
            page.run("document.querySelectorAll('#examples button')[1].click()")
            page.wait(SHOWN)
            page.run("document.getElementById('about').open = true")
            page.run((folder / "package/axe.min.js").read_text() + ";true")
            result = page.run("axe.run().then(({ violations, passes }) => ({ violations, passes: passes.length }))")
        assert result["violations"] == [] and result["passes"] > 20

    def test_the_keyboard_reaches_everything_in_order(self, chromium, compact_web):
        with served(compact_web.path) as url:
            page = opened(chromium, url)
            reached = []
            for _ in range(9):
                for kind in ("keyDown", "keyUp"):
                    page.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
                reached.append(page.run("document.activeElement.id || document.activeElement.localName"))
        assert reached == ["file", "camera", *["button"] * 5, "invert", "summary"]


def huge_png(width, height):
    """A PNG of so many pixels in a few kB."""

    def chunk(kind, content):
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + b"\x01\0\0\0\0"
    rows = zlib.compress(bytes((width + 7) // 8 + 1) * height, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg_header(width, height):
    """A JPEG of so many pixels that ends after its header."""
    content = io.BytesIO()
    Image.new("L", (8, 8)).save(content, "JPEG")
    found = bytearray(content.getvalue())
    at = found.index(b"\xff\xc0")
    found[at + 5 : at + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(found)


class TestBadInput:
    @pytest.mark.parametrize(("content", "message"), [
        (b"no image", "Not a readable image"),
        (b"", "Not a readable image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "has 0 x 0 pixels"),
        (huge_png(10_000, 10_000), "has 10000 x 10000 pixels; expected sides of 1 to 65,535"),
        (jpeg_header(12_000, 9_000), "has 12000 x 9000 pixels"),
    ], ids=["text", "empty", "no pixels", "100 megapixels", "108 megapixels"])  # fmt: skip
    def test_files_that_are_no_image(self, chromium, compact_web, tmp_path, content, message):
        path = tmp_path / "photo.png"
        path.write_bytes(content)
        with served(compact_web.path) as url:
            page = opened(chromium, url)
            page.choose_file("#file", path)
            page.wait(TOLD)
            assert message in text(page, "message")
            page.run("document.querySelectorAll('#examples button')[0].click()")  # it goes on
            page.wait(SHOWN)
            assert page.run("document.getElementById('message').hidden") and page.errors == []

    @pytest.mark.parametrize(("name", "change", "message"), [
        ("model.simd.wasm", lambda content: content[:-30], "model.simd.wasm: SHA-256 is"),
        ("weights.bin", lambda content: bytes(len(content)), "weights.bin: SHA-256 is"),
        ("manifest.json", lambda content: content[:-30], "manifest.json: not a readable manifest"),
    ])  # fmt: skip
    def test_altered_files(self, chromium, altered_web, name, change, message):
        path = altered_web / name
        path.write_bytes(change(path.read_bytes()))
        with served(altered_web) as url:
            page = opened(chromium, url)
            assert text(page, "proof-text") == "The model is not loaded"
            assert text(page, "message").startswith(message)
            assert page.run("document.getElementById('file').disabled")

    def test_another_answer_than_at_export_is_red(self, chromium, altered_web):
        document = json.loads((altered_web / MANIFEST).read_text())
        document["photos"]["images"][0]["scores"][0] += 1
        document["golden"]["tolerance"] = 0.0
        (altered_web / MANIFEST).write_text(json.dumps(document))
        with served(altered_web) as url:
            page = opened(chromium, url)
            assert page.run("document.getElementById('proof').className") == "proof bad"
            assert text(page, "proof-text").startswith("Answers otherwise than at export (1")

    def test_opened_as_a_file_it_says_what_to_do(self, chromium, compact_web):
        page = chromium.page()
        page.open((compact_web.path / "index.html").as_uri())
        time.sleep(0.5)
        assert "python3 -m http.server" in text(page, "proof-text")
