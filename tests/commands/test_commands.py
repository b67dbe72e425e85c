"""The commands describe themselves: help, docs/cli.md and the parsers come from their files and nothing else."""

import ast
import re
import shlex
import tomllib
from importlib import import_module, metadata

import pytest
from support import ROOT

import fmnist_edge.commands as package
from fmnist_edge import checkpoints
from fmnist_edge.cli import main
from fmnist_edge.commands import extras, reference
from fmnist_edge.commands.command import Group, commands
from fmnist_edge.commands.manual import PROGRAM, arguments_of, explained, parser, parser_of
from fmnist_edge.errors import InputError, UnavailableError, one_line
from fmnist_edge.exporters.exporter import export_errors

FOLDER = ROOT / "fmnist_edge/commands"
COMMANDS = {command.name: command for command in commands()}
PAGES = {name: command.help for name, command in COMMANDS.items()}
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
EACH = pytest.mark.parametrize("name", COMMANDS)

DROPPED = '''"""`fmnist-edge measure-tea`: a command that somebody adds."""
from fmnist_edge.commands.command import Group, Help

HELP = Help(Group.MEASURE, 99, "measure the tea", "Measures the tea.", (("Two cups", "measure-tea --cups 2"),))


def add_arguments(parser):
    parser.add_argument_group("How").add_argument("--cups", type=int, default=1, metavar="N", help="Number of cups.")


def run(options):
    print(f"{options.cups} cups")
'''


def arguments_by_name(name):
    return [action for _, actions in arguments_of(parser_of(COMMANDS[name])) for action in actions]


OF_BENCH = [text for action in arguments_by_name("bench") for text in action.option_strings]


def shown(capsys, *arguments):
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 0
    return capsys.readouterr().out


