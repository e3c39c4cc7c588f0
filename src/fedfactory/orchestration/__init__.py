"""What the workflow needs around the science: jobs, digests, audit, costs, and the command line."""
