"""What nearest grey declares."""

from fedfactory.orchestration.declared import FIT, PREDICT, Method
from fedfactory.orchestration.labels import Labels

DECLARATION = Method(
    name="nearest_grey",
    title="Nearest grey, the example of docs/add-a-method.md",
    rules=(FIT, PREDICT),
    # All of M_t, and no label beyond it.
    labels=lambda parameters: Labels(few_shot=None),
    fit="fedfactory.methods.nearest_grey.model:fit",
    segmenter="fedfactory.methods.nearest_grey.model:segmenter",
)
