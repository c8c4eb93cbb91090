"""A service with something behind every door, for the tests of the doors."""
