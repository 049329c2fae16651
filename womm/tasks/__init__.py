"""Tasks that outlive the terminal: begun here, run in the cluster, followed and finished from anywhere."""
