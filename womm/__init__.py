"""womm: Works On My Machine. Runs GNU parallel's jobs in the pods of a Kubernetes cluster."""

__version__ = "0.1.0"
