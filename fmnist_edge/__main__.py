from fmnist_edge.cli import main

raise SystemExit(main())
