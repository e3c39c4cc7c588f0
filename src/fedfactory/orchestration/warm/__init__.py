"""Jobs that start warm: forked from one process of the run that has loaded torch and its kin.

Most jobs are shorter than their imports. :mod:`~fedfactory.orchestration.warm.listener`, in Snakemake's own process,
starts the server when the first job asks; :mod:`~fedfactory.orchestration.warm.server` loads libraries, no module of
this package, and forks a process for each job; :mod:`~fedfactory.orchestration.warm.client` stands where the job's
command stands, hands over terminal, folder, environment and signals, and leaves as the job leaves. Bytes are the same
without it: nodes of a cluster and conda environments start their jobs cold.
"""