@EACH
class TestHelp:
    def test_has_paragraphs_groups_examples_and_exit_codes(self, name, capsys, monkeypatch):
        monkeypatch.setenv("COLUMNS", "100")
        text = shown(capsys, name, "--help")
        first, *rest = PAGES[name].description.split()
        assert text.startswith(f"usage: fmnist-edge {name} [options]") and f"\n\n{first} {rest[0]}" in text
        assert all(f"\n    {PROGRAM} {line}\n" in text for _, line in PAGES[name].examples)
        assert "\nExit codes:\n  0    done\n" in text and "\n  130  interrupted\n" in text
        assert ("\n  1    " in text) == bool(PAGES[name].gate)
        assert "\nHelp:\n" in text and "positional arguments" not in text and "\noptions:" not in text

    def test_fits_the_terminal(self, name, capsys, monkeypatch):
        for columns in (70, 120):
            monkeypatch.setenv("COLUMNS", str(columns))
            lines = shown(capsys, name, "--help").splitlines()
            examples = {f"    {PROGRAM} {line}" for _, line in PAGES[name].examples}
            wide = [line for line in lines if len(line) > min(columns, 100) and line not in examples]
            assert not [line for line in wide if " " in line.strip()], "one word alone may be longer"

    def test_examples_parse(self, name):
        assert PAGES[name].examples
        for what, line in PAGES[name].examples:
            options = parser().parse_args(shlex.split(line))
            assert options.command.name == name, what

    def test_choices_and_defaults_are_told_once(self, name):
        for action in arguments_by_name(name):
            text = explained(action)
            assert text.endswith(".") and text[0].isupper(), text
            assert text.count("Default") <= 1
            if action.choices is not None:
                assert action.metavar is not None, "argparse would list the choices once more"
                listed = ", ".join(action.choices)
                assert text.count(listed) == 1 and listed not in action.help

    def test_summary_and_gate_are_short_and_plain(self, name):
        page = PAGES[name]
        assert len(page.summary) <= 66 and page.summary[0].islower() and not page.summary.endswith(".")
        assert not page.gate.endswith(".") and not page.description.strip().endswith(":")

    def test_a_command_that_fails_gates_says_what_exit_code_1_means(self, name):
        source = (FOLDER / f"{name}.py").read_text()
        fails = "raise GateError" in source or "exit_code(result)" in source
        assert fails == bool(PAGES[name].gate)

    def test_the_extra_exists(self, name):
        assert PAGES[name].extra in ("", *EXTRAS)

    def test_imports_no_other_command(self, name):
        """What two commands share is in a module that is no command."""
        imported = set()
        for node in ast.walk(ast.parse((FOLDER / f"{name}.py").read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == package.__name__:
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{package.__name__}."):
                imported.add(node.module.rpartition(".")[2])
        assert not imported & set(COMMANDS)

    def test_names_only_commands_that_exist(self, name):
        page = PAGES[name]
        told = [explained(action) for action in arguments_by_name(name)]
        words = re.findall(rf"`(?:{PROGRAM} )?([a-z]+)(?: [^`]*)?`", " ".join([page.summary, page.description, *told]))
        assert set(words) <= {*COMMANDS, "make"}


def test_nothing_but_its_own_file_names_a_command():
    """Neither the command line nor what the commands share holds a list of them."""
    files = [ROOT / "fmnist_edge/cli.py", *(file for file in FOLDER.glob("*.py") if file.stem not in COMMANDS)]
    for file in files:
        strings = [node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)]
        assert not set(COMMANDS) - {"data", "report", "train"} & {text for text in strings if isinstance(text, str)}, (
            file
        )
    assert not re.search(rf"commands[./]({'|'.join(COMMANDS)})\b", (ROOT / "pyproject.toml").read_text())


class TestOverview:
    def test_groups_every_command_by_its_job(self, capsys):
        text = shown(capsys, "--help")
        titles = [group.value for group in Group]
        places = [text.index(f"\n{title}:\n") for title in titles]
        assert places == sorted(places)
        for name, page in PAGES.items():
            place = re.search(rf"^  {name} +{re.escape(page.summary)}$", text, re.M).start()
            assert sum(place > start for start in places) == titles.index(page.group.value) + 1
        assert "70   a bug in fmnist-edge" in text and "FMNIST_EDGE_VERBOSE" in text

    def test_no_two_commands_of_a_group_have_the_same_place(self):
        places = [(page.group, page.order) for page in PAGES.values()]
        assert len(set(places)) == len(places)


class TestANewCommand:
    """Is one new file."""

    @pytest.fixture
    def dropped(self, tmp_path, monkeypatch):
        (tmp_path / "measure_tea.py").write_text(DROPPED)
        (tmp_path / "tea_tables.py").write_text('"""What two commands might share."""\n')
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])

    def test_is_in_the_help_and_in_the_reference_and_runs(self, dropped, capsys):
        assert [command.name for command in commands()].index("measure-tea") == list(COMMANDS).index("doctor")
        assert re.search("\n  measure-tea  measure the tea\n", shown(capsys, "--help"))
        assert "Number of cups. Default: 1." in shown(capsys, "measure-tea", "--help")
        assert main(["measure-tea", "--cups", "3"]) == 0
        assert capsys.readouterr().out == "3 cups\n"
        assert "### fmnist-edge measure-tea" in reference.text()

    def test_a_module_without_help_is_none(self, dropped):
        assert "tea-tables" not in {command.name for command in commands()}
        assert "arguments" not in COMMANDS and "manual" not in COMMANDS


