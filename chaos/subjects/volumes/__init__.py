"""A volume for one node at a time is handed over, or stays locked."""
