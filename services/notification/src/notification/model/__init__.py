"""The rules of telling people: who, what, when again. No I/O."""
