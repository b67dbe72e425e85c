"""Recover the accuracy that an integer precision loses: try remedies on the model until its export meets the gate."""
