"""Notification: rules turn events into notices, mails and webhook requests, each delivery with its attempts."""
