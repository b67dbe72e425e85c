"""Which file to ship: what is known of each, what is missing and gets measured, and which keep a budget."""
