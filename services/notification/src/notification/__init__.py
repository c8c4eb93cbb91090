"""Notification: who is told what, in which language, by which channel, and whether it arrived."""