def test_the_reference_is_what_the_parsers_say(monkeypatch):
    for columns in ("40", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        assert (ROOT / "docs/cli.md").read_text() == reference.text(), "docs/cli.md is out of date; run: make docs"


def test_the_reference_has_every_option():
    text = reference.text()
    for name in COMMANDS:
        section = text.split(f"### {PROGRAM} {name}\n")[1].split("\n## ")[0].split("\n### ")[0]
        for action in arguments_by_name(name):
            written = action.option_strings[-1] if action.option_strings else action.metavar
            assert f"`{written}" in section or written == "--help", (name, written)


class TestLimit:
    """A count of images is --limit everywhere; --images is a file."""

    @EACH
    def test_images_is_never_a_number(self, name):
        types = {text: action.type for action in arguments_by_name(name) for text in action.option_strings}
        assert types.get("--images") is None
        assert "--limit" not in types or types["--limit"].__name__ == "whole_number"


class TestResume:
    """A resumed run keeps the options it was started with."""

    @pytest.mark.parametrize(
        "option", [text for text in OF_BENCH if text[2:] not in ("images", "skip-bad", "resume", "help", "")]
    )
    def test_refuses_every_other_option_by_its_name(self, option, capsys):
        (action,) = [action for action in arguments_by_name("bench") if option in action.option_strings]
        value = [] if action.nargs == 0 else [str(next(iter(action.choices or ["1"])))]
        assert main(["bench", "--resume", "a.partial.jsonl", option, *value]) == 2
        err = capsys.readouterr().err
        assert f"error: {option}: cannot be used with --resume" in err and "leave it out" in err

    def test_even_one_with_its_default(self, capsys):
        assert main(["bench", "exported", "--resume", "a", "--out", "benchmarks/results"]) == 2
        assert "error: artifacts, --out: cannot be used with --resume" in capsys.readouterr().err

    def test_takes_the_images(self, capsys, tmp_path):
        assert main(["bench", "--resume", str(tmp_path / "none"), "--images", str(tmp_path)]) == 2
        assert "no such file" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "given, said",
        [
            (["--ssh-config", "x"], "--ssh-config: cannot be used without --on"),
            (["--check-overhead", "--plan", "quick"], "--plan: cannot be used with --check-overhead"),
            (["--check-cost", "--threads", "2"], "--threads: cannot be used with --check-cost"),
        ],
    )
    def test_nothing_else_is_ignored_either(self, given, said, capsys):
        assert main(["bench", *given]) == 2
        assert said in capsys.readouterr().err


