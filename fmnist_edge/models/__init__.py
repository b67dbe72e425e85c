"""The zoo: one file per published architecture, with its ModelSpecs and its build()."""
