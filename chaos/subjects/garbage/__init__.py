"""What controllers clear away: pods of what was deleted, Jobs that are over, namespaces; and what they count."""
