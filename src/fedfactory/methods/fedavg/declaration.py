"""What FedAvg declares."""

from fedfactory.methods.fedavg.parameters import FedAvgParameters
from fedfactory.orchestration.declared import PREDICT, Card, Method, Reads, Rule
from fedfactory.orchestration.labels import NONE, TRAINING, Labels


def _labels(p: FedAvgParameters) -> Labels:
    """All training labels of the target, which takes part as all others do; none where the source alone has them."""
    return NONE if p.unlabelled else TRAINING


DECLARATION = Method(
    name="fedavg",
    title="FedAvg, FedProx and FedBN of all clients with their labels, or with those of the source alone",
    rules=(
        Rule(
            "fedavg_train",
            reads=Reads.ALL,
            lets_out="the weights of the model in every round",
            steps=lambda p, clients: p.rounds * p.local_steps * clients,
        ),
        PREDICT,
    ),
    parameters="fedfactory.methods.fedavg.parameters:FedAvgParameters",
    cells="fedfactory.methods.fedavg.cells:FedAvgCells",
    labels=_labels,
    segmenter="fedfactory.methods.fedavg.training:segmenter",
    peaks={"FedDG, a client's step": lambda p: p.batch / 5},
    card=Card(
        papers=(
            "FedAvg: McMahan et al., AISTATS 2017.",
            "FedProx: Li et al., MLSys 2020.",
            "FedBN: Li et al., ICLR 2021.",
            "FedSemi: Long et al., arXiv:2012.03292.",
        ),
        code="FedBN: no licence in its README",
        normalisation="instance normalisation, which has no statistics that could travel; its scales and shifts travel "
        "with the weights, but for FedBN, where they stay",
        failures="One model for looks that contradict each other, or none: with labels of the source alone, clients "
        "without any draw it to empty masks if they learn as fast as the source.",
    ),
)
