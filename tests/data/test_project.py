"""Project files: what is written is read back; a wrong key or value is one line; paths are relative to the file."""

import builtins
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmnist_edge.data.project import FILE, KEYS, Project, project_beside, quoted
from fmnist_edge.errors import FileError, FmnistEdgeError, InputError

tomllib = pytest.importorskip("tomllib")
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1).filter(
    lambda name: name not in (".", "..")
)


@given(TEXTS)
def test_any_text_is_read_back(text):
    assert tomllib.loads(f"x = {quoted(text, '')}") == {"x": text}


@given(st.floats(allow_nan=False, allow_infinity=False), st.lists(NAMES, min_size=1, max_size=3), st.booleans())
def test_what_is_written_is_read_back(tmp_path_factory, number, names, absolute):
    folder = tmp_path_factory.getbasetemp() / "written"
    folder.mkdir(exist_ok=True)
    given_path = str(Path("/", *names)) if absolute else str(Path(*names))
    written = Project(folder / FILE, {"model": given_path, "scale": number, "resize": "box"})
    (folder / FILE).write_text(written.text(), encoding="utf-8", newline="")
    found = Project.read(folder / FILE)
    assert found.values.keys() == written.values.keys()
    assert Path.cwd() / found.values["model"] == Path.cwd() / given_path
    assert (found.values["scale"], found.values["resize"]) == (number, "box")


def test_every_key_is_written():
    values = {name: 0.5 if key.kind == "number" else (key.choices or ("x",))[0] for name, key in KEYS.items()}
    assert list(tomllib.loads(Project(Path(FILE), values).text())) == list(KEYS)


def test_paths_are_relative_to_the_file_and_to_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exported/own").mkdir(parents=True)
    path = Path("exported/own") / FILE
    Project(path, {"model": "own.keras", "test": str(tmp_path.parent / "test")}).write()
    assert tomllib.loads(path.read_text()) == {"model": "../../own.keras", "test": "../../../test"}
    assert Project.read(path).values == {"model": "own.keras", "test": str(tmp_path.parent / "test")}
    assert str(tmp_path) not in path.read_text()


def test_a_link_to_the_folder_leads_to_the_same_files(tmp_path):
    (tmp_path / "real/deep/own").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real/deep/own")
    Project(tmp_path / "link" / FILE, {"model": str(tmp_path / "real/own.keras")}).write()
    assert tomllib.loads((tmp_path / "link" / FILE).read_text()) == {"model": "../../own.keras"}
    assert Project.read(tmp_path / "link" / FILE).values == {"model": str(tmp_path.resolve() / "real/own.keras")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('modle = "x"', f"unknown key 'modle'; expected {', '.join(KEYS)}"),
        ("model = 3", "model is 3; expected a path, as a text in quotes"),
        ('model = ""', "model is ''; expected a path"),
        ('model = "a\\u0000"', "expected a path"),
        ('scale = "1"', "scale is '1'; expected a finite number"),
        ("scale = true", "scale is True; expected a finite number"),
        ("mean = nan", "mean is nan; expected a finite number"),
        ("std = [1, true]", "std is [1, True]; expected a finite number"),
        ('resize = "cubic"', "resize is 'cubic'; expected one of nearest, box,"),
        ("[data]", "unknown key 'data'"),
        ('test_labels = "y.npy"', "test_labels without test"),
        ("model = ", "not a readable TOML file"),
        (f"x = {'[' * 5000}", "not a readable TOML file"),
    ],
)
def test_wrong_keys_and_values_are_one_line(tmp_path, text, said):
    path = tmp_path / FILE
    path.write_text(text)
    with pytest.raises(FmnistEdgeError) as refusal:
        Project.read(path)
    assert str(path) in str(refusal.value) and said in str(refusal.value) and "\n" not in str(refusal.value)


def test_files_that_are_no_text(tmp_path):
    path = tmp_path / FILE
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(FileError, match="not a readable TOML file"):
        Project.read(path)
    path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(FileError, match="more than 1,048,576 bytes"):
        Project.read(path)


def test_a_path_that_is_not_utf8_is_refused():
    with pytest.raises(InputError, match="is not UTF-8"):
        Project(Path(FILE), {"model": "\udcff.keras"}).text()


def test_a_path_to_nothing_names_file_and_key(tmp_path):
    project = Project(tmp_path / FILE, {"test": str(tmp_path / "none")})
    with pytest.raises(InputError, match=r"project\.toml: test is '.*none': no such file; expected a path relative"):
        project.existing("test")
    assert project.existing("train") is None


def test_comments_stay_where_nothing_changes(tmp_path):
    path = tmp_path / FILE
    path.write_text('# mine\nmodel = "./own.keras"\n')
    Project(path, {"model": str(tmp_path / "own.keras")}).write()
    assert path.read_text().startswith("# mine\n")
    Project(path, {"model": str(tmp_path / "other.keras")}).write()
    assert "# mine" not in path.read_text() and Project.read(path).values["model"].endswith("other.keras")


def test_python_without_tomllib_ignores_the_file(tmp_path, monkeypatch):
    (tmp_path / FILE).write_text("nonsense")
    original = builtins.__import__

    def without(name, *more):
        if name == "tomllib":
            raise ImportError(name)
        return original(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    assert project_beside(tmp_path / "int8.tflite") is None
