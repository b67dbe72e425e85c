"""The engines, one file each. Each imports its library only when a model is loaded."""
