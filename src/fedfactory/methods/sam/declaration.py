"""What SAM and MedSAM declare."""

from fedfactory.methods.sam.parameters import SamParameters
from fedfactory.orchestration.declared import CHOOSE, Card, Method, Rule
from fedfactory.orchestration.labels import Labels
from fedfactory.storage.weights_choice import note_on_weights


def _labels(p: SamParameters) -> Labels:
    return Labels(few_shot=None, validation=p.tuning.validation == "full")


DECLARATION = Method(
    name="sam",
    title="SAM or MedSAM, its mask decoder fine-tuned on M_t",
    rules=(
        Rule("sam_pretrain"),
        Rule("sam_tune"),
        CHOOSE,
        Rule("sam_predict", private=("predictions",)),
        # The one method that reads the truth of test volumes: it is in no Table 1.
        Rule("sam_predict_oracle", truth=True, private=("predictions",)),
    ),
    parameters="fedfactory.methods.sam.parameters:SamParameters",
    cells="fedfactory.methods.sam.cells:SamCells",
    labels=_labels,
    choose="fedfactory.methods.sam.prediction:choose",
    segmenter="fedfactory.methods.sam.prediction:segmenter",
    also="fedfactory.methods.foundation.model:write_named",
    note=note_on_weights,
    refers=("start",),
    memory_mb=4000,
    peaks={"SAM, 12 slices": lambda p: 1.0},
    card=Card(
        papers=("Kirillov et al., ICCV 2023.", "Ma et al., Nature Communications 15, 654 (2024)."),
        code="SAM: Apache 2.0, used as the package segment-anything; MedSAM: no licence in its README",
        normalisation="layer normalisation, frozen but for the decoder; nothing travels",
        failures="Thin structures: masks have a quarter of the image's resolution before they are enlarged.",
    ),
)
