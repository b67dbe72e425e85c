"""One file per command: `HELP` (its manual page), `add_arguments(parser)` and `run(options)`.

A module with a `HELP` is a command, named after its file; nothing else lists the commands. A command calls the library
and prints what it answers. The other modules here are what commands share: `command` (the records, and the search for
the commands), `arguments` (groups of options), `job` (what `bench` and `bundle` measure), `manual` (the parsers and
their help), `reference` (docs/cli.md), `extras` (which package is missing), `bench_checks` (two checks of the bench).
"""
