"""A node is drained, and budgets keep its pods: whether the drain ends, and what is told of what stops it."""
