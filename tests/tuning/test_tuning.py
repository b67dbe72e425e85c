"""A study is shared, goes on, prunes, never sees a test image, and ends in a recipe that `train` takes."""

import functools
import json
import math
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from fmnist_edge.catalog.models import MODELS
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import FileError, InputError, UnavailableError
from fmnist_edge.models.recipe import Recipe
from fmnist_edge.training.fit import fit
from fmnist_edge.training.recipes import recipe_for, write_recipe
from fmnist_edge.tuning import page as report
from fmnist_edge.tuning import storage, trials, tune
from fmnist_edge.tuning.space import SPACE, Range, space_of, trial_recipe

optuna = pytest.importorskip("optuna")

SPEC = MODELS["compact_cnn"]
BEST = recipe_for(MODELS["compact_cnn"], "best")
load_once = functools.cache(fashion_mnist.load)


@pytest.fixture(autouse=True)
def no_test_split(monkeypatch):
    def load(split, folder=None):
        if split != "train":
            raise RuntimeError(f"a study asked for the {split!r} split")
        return load_once(split, folder)

    monkeypatch.setattr(fashion_mnist, "load", load)


def quality(recipe):
    """A made-up accuracy with its peak at a learning rate of 2e-3 and no dropout."""
    return 0.95 - 0.1 * abs(math.log10(recipe.learning_rate / 2e-3)) - 0.05 * recipe.build["dense_dropout"]


def scripted(monkeypatch, curve=lambda recipe: [quality(recipe)] * recipe.epochs):
    """Fits that take no time: `curve` gives the validation accuracies by epoch. Returns the recipes fitted."""
    seen = []

    def fake(spec, recipe, fitted, validation, *, seed, callbacks, verbose):
        seen.append(recipe)
        started = []
        (callback,) = callbacks(SimpleNamespace(start=started.append))
        callback.set_model(SimpleNamespace(stop_training=False))
        for epoch, accuracy in enumerate(curve(recipe)):
            callback.on_epoch_begin(epoch)
            callback.on_epoch_end(epoch, {"val_accuracy": accuracy})
            if callback.model.stop_training:
                break
        assert started == list(range(epoch + 1))

    monkeypatch.setattr(tune, "fit", fake)
    monkeypatch.setattr("keras.utils.clear_session", lambda: None)  # nothing to clear, and it takes its time
    return seen


def study(storage_url, spec=SPEC, **options):
    return tune.tune(spec, storage=storage_url, **{"trials": 3, "epochs": 1, "limit": 128, **options})


def urls(folder):
    return {
        "sqlite": f"sqlite:///{folder}/deep/study.db",
        "journal": f"journal:{folder}/deep/journal",
        "log": f"{folder}/deep/study.log",
    }


