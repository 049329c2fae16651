"""Tasks that outlive the terminal."""
