"""Explain an export layer by layer: where it differs from its Keras model, and which layers to keep in float."""
