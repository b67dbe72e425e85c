"""Run work in a child process: engines may crash, hang or exit, and the parent must survive that.

`calls.call` starts `python -m fmnist_edge.worker TASK REQUEST` and returns an `endings.Ending`. TASK is
"package.module:function", REQUEST is JSON. The child imports the function and calls `function(request, progress)`. It
writes lines of JSON to its stdout: one for each `progress(value)`, then exactly one reply. The parent skips all other
lines, because a program that starts the interpreter, such as `conda run`, may print lines too. `calls.program` runs any
other program and returns an `Ending` too.

The child needs only Python 3.9 and the standard library. Any Python that has an engine can therefore run it.
"""
