"""The hub: every job's way into a pod. ARCHITECTURE.md documents the frames."""
