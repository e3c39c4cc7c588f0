"""What nearest grey declares."""

from fedfactory.orchestration.declared import FIT, PREDICT, Method

DECLARATION = Method(
    name="nearest_grey",
    title="Nearest grey, the example of docs/add-a-method.md",
    rules=(FIT, PREDICT),
    fit="fedfactory.methods.nearest_grey.model:fit",
    segmenter="fedfactory.methods.nearest_grey.model:segmenter",
)
