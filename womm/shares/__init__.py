"""What moves the user's directory to the pods."""
