"""Fashion-MNIST, and images and labels from the user's own files."""
