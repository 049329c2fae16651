"""The tasks of a namespace: what is known of them, and of how they fare, without having begun them."""
