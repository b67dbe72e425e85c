from fmnist_edge.cli import program

raise SystemExit(program())
