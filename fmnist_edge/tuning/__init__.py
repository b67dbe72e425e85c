"""Search hyper-parameters: the search space, the study's storage, the search itself, and its summary."""
