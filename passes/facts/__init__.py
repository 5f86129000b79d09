"""What is known of values: proven from the IR alone, asked without making any op."""
