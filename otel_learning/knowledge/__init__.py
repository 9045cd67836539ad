"""What was solved before: texts as vectors, search by meaning, solutions with their evidence."""
