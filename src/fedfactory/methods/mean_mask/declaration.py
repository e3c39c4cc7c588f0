"""What the mean mask declares."""

from fedfactory.orchestration.declared import FIT, PREDICT, Card, Method
from fedfactory.orchestration.labels import Labels

DECLARATION = Method(
    name="mean_mask",
    title="The mean mask of M_t, whatever the image: a bound from below",
    rules=(FIT, PREDICT),
    # All of M_t.
    labels=lambda parameters: Labels(few_shot=None),
    fit="fedfactory.methods.mean_mask.model:fit",
    segmenter="fedfactory.methods.mean_mask.model:segmenter",
    memory_mb=1500,
    card=Card(failures="Looks at no image: a bound from below."),
)