def params_of(summary):
    return [trial["params"] for trial in summary["trials"]]


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A study of real fits: where it is, and the summary after each of two calls."""
    url = urls(tmp_path_factory.mktemp("real"))["sqlite"]
    load = pytest.MonkeyPatch()
    load.setattr(fashion_mnist, "load", load_once)
    first = study(url, trials=2)
    second = study(url, trials=1)
    load.undo()
    return url, first, second


@pytest.mark.slow
def test_a_real_study_goes_on_and_counts_all_its_trials(real):
    _, first, second = real
    assert first["counts"] == {"complete": 2, "pruned": 0, "failed": 0, "running": 0, "waiting": 0}
    assert (first["continued_after"], second["continued_after"], second["counts"]["complete"]) == (0, 2, 3)
    assert second["trials"][:2] == first["trials"]
    assert json.loads(json.dumps(second, allow_nan=False)) == second
    about = second["protocol"]
    assert (about["fitted_images"], about["validation_images"], about["limit"], about["epochs"]) == (128, 128, 128, 1)
    assert all(0 < trial["value"] < 1 and trial["epochs"] == 1 and trial["seconds"] > 0 for trial in second["trials"])


@pytest.mark.slow
def test_a_trial_is_the_validation_accuracy_of_its_recipe(real):
    _, first, _ = real
    fitted, validation = fashion_mnist.train_and_validation(SPEC.train_images, SPEC.validation_images)
    seen = []

    def callbacks(fed):
        import keras

        return [keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["val_accuracy"]))]

    recipe = trial_recipe(SPEC, BEST, first["trials"][0]["params"], epochs=1)
    fit(SPEC, recipe, fitted.part(0, 128), validation.part(0, 128), seed=0, callbacks=callbacks, verbose=0)
    assert first["trials"][0]["value"] == pytest.approx(seen[0], abs=1e-6)


@pytest.mark.slow
def test_a_real_trial_that_lags_is_pruned(tmp_path):
    url = urls(tmp_path)["sqlite"]
    study(url, epochs=3, trials=1)
    with tune.quiet():
        shared = optuna.load_study(study_name="compact_cnn", storage=url)
        for trial in [*shared.trials] * 5:
            trial.intermediate_values = {1: 0.98, 2: 0.98, 3: 0.98}
            shared.add_trial(trial)
    summary = study(url, epochs=3, trials=1)
    assert summary["counts"]["pruned"] == 1
    last = summary["trials"][-1]
    assert (last["state"], last["epochs"]) == ("pruned", 2)
    assert last["number"] not in (summary["best"]["number"], summary["baseline"]["number"])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "journal", "log"])
def test_every_storage_keeps_the_study(kind, tmp_path, monkeypatch):
    scripted(monkeypatch)
    url = urls(tmp_path)[kind]
    study(url, trials=2)
    summary = study(url, trials=3, study_name=None)
    assert (summary["counts"]["complete"], summary["continued_after"]) == (5, 2)
    assert (
        sum(map(len, (list(tmp_path.rglob("*.db")), list(tmp_path.rglob("*.log")), [*tmp_path.rglob("journal")]))) == 1
    )
    assert study(url, trials=1, study_name="other")["counts"]["complete"] == 1


def test_the_first_trial_is_the_best_recipe_and_comes_once(tmp_path, monkeypatch):
    seen = scripted(monkeypatch)
    url = urls(tmp_path)["log"]
    study(url, trials=2)
    summary = study(url, trials=2)
    assert vars(seen[0]) == {**vars(BEST), "name": "tuned", "epochs": 1, "teachers": ()}
    assert sum(recipe.learning_rate == BEST.learning_rate for recipe in seen) == 1
    assert summary["baseline"] == {"number": 0, "value": pytest.approx(quality(BEST)), "recipe": "best"}


def test_one_seed_is_one_study_in_one_part_or_in_two(tmp_path, monkeypatch):
    scripted(monkeypatch)
    whole = study(urls(tmp_path / "whole")["log"], trials=14, seed=3)
    study(urls(tmp_path / "parts")["log"], trials=4, seed=3)
    parts = study(urls(tmp_path / "parts")["log"], trials=10, seed=3)
    assert params_of(whole) == params_of(parts)
    assert len({json.dumps(params) for params in params_of(whole)}) == 14
    other = study(urls(tmp_path / "other")["log"], trials=2, seed=4)
    assert params_of(other)[1] != params_of(whole)[1]


def test_the_search_finds_what_is_better_and_says_what_mattered(tmp_path, monkeypatch):
    scripted(monkeypatch)
    calls = []
    summary = study(urls(tmp_path)["log"], trials=30, progress=lambda *call: calls.append(call))
    assert summary["best"]["value"] == max(trial["value"] for trial in summary["trials"])
    assert summary["best"]["value"] > summary["baseline"]["value"]
    assert set(summary["importance"]) == set(space_of(SPEC))
    assert sum(summary["importance"].values()) == pytest.approx(1, abs=0.01)
    assert "30 complete" in summary["importance_note"]
    assert [call[:2] for call in calls] == [(done, 30) for done in range(31)]
    assert f"{summary['best']['value']:.2%}" in calls[-1][2]


def test_few_trials_have_no_importances_and_no_complete_one_no_recipe(tmp_path, monkeypatch):
    scripted(monkeypatch)
    summary = study(urls(tmp_path)["log"], trials=2)
    assert summary["importance"] is None
    assert summary["importance_note"] == "needs 10 complete trials, there are 2"
    with tune.quiet():
        empty = optuna.create_study(direction="maximize")
        nothing = {**summary, **trials.summarize_study(empty, SPEC, BEST)}
    assert (nothing["best"], nothing["baseline"], nothing["recipe"]) == (None, None, None)
    assert "No trial is complete yet." in report.page(nothing)


def test_spread_is_order_statistics():
    figures = trials.spread([0.9, 0.5, 0.7, 0.8, 0.6])
    assert [figures[name] for name in ("trials", "min", "q1", "median", "q3", "max", "mean")] == [
        5, 0.5, 0.6, 0.7, 0.8, 0.9, 0.7,
    ]  # fmt: skip
    assert figures["stdev"] == pytest.approx(0.158114)
    assert trials.spread([0.9])["median"] == 0.9
    assert trials.spread([0.9])["stdev"] is None


def test_weak_trials_are_pruned_but_not_the_baseline_or_early_ones(tmp_path, monkeypatch):
    accuracies = iter([*[0.9] * 5, 0.1, 0.2])
    scripted(monkeypatch, lambda recipe: [next(accuracies)] * recipe.epochs)
    url = urls(tmp_path)["log"]
    with monkeypatch.context() as others_first:
        others_first.setattr(tune, "enqueue_baseline", lambda *_: None)
        study(url, trials=5, epochs=6)
    summary = study(url, trials=2, epochs=6)
    assert summary["baseline"]["number"] == 5
    assert [trial["state"] for trial in summary["trials"]] == ["complete"] * 6 + ["pruned"]
    assert summary["trials"][-1]["epochs"] == 3
    assert summary["validation_accuracy"]["trials"] == 6


def test_an_interrupted_study_goes_on_with_its_baseline(tmp_path, monkeypatch, capfd):
    def interrupted(recipe):
        raise KeyboardInterrupt

    url = urls(tmp_path)["sqlite"]
    scripted(monkeypatch, interrupted)
    with pytest.raises(KeyboardInterrupt):
        study(url)
    assert "Traceback" not in capfd.readouterr().err
    with tune.quiet():
        optuna.load_study(study_name="compact_cnn", storage=url).ask()  # a worker that was killed
    scripted(monkeypatch)
    summary = study(url, trials=2)
    assert summary["counts"] == {"complete": 2, "pruned": 0, "failed": 1, "running": 1, "waiting": 0}
    assert summary["baseline"]["value"] == pytest.approx(quality(BEST))
    assert "1 running" in report.page(summary)


def test_the_recipe_found_is_one_that_train_takes(tmp_path, monkeypatch):
    scripted(monkeypatch)
    summary = study(urls(tmp_path)["log"], trials=5)
    file = tmp_path / "compact_cnn-recipe.json"
    write_recipe(Recipe(**summary["recipe"]), file)
    recipe = recipe_for(MODELS["compact_cnn"], str(file))
    params = summary["best"]["params"]
    assert (recipe.name, recipe.epochs, recipe.flip) == ("tuned", BEST.epochs, BEST.flip)
    assert {name: getattr(recipe, name) for name in SPACE} == {name: params[name] for name in SPACE}
    assert recipe.build == {"dense_dropout": params["dense_dropout"]}
    assert not recipe.fit_validation


@pytest.mark.parametrize("model", list(MODELS))
def test_every_best_recipe_lies_in_the_space_that_is_searched(model):
    spec, best = MODELS[model], recipe_for(MODELS[model], "best")
    values = {**vars(best), **spec.rates, **best.build}
    for name, domain in space_of(spec).items():
        if isinstance(domain, Range):
            assert domain.low <= values[name] <= domain.high, name
        else:
            assert values[name] in domain, name


def test_teachers_and_validation_images_are_left_out_of_trials():
    best = Recipe("best", epochs=9, teachers=("wide_cnn",), fit_validation=True, warmup_epochs=4.0)
    recipe = trial_recipe(SPEC, best, {**vars(best), "dense_dropout": 0.2}, epochs=2)
    assert (recipe.teachers, recipe.fit_validation, recipe.warmup_epochs) == ((), False, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"spec": MODELS["tuned_cnn"]}, "model compact_cnn, not tuned_cnn"),
        ({"epochs": 2}, "epochs 1, not 2"),
        ({"limit": 64}, "limit 128, not 64"),
    ],
)
def test_a_study_of_something_else_is_refused(change, message, tmp_path, monkeypatch):
    seen = scripted(monkeypatch)
    url = urls(tmp_path)["log"]
    study(url, trials=1, study_name="mine")
    with pytest.raises(InputError, match=f"made for {message}; name another with --study"):
        study(url, study_name="mine", **change)
    assert len(seen) == 1


def test_somebody_elses_study_is_refused(tmp_path):
    url = urls(tmp_path)["sqlite"]
    (tmp_path / "deep").mkdir()
    with tune.quiet():
        optuna.create_study(study_name="compact_cnn", storage=url)  # minimises
    with pytest.raises(InputError, match="not made by `tune`"):
        study(url)


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"epochs": 0}, {"limit": 0}, {"seed": -1}])
def test_impossible_numbers_are_refused(wrong, tmp_path):
    with pytest.raises(InputError, match=f"{next(iter(wrong))} must be at least"):
        study(urls(tmp_path)["log"], **wrong)


@pytest.mark.parametrize(
    ("url", "kind", "message"),
    [
        ("study", InputError, "is not a URL; expected one of: sqlite"),
        ("oracel://host/db", InputError, "cannot be understood"),
        ("grpc://:13000", InputError, "has no host"),
        ("grpc://host:port", InputError, "cannot be understood"),
        ("grpc://127.0.0.1:1", UnavailableError, "cannot be reached"),
        ("redis://127.0.0.1:1", UnavailableError, "redis"),
        ("postgresql://me:secret@127.0.0.1:1/db", UnavailableError, r"me:\*\*\*@127"),
        ("sqlite:////dev/null/study.db", FileError, "cannot be used"),
        ("sqlite:///{folder}/text", FileError, "cannot be used"),
        ("journal:{folder}", FileError, "cannot be used"),
    ],
)
def test_a_storage_that_cannot_be_used_is_one_line(url, kind, message, tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "GRPC_TIMEOUT_S", 0.2)
    (tmp_path / "text").write_text("no database " * 99)
    with pytest.raises(kind, match=message) as caught:
        study(url.format(folder=tmp_path))
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_workers_that_start_together_both_get_the_database(tmp_path, monkeypatch):
    calls = []

    class Late(optuna.storages.RDBStorage):
        def __init__(self, url, **options):
            calls.append(url)
            if len(calls) == 1:
                raise RuntimeError("(sqlite3.OperationalError) table studies already exists")
            super().__init__(url, **options)

    monkeypatch.setattr(storage, "PAUSE_S", 0)
    monkeypatch.setattr(optuna.storages, "RDBStorage", Late)
    scripted(monkeypatch)
    assert study(urls(tmp_path)["sqlite"], trials=1)["counts"]["complete"] == 1
    assert len(calls) == 2


def test_a_storage_that_fails_during_the_study_is_one_line_and_our_bugs_are_not_its(tmp_path, monkeypatch):
    def lost(recipe):
        raise optuna.exceptions.StorageInternalError("connection lost")

    scripted(monkeypatch, lost)
    with pytest.raises(UnavailableError, match=r"mysql://host/db cannot be reached \(connection lost\)"):
        monkeypatch.setattr(tune, "open_storage", lambda url: optuna.storages.InMemoryStorage())
        study("mysql://host/db")
    scripted(monkeypatch, lambda recipe: [1 / 0])
    with pytest.raises(ZeroDivisionError):
        study("mysql://host/db")


@pytest.mark.slow
def test_a_study_is_shared_through_a_server(tmp_path, monkeypatch):
    pytest.importorskip("grpc")
    behind = f"sqlite:///{tmp_path}/behind.db"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    serve = "import sys; from optuna.storages import get_storage, run_grpc_proxy_server as serve; "
    serve += "serve(get_storage(sys.argv[1]), host='127.0.0.1', port=int(sys.argv[2]))"
    server = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", serve, behind, str(port)], stderr=subprocess.DEVNULL
    )
    try:
        scripted(monkeypatch)
        study(f"grpc://127.0.0.1:{port}", trials=2)
        assert study(f"grpc://127.0.0.1:{port}", trials=2)["counts"]["complete"] == 4
    finally:
        server.terminate()
        server.wait()
    assert study(behind, trials=1)["counts"]["complete"] == 5


def test_the_page_says_what_was_searched_gained_and_mattered(tmp_path, monkeypatch):
    scripted(monkeypatch)
    summary = study(urls(tmp_path)["log"], trials=12)
    page = report.page(json.loads(json.dumps(summary)))
    gain = 100 * (summary["best"]["value"] - summary["baseline"]["value"])
    expected = [
        "# compact_cnn",
        "128 validation images (cut short",
        f"gained {gain:+.2f} percentage points",
        f"{summary['best']['value']:.2%}",
        "Spread of the complete trials (12)",
        "PED-ANOVA",
        "## The best 10",
    ]
    for text in expected:
        assert text in page
    assert page.endswith("|\n")
