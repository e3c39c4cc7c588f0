"""What the rules of the phantoms declare (rules/phantoms.smk)."""

from fedfactory.orchestration.declared import Rule, Stage

DECLARATION = Stage((Rule("phantom_site", private=("raw",)),))
