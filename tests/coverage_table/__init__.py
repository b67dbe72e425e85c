"""Every layer, activation and operation that loads, in a small model, exported in every precision and held to Keras."""
