"""What the rules of the clients' data declare (rules/clients.smk)."""

from fedfactory.orchestration.declared import Rule, Stage

DECLARATION = Stage(
    (Rule("prepare_client", private=("data", "truth"), lets_out="a few slices of the training set, for the gallery"),)
)
