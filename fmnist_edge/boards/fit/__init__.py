"""Whether an artifact fits on a board: what it needs (`measure`), compared with the board's memory (`needs`)."""
