"""Keras as an engine: its threads, and code in its files."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.engines import refused
from support.linear import saved, with_manifest

from fmnist_edge.runtime.engine_catalog import engines_for
from fmnist_edge.worker.calls import child_environment


class TestKeras:
    @pytest.mark.slow
    def test_threads_are_set_for_the_process(self, linear_models):
        code = (
            "import sys, tensorflow as tf\n"
            "from fmnist_edge.errors import UnavailableError\n"
            "from fmnist_edge.runtime.engines.keras import KerasCallEngine as Engine\n"
            "Engine(sys.argv[1], 2), Engine(sys.argv[1], 2), Engine(sys.argv[1])\n"
            "print(tf.config.threading.get_intra_op_parallelism_threads())\n"
            "try: Engine(sys.argv[1], 1)\n"
            "except UnavailableError as error: print(error)\n"
        )
        command = [sys.executable, "-c", code, str(linear_models["float32.keras"])]
        said = subprocess.run(command, capture_output=True, text=True, check=True, env=child_environment()).stdout
        threads, refusal = said.splitlines()
        assert threads == "2"
        assert refusal == (
            "TensorFlow already runs in this process with another number of threads than 1; use a new process"
        )

    def test_code_in_a_file_is_not_run(self, tmp_path, capfd):
        import keras

        inputs = keras.Input((28, 28, 1))
        ran = keras.layers.Lambda(lambda x: (print("ran"), x)[1], output_shape=(28, 28, 1))(inputs)
        model = keras.Model(inputs, keras.layers.Dense(10)(keras.layers.Flatten()(ran)))
        capfd.readouterr()
        path = with_manifest(tmp_path / "hostile.keras", saved(model))
        for engine in engines_for(Path("x.keras")):
            refused(path, "Lambda", engine=engine)
        assert "ran" not in capfd.readouterr().out
