"""What is asked of a compiler before a test relies on it."""

import pytest

from support.programs import skip_where, why_it_does_not_compile, why_it_does_not_run

NO_HEADERS = "trivial.cc:1:10: fatal error: cstdint: No such file or directory"


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Puts a script on the PATH."""

    def make(name: str, script: str) -> str:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
        return name

    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return make


def test_a_compiler_on_the_path_that_compiles_nothing_is_seen(program):
    bare = program("g++-bare", f"echo '{NO_HEADERS}' >&2; exit 1")
    assert why_it_does_not_compile(bare) == f"g++-bare does not work ({NO_HEADERS})"
    assert "not work" in why_it_does_not_compile(program("g++-killed", "kill -9 $$"))
    assert why_it_does_not_compile("g++-that-nobody-has") == "no g++-that-nobody-has"


def test_a_compiler_that_works_is_given_the_program(program, tmp_path):
    name = program("g++-that-works", f'cp "$2" {tmp_path}/seen; test "$1" = -Os && echo made >"$4"')
    assert why_it_does_not_compile(name, "-Os") is None
    assert "int main()" in (tmp_path / "seen").read_text()


def test_a_program_that_does_not_run_is_seen(program):
    assert why_it_does_not_run(program("qemu-that-works", "echo version 7")) is None
    assert why_it_does_not_run(program("qemu-damaged", "exit 3")) == "qemu-damaged does not work (exit code 3)"


def test_what_does_not_work_skips_with_its_reason():
    assert skip_where([None, None], "gcc").args == (False,)
    mark = skip_where(["no gcc", None], "gcc libc6-dev")
    assert mark.args == (True,) and mark.kwargs["reason"] == "no gcc; run: apt-get install gcc libc6-dev"
