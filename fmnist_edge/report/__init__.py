"""Turn results files into reports: an HTML page, Markdown, JSON, text for a terminal, and tables in a README."""
