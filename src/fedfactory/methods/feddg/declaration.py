"""What FedDG declares."""

from fedfactory.orchestration.declared import PREDICT, Card, Method, Reads, Rule

DECLARATION = Method(
    name="feddg",
    title="FedDG, a federation of all clients but the target, with their labels",
    rules=(
        Rule(
            "feddg_train",
            reads=Reads.ALL_BUT_TARGET,
            lets_out="amplitudes of low frequencies of some slices, and the weights of the model in every round",
            steps=lambda p, clients: p.rounds * p.local_steps * clients,
        ),
        PREDICT,
    ),
    parameters="fedfactory.methods.feddg.parameters:FedDGParameters",
    cells="fedfactory.methods.feddg.cells:FedDGCells",
    segmenter="fedfactory.methods.feddg.training:segmenter",
    # Amplitudes come from another client than the one that trains, and neither is the target.
    sites=3,
    peaks={"FedDG, a client's step": lambda p: p.batch / 5},
    card=Card(
        papers=("Liu et al., CVPR 2021.",),
        code="no licence in its README",
        normalisation="instance normalisation; its scales and shifts travel with the weights",
        failures="Amplitudes of low frequencies do not turn a contrast round. Moves with the training seed where "
        "clients differ much (docs/real.md).",
    ),
)