class TestAMissingModule:
    """Exit code 3 if it is a dependency that was not installed; else it is our fault, and told as such."""

    @pytest.fixture(autouse=True)
    def installed_as_declared(self, monkeypatch):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        lines = list(project["dependencies"])
        for extra, requirements in EXTRAS.items():
            lines += [f'{text}{" and" if ";" in text else ";"} extra == "{extra}"' for text in requirements]
        monkeypatch.setattr(metadata, "requires", lambda name: lines)
        monkeypatch.delenv("FMNIST_EDGE_VERBOSE", raising=False)

    def fails(self, monkeypatch, name, command="models"):
        def run(options):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        monkeypatch.setattr(f"fmnist_edge.commands.{command}.run", run)
        line = next(line for _, line in PAGES[command].examples)
        return main(shlex.split(line))

    @pytest.fixture
    def absent(self, monkeypatch):
        """As on a machine where no package is installed."""
        monkeypatch.setattr(extras, "find_spec", lambda name: None)

    @pytest.mark.parametrize(
        "module, command, extra",
        [
            ("tensorflow.lite", "export", "export"),
            ("keras", "train", "train"),  # of export, which train includes: what the command needs in all
            ("optuna", "tune", "tune"),
            ("matplotlib.pyplot", "data", "train"),
            ("PIL", "data", "images"),
            ("onnx", "data", "bench"),  # the smaller one of two
            ("scipy.stats", "data", "export"),  # not dev
        ],
    )
    def test_the_extra_that_has_it_is_named(self, module, command, extra, absent, capsys, monkeypatch):
        assert self.fails(monkeypatch, module, command) == 3
        err = capsys.readouterr().err
        package = module.partition(".")[0]
        assert err == (
            f"fmnist-edge: error: this command needs {package}, which is not installed; "
            f"run: pip install 'fmnist-edge[{extra}]'\n"
        )

    @pytest.mark.parametrize("module", ["fmnist_edge.commands.gone", "fmnist_edge", "nobody_knows", "pytest_of_dev"])
    def test_ours_and_unknown_ones_are_our_bug(self, module, absent, capsys, monkeypatch):
        assert self.fails(monkeypatch, module) == 70
        err = capsys.readouterr().err
        assert "internal error: ModuleNotFoundError: No module named" in err and "pip install" not in err
        assert "Traceback" not in err and "FMNIST_EDGE_VERBOSE=1" in err

    def test_a_missing_part_of_an_installed_package_is_our_bug(self, capsys, monkeypatch):
        assert self.fails(monkeypatch, "keras.gone") == 70

    def test_a_package_that_cannot_be_imported(self, capsys, monkeypatch, tmp_path):
        """Such as one whose library needs a newer system."""
        (tmp_path / "broken_of_the_test.py").write_text("raise ImportError('libx.so: file too short')")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr("fmnist_edge.commands.models.run", lambda _: import_module("broken_of_the_test"))
        assert main(["models"]) == 3
        assert capsys.readouterr().err == (
            "fmnist-edge: error: this command needs broken_of_the_test, which is installed and cannot be imported "
            "(libx.so: file too short); install it again\n"
        )

    def test_a_package_that_is_not_installed_at_all(self, capsys, monkeypatch, absent):
        def requires(name):
            raise metadata.PackageNotFoundError(name)

        monkeypatch.setattr(metadata, "requires", requires)
        assert self.fails(monkeypatch, "keras") == 70

    @pytest.mark.parametrize("module, code", [("keras", 3), ("fmnist_edge.gone", 70)])
    def test_verbose_shows_where(self, module, code, absent, capsys, monkeypatch):
        monkeypatch.setenv("FMNIST_EDGE_VERBOSE", "1")
        assert self.fails(monkeypatch, module) == code
        err = capsys.readouterr().err
        assert "Traceback" in err and "ModuleNotFoundError" in err and err.splitlines()[-1].startswith("fmnist-edge: ")

    def test_neither_the_converters_nor_the_loader_hide_it(self):
        with pytest.raises(ModuleNotFoundError), export_errors("converting"):
            raise ModuleNotFoundError("No module named 'fmnist_edge.gone'", name="fmnist_edge.gone")
        with pytest.raises(ModuleNotFoundError):
            checkpoints.require("fmnist_edge.gone")
        with pytest.raises(UnavailableError, match=r"needs nobody_knows; run: pip install 'fmnist-edge\[export\]'"):
            checkpoints.require("nobody_knows")

    def test_modules_are_found_under_their_packages_names(self):
        """Every module that a dependency installs by another name than its own is in the record."""
        known = {extras.normal(name) for packages in extras.declared().values() for name in packages if name[0] != "["}
        by_module = metadata.packages_distributions()
        for module, installs in extras.PACKAGES.items():
            assert installs in known
            assert module not in by_module or installs in map(extras.normal, by_module[module])
        found = {extras.normal(extras.PACKAGES.get(module, module)) for module in by_module}
        here = {extras.normal(name) for names in by_module.values() for name in names}
        assert known & here <= found


def test_a_long_message_keeps_its_reason(capsys, monkeypatch):
    def run(options):
        raise InputError("x.tflite: " + "very long, " * 200 + "the reason; the remedy")

    monkeypatch.setattr("fmnist_edge.commands.models.run", run)
    assert main(["models"]) == 2
    assert capsys.readouterr().err.endswith("the reason; the remedy\n")
    cut = one_line(InputError("x.tflite: " + "very long, " * 200 + "the reason; the remedy"), 120)
    assert len(cut) == 120 and cut.startswith("x.tflite: ") and cut.endswith("the reason; the remedy") and "…" in cut
