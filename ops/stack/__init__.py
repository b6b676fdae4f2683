"""The broker, the database and our own processes, for the demo, the tests and the bench."""
