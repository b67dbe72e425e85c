"""One file per engine; each imports its library only when a model is loaded."""
