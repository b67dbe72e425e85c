"""Models, formats, precisions and boards, one record each. The engines are in `runtime.engine_catalog`."""
