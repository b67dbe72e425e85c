"""The zoo: one file per published architecture, each a frozen ModelSpec and its build()."""
