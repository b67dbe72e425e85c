"""The usual preprocessings by name: what `keras.applications.*.preprocess_input` do, and simpler ones."""

from __future__ import annotations

from fmnist_edge.runtime.preprocess import Preprocessing

__all__ = ["MODEL", "PRESETS"]

MODEL = "model"  # of `export --preprocess`: as the model's own first layers say

# The numbers are those of keras/src/applications/imagenet_utils.py, whose modes are called torch, tf and caffe.
PRESETS: dict[str, Preprocessing] = {
    "imagenet": Preprocessing(1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "tf": Preprocessing(1 / 127.5, mean=1.0),
    "caffe": Preprocessing(1.0, mean=(103.939, 116.779, 123.68), order="BGR"),
    "unit": Preprocessing(),
    "none": Preprocessing(1.0),
    "0..255": Preprocessing(1.0),
}
