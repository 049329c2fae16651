"""What womm needs, looked at all at once: the one list of checks, for `womm doctor` and the wizard."""
