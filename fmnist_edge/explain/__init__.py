"""Layer by layer: where an exported file departs from its Keras model, and which layer to keep in float."""
