"""Export models in child processes: converters crash on some models, and one precision must not cost the others.

`parent.export_model` runs a `job.Job` with one child per model. A crash ends the child, so another one goes on with the
next precision. `suspects` finds the layer that the converter crashed on.
"""
