"""Work in a process of its own: engines crash, hang and end their process, and none of that may reach us.

`calls.call` starts `python -m fmnist_edge.worker TASK REQUEST` and returns an `endings.Ending`. TASK is
"package.module:function", REQUEST is JSON. The child imports the function and calls `function(request, progress)`. It
writes lines of JSON to its stdout: one for each `progress(value)`, then exactly one reply. The parent skips all other
lines, because what starts the interpreter (`conda run`, say) may print lines of its own. `calls.program` runs somebody
else's program and tells its end in the same words.

The child needs the standard library alone and Python 3.9, so that any Python which has an engine can be one.
"""
