"""What `make torture` runs: hostile files, interruptions, numerical edges, fuzzing; counted, and written down."""
