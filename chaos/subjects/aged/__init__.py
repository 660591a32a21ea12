"""What an older version wrote, and a newer one meets."""
