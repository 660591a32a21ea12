"""A replicated MySQL whose disk fills up, or whose clock goes back."""
