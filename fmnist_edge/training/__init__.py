"""Train the zoo: recipes are data, fit runs them, augment feeds them."""
