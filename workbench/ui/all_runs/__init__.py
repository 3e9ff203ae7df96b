"""All runs on the Watch page: a list, what a person writes on them, their family, and the trash."""
