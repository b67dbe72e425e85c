"""Where a file's time goes: by op, and by Keras layer, beside the layer's damage to accuracy."""
