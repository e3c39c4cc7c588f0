"""The contract of a method, and one folder for each."""
