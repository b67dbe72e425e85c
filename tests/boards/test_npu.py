"""`npu`: what Vela says, a list of ops, and the compiled file. A stand-in for Vela writes what Vela 5.2 wrote."""

import json
import sys

import pytest
from support import ROOT
from support.installed import needs

from fmnist_edge.artifact import Artifact
from fmnist_edge.boards.npu import rules, tables, vela
from fmnist_edge.boards.npu.placement import OnCpu
from fmnist_edge.boards.npu.rules import FileOp
from fmnist_edge.catalog.npus import NPUS
from fmnist_edge.cli import main
from fmnist_edge.errors import ArtifactError, UnavailableError

COMPACT = ROOT / "exported/compact_cnn/int8.tflite"
RESNET = ROOT / "exported/tiny_resnet/int8.tflite"
U55, EDGE_TPU, NNAPI = NPUS["ethos-u55-128"], NPUS["edge-tpu"], NPUS["nnapi"]

LAYERS = """Original Operator,NNG Operator,Target,Op Cycles,Name
Conv2D,Conv2D,NPU,10,first
Conv2D,Relu,NPU,0,first
Reshape,Passthrough,CPU,0,flat
FullyConnected,Passthrough,CPU,0,last
"""
SUMMARY = """network,system_config,memory_mode,core_clock,sram_memory_used,dram_memory_used,on_chip_flash_memory_used,\
off_chip_flash_memory_used,cycles_total
default,Some_System,Shared_Sram,500000000.0,1.5,0.0,0.25,2.0,1000
"""
PRINTED = """Warning (supported operators) operator: FULLY_CONNECTED, ofm: 'last'
Reason: Operation has tensor with unsupported DataType Float32 (flat)
Feature-map dataTypes must be one of {"INT16", "INT8"}
"""
STAND_IN = f"""#!{sys.executable}
import pathlib, sys
if "--version" in sys.argv:
    print("5.2.0"); sys.exit()
out = pathlib.Path(sys.argv[sys.argv.index("--output-dir") + 1])
MODE
print({PRINTED!r})
(out / "m_per-layer.csv").write_text({LAYERS!r})
(out / "m_summary_Some_System.csv").write_text({SUMMARY!r})
(out / "m_vela.tflite").write_bytes(b"compiled for " + sys.argv[sys.argv.index("--accelerator-config") + 1].encode())
"""


def stand_in(tmp_path, mode=""):
    path = tmp_path / "vela"
    path.write_text(STAND_IN.replace("MODE", mode))
    path.chmod(0o755)
    return path


class TestVela:
    def test_says_where_ops_run_and_why_they_stay(self, tmp_path):
        found = vela.compiled(COMPACT, U55, 5, vela.Settings(str(stand_in(tmp_path))))
        assert found.content == b"compiled for ethos-u55-128" and found.version == "5.2.0"
        placement = found.placement
        assert (placement.ops, placement.on_npu, placement.removed) == (5, 1, 2), "a fused activation is no op"
        assert placement.on_cpu == (
            OnCpu("RESHAPE", "flat", "Vela gives no reason"),
            OnCpu("FULLY_CONNECTED", "last", "Operation has tensor with unsupported DataType Float32 (flat)"),
        )
        facts = placement.facts
        assert (facts["sram_bytes"], facts["flash_bytes"], facts["estimated_cycles"]) == (1536, 2304, 1000)
        assert "≈ 1,000" in tables.summary({"m": [placement]}) and "≈ 0.00" in tables.summary({"m": [placement]})
        assert any("accurate representations" in line for line in tables.notes({"m": [placement]}))

    @pytest.mark.parametrize("mode, reason", [
        ("import os; os.kill(os.getpid(), 11)", "SIGSEGV"), ("sys.exit('no such config')", "no such config"),
        ("print('bad file'); sys.exit()", "wrote no result; it said: bad file"),
    ])  # fmt: skip
    def test_a_failure_is_one_line(self, tmp_path, mode, reason):
        with pytest.raises(ArtifactError, match=reason) as caught:
            vela.compiled(COMPACT, U55, 5, vela.Settings(str(stand_in(tmp_path, mode))))
        assert "\n" not in str(caught.value) and str(COMPACT) in str(caught.value)

    def test_without_it_says_how_to_get_it(self, monkeypatch):
        monkeypatch.setattr(vela, "find_spec", lambda name: None)
        monkeypatch.setattr(vela.shutil, "which", lambda name: None)
        with pytest.raises(UnavailableError, match=r"pip install 'fmnist-edge\[npu\]'.*--vela"):
            vela.command(None)
        with pytest.raises(UnavailableError, match="--vela elsewhere: no such program"):
            vela.command("elsewhere")

    @needs("ethosu")
    @pytest.mark.parametrize("path", [COMPACT, RESNET], ids=["compact_cnn", "tiny_resnet"])
    def test_real_vela_takes_all_ops_of_what_ships(self, path):
        """The headline original too: its LRN is integer ops only."""
        ops = rules.ops_of(path.read_bytes(), str(path))
        placement = vela.compiled(path, U55, len(ops), vela.Settings()).placement
        assert not placement.on_cpu and placement.removed == sum(op.kind == "RESHAPE" for op in ops)


