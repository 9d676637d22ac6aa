"""A batch job: its process, which sockets are its own, and what is said of it at the end. Imported before it starts."""
