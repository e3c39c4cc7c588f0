"""What UniverSeg declares."""

from fedfactory.orchestration.declared import Card, Method, Rule
from fedfactory.orchestration.labels import Labels
from fedfactory.storage.weights_choice import note_on_weights

DECLARATION = Method(
    name="universeg",
    title="UniverSeg, with M_t as support set",
    rules=(Rule("universeg_pretrain"), Rule("universeg_predict", private=("predictions",))),
    parameters="fedfactory.methods.universeg.parameters:UniverSegParameters",
    cells="fedfactory.methods.universeg.cells:UniverSegCells",
    # The support set.
    labels=lambda p: Labels(few_shot=None),
    segmenter="fedfactory.methods.universeg.prediction:segmenter",
    also="fedfactory.methods.foundation.model:write_named",
    note=note_on_weights,
    peaks={"UniverSeg, 12 slices": lambda p: 1.0},
    card=Card(
        papers=("Butoi et al., ICCV 2023.",),
        code="no licence in its README",
        normalisation="none; nothing travels",
        failures="Thin dark vessels (CHASEDB1): the support set shows them, and the small model does not follow.",
    ),
)
