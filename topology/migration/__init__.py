"""A queue becomes another one while it is used: other arguments, another type, another name."""
