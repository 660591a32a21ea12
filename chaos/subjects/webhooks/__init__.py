"""Admission webhooks: who asks them, and what goes on while they are away or slow."""
