"""A model as a web page and an ES module: the C form compiled to WebAssembly, with a page that tests itself."""
