"""One file a verb: `run(options)` calls the library and prints what it answers. No logic of their own."""
