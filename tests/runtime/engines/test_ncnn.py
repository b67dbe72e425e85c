"""ncnn: damaged files, threads, precision."""

import io
import zipfile

import pytest
from support.engines import refused
from support.installed import needs
from support.linear import with_manifest

from fmnist_edge.runtime import Classifier


@needs("ncnn")
class TestNcnn:
    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda files: files.pop("model.bin"), "expected exactly model.param and model.bin"),
            (lambda files: files.update(more=b"x"), "expected exactly model.param and model.bin"),
            (lambda files: files.update({"model.bin": files["model.bin"][:900]}), "refuses the file (ModelBin read"),
            (lambda files: swap(files, b"InnerProduct", b"NoSuchLayer"), "refuses the file (layer NoSuchLayer not"),
            (lambda files: swap(files, b"-23330=4,3,1,28,28", b""), "has no shape for 'image'"),
            (lambda files: swap(files, b"7767517", b"1234567"), "refuses the file"),
            (lambda files: files.update({"model.param": b"\xff"}), "not a .ncnn file"),
        ],
    )
    def test_damaged_content_is_one_line(self, linear_models, tmp_path, capfd, change, said):
        with zipfile.ZipFile(linear_models["float32.ncnn"]) as archive:
            files = {name: archive.read(name) for name in archive.namelist()}
        change(files)
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        refused(with_manifest(tmp_path / "x.ncnn", file.getvalue()), said)
        assert capfd.readouterr() == ("", "")

    def test_a_compressed_file_is_refused(self, tmp_path):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("model.param", b" " * 1000)
            archive.writestr("model.bin", b"")
        refused(with_manifest(tmp_path / "x.ncnn", file.getvalue()), "expected no compression")

    def test_threads(self, linear_models):
        with Classifier.load(linear_models["float32.ncnn"], threads=2) as classifier:
            assert classifier.engine._net.opt.num_threads == 2

    def test_float32_weights_are_not_computed_in_float16(self, linear_models):
        with Classifier.load(linear_models["float32.ncnn"]) as classifier:
            options = classifier.engine._net.opt
            assert not (options.use_fp16_storage or options.use_fp16_packed or options.use_fp16_arithmetic)


def swap(files: dict[str, bytes], old: bytes, new: bytes) -> None:
    files["model.param"] = files["model.param"].replace(old, new)
