"""Search hyper-parameters: what is searched, where a study is kept, how it runs, what it found."""
