"""What FedMed-GAN declares."""

from fedfactory.orchestration.declared import Card, Method, Reads, Rule

DECLARATION = Method(
    name="fedmedgan",
    title="FedMed-GAN, a federated translation between source and target, and the source's nnU-Net",
    rules=(
        Rule(
            "fedmedgan_train",
            reads=Reads.SOURCE_AND_TARGET,
            lets_out="translated training images, sanitised gradients, and the generators' weights in every round",
            steps=lambda p, clients: p.rounds * p.local_steps * clients,
        ),
        Rule("fedmedgan_predict", private=("predictions",)),
    ),
    parameters="fedfactory.methods.fedmedgan.parameters:FedMedGanParameters",
    cells="fedfactory.methods.fedmedgan.cells:FedMedGanCells",
    segmenter="fedfactory.methods.fedmedgan.prediction:segmenter",
    also="fedfactory.methods.fedmedgan.prediction:draw",
    refers=("base",),
    # Measured with both clients in one process; here they have a process each, on one card.
    peaks={"FedMed-GAN, a step at both clients": lambda p: p.batch / 4},
    card=Card(
        papers=("Wang et al., Neurocomputing 546, 126282 (2023).", "CycleGAN: Zhu et al., ICCV 2017."),
        code="no licence in its README",
        normalisation="instance normalisation without scales and shifts; the generators' weights travel",
        failures="Sends translated images of patients while it trains. Moves with the training seed (docs/real.md).",
    ),
)
