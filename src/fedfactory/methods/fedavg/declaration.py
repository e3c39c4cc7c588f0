"""What FedAvg declares."""

from fedfactory.orchestration.declared import PREDICT, Method, Reads, Rule
from fedfactory.orchestration.labels import TRAINING, Labels


def _labels(parameters: object) -> Labels:
    """All training labels of the target, which takes part as all others do."""
    return TRAINING


DECLARATION = Method(
    name="fedavg",
    title="FedAvg of all clients, with all their labels",
    rules=(
        Rule(
            "fedavg_train",
            reads=Reads.ALL,
            lets_out="the weights of the model in every round",
            steps=lambda p, clients: p.rounds * p.local_steps * clients,
        ),
        PREDICT,
    ),
    parameters="fedfactory.methods.federated.parameters:SegmentationParameters",
    cells="fedfactory.methods.fedavg.cells:FedAvgCells",
    labels=_labels,
    segmenter="fedfactory.methods.fedavg.training:segmenter",
    peaks={"FedDG, a client's step": lambda p: p.batch / 5},
)
