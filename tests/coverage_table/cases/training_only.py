"""Layers that act in training alone: in a file they are nothing."""

from __future__ import annotations

from typing import Any

from coverage_table.case import Case, custom, layer

__all__ = ["CASES"]

SHAPES = {1: (12, 4), 2: (8, 8, 4), 3: (4, 4, 4, 3)}
COLOUR = (12, 12, 3)
AUGMENTATION: dict[str, dict[str, Any]] = {
    "AugMix": {}, "CutMix": {}, "MixUp": {}, "RandAugment": {}, "RandomBrightness": {"factor": 0.2},
    "RandomColorDegeneration": {"factor": 0.5}, "RandomColorJitter": {"brightness_factor": 0.2},
    "RandomContrast": {"factor": 0.2}, "RandomCrop": {"height": 12, "width": 12}, "RandomElasticTransform": {},
    "RandomErasing": {}, "RandomFlip": {}, "RandomGaussianBlur": {}, "RandomGrayscale": {},
    "RandomHue": {"factor": 0.2}, "RandomInvert": {}, "RandomPerspective": {}, "RandomPosterization": {"factor": 4},
    "RandomRotation": {"factor": 0.1}, "RandomSaturation": {"factor": 0.4}, "RandomSharpness": {"factor": 0.5},
    "RandomShear": {"x_factor": 0.1}, "RandomTranslation": {"height_factor": 0.1, "width_factor": 0.1},
    "RandomZoom": {"height_factor": 0.1},
}  # fmt: skip


def application_layer(name: str, module: str, **arguments: Any) -> Case:
    def build(k: Any, x: Any) -> Any:
        from importlib import import_module

        made = getattr(import_module(f"keras.src.applications.{module}"), name)(**arguments)
        return made([x, k.Conv2D(4, 1)(x)]) if name == "CustomScaleLayer" else made(x)

    return custom(name, "default", build, rounds=2 if name == "CustomScaleLayer" else 1)


CASES = [
    *layer("Dropout", {"rate": 0.5}),
    *layer("AlphaDropout", {"rate": 0.5}),
    *layer("GaussianDropout", {"rate": 0.5}),
    *layer("GaussianNoise", {"stddev": 0.5}),
    *layer("ActivityRegularization", {"l2": 0.1}),
    *(case for n in (1, 2, 3) for case in layer(f"SpatialDropout{n}D", {"rate": 0.5}, shape=SHAPES[n])),
    *(case for name, base in AUGMENTATION.items() for case in layer(name, base=base, shape=COLOUR)),
    application_layer("CustomScaleLayer", "inception_resnet_v2", scale=0.2),
    application_layer("LayerScale", "convnext", init_values=0.3, projection_dim=4),
    application_layer("StochasticDepth", "convnext", drop_path_rate=0.1),
]
