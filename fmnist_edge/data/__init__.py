"""Fashion-MNIST, and the images and labels that a user brings."""
