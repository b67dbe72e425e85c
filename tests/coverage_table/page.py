from pathlib import Path


def write_page(rows, page: Path) -> None:
    pass
