"""The same in Kubernetes: pods, their processes and the kubelet are killed. `python -m chaos.cluster`."""
