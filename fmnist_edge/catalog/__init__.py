"""What there is to choose from, one record each: models, formats, precisions, boards. Engines are in `runtime`."""
