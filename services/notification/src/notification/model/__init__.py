"""The pure rules of notification: recipients, notices, texts, retries. No I/O."""
