"""Where flows run: work pool templates, and what the server does by itself.

``pools/*.json`` are base job templates, each for a work pool of the type its name begins with::

    cd deployments/pools
    prefect work-pool create tracker --type process --base-job-template process.json
    prefect work-pool create tracker-gpu --type kubernetes --base-job-template kubernetes-gpu.json

Docker and Kubernetes workers need ``prefect-docker`` or ``prefect-kubernetes`` beside Prefect.
``prefect.yaml``, at the root, names the deployments.
"""
