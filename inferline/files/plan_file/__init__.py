"""Reading and writing plan.json."""
