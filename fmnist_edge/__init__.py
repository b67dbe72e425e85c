"""Export small Keras CNNs to the edge, prove they are still the same model, time them, embed them.

`export`, `check` and `bench` are functions of `fmnist_edge.api`, which is imported when one of them is first used.
"""

__all__ = ["bench", "check", "export"]

__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers take it for true; this module imports nothing
if TYPE_CHECKING:
    from fmnist_edge.api import bench, check, export


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    try:
        return getattr(import_module("fmnist_edge.api"), name)
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("fmnist_edge."):
            raise
        raise AttributeError(
            f"fmnist_edge.{name}: this is the package for devices, which cannot {name}; install fmnist-edge[export] "
            "on the machine that does"
        ) from None
