"""What `export`, `check` and `bench` do, without output: the command line and the Python API both call this.

Options are objects with the names of the command line's options as attributes: an `argparse.Namespace`, or a dataclass.
"""
