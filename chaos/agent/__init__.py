"""The agent: what runs on a node that somebody else made, and takes back by itself what nobody renews."""