class TestCommand:
    def npu(self, tmp_path, *arguments, mode=""):
        line = ["npu", COMPACT, *arguments, "--out", tmp_path / "out", "--report", tmp_path / "npu.json"]
        return main([*map(str, line), "--vela", str(stand_in(tmp_path, mode))])

    def test_writes_the_compiled_file_as_an_artifact(self, tmp_path, capsys):
        assert self.npu(tmp_path, "--target", "ethos-u55-128") == 1
        assert "not all ops go to the NPU" in capsys.readouterr().err
        written = Artifact.open(tmp_path / "out/compact_cnn/int8.ethos-u55-128.vela")
        original = Artifact.open(COMPACT)
        assert written.manifest.golden == original.manifest.golden and written.contract == original.contract
        document = written.manifest.as_dict()
        assert document["compiled_from"] == {"artifact": "int8.tflite", "sha256": original.manifest.sha256}
        assert document["npu"]["estimated_cycles"] == 1000 and document["versions"]["ethos-u-vela"] == "5.2.0"
        assert "parity" not in document, "the parity of another file"
        assert document["sha256"] != original.manifest.sha256 and document["size_bytes"] == written.size_bytes

    def test_a_list_of_ops_needs_no_vela(self, tmp_path):
        assert self.npu(tmp_path, "--target", "edge-tpu", mode="1/0") == 0
        report = json.loads((tmp_path / "npu.json").read_text())["artifacts"][str(COMPACT)]
        assert report[0]["on_npu"] == report[0]["ops"] == 9 and not (tmp_path / "out").exists()

    def test_a_page_without_markers_is_an_error(self, tmp_path, capsys):
        page = tmp_path / "page.md"
        page.write_text("nothing")
        assert self.npu(tmp_path, "--target", "edge-tpu", "--page", page) == 2
        page.write_text(f"before\n{tables.OPEN}\nold\n{tables.CLOSE}\nafter\n")
        assert self.npu(tmp_path, "--target", "edge-tpu", "--page", page) == 0
        text = page.read_text()
        assert text.startswith("before") and text.endswith("after\n") and "old" not in text and "edge-tpu" in text


class TestRules:
    def why(self, npu, *arguments, **options):
        return rules.why_not(npu, FileOp(*arguments, **options))

    def test_an_op_that_no_document_names_is_not_supported(self):
        assert self.why(EDGE_TPU, "CUSTOM", "x", ("INT8",)) == "not in the list of ops"
        assert self.why(EDGE_TPU, "LOCAL_RESPONSE_NORMALIZATION", "x", ("FLOAT32",)) == "not in the list of ops"

    def test_types(self):
        assert "FLOAT32" in self.why(EDGE_TPU, "CONV_2D", "x", ("INT8", "FLOAT32"))
        assert not self.why(NNAPI, "CONV_2D", "x", ("FLOAT32",))
        assert "INT8" in self.why(NNAPI, "RSQRT", "x", ("INT8",))
        assert not self.why(EDGE_TPU, "QUANTIZE", "x", ("FLOAT32", "INT8")), "one of its sides is float"

    def test_fused_activations_and_scales(self):
        assert "fused" in self.why(EDGE_TPU, "AVERAGE_POOL_2D", "x", ("INT8",), fused=True)
        assert not self.why(EDGE_TPU, "CONV_2D", "x", ("INT8",), fused=True)
        assert "scales" in self.why(NNAPI, "FULLY_CONNECTED", "x", ("INT8",), weight_scales=10)
        assert not self.why(NNAPI, "FULLY_CONNECTED", "x", ("INT8",), weight_scales=1)

    def test_reads_the_ops_of_a_file(self):
        ops = rules.ops_of(COMPACT.read_bytes(), "m")
        assert [op.kind for op in ops][:2] == ["CONV_2D", "MAX_POOL_2D"] and len(ops) == 9
        assert ops[0].fused and ops[0].types == ("INT8",) and ops[0].weight_scales == 34
        assert not ops[1].fused and ops[1].weight_scales == 0

    def test_a_damaged_file_is_one_line(self):
        with pytest.raises(ArtifactError, match="m: not a readable"):
            rules.ops_of(COMPACT.read_bytes()[:3000], "m")

    def test_limits_that_are_not_checked_are_said(self):
        placement = rules.judge(EDGE_TPU, [FileOp("SOFTMAX", "x", ("INT8",))])
        assert any("16,000" in limit for limit in placement.limits) and placement.on_npu == 1


def test_the_committed_page_has_every_shipped_model():
    text = (ROOT / "docs/npu.md").read_text(encoding="utf-8")
    for path in sorted((ROOT / "exported").glob("*/int8.tflite")):
        for npu in (EDGE_TPU, NNAPI):
            row = tables.row(f"{path.parent.name}/int8.tflite", rules.judge(npu, rules.ops_of(path.read_bytes(), "m")))
            cells = [line.split("|") for line in text.splitlines() if line.startswith(f"| {row[0]} ")]
            assert [cell.strip() for cell in row] in [[cell.strip() for cell in line[1:-1]] for line in cells]
