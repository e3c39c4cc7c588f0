"""What FedMed-GAN declares."""

from fedfactory.orchestration.declared import Method, Reads, Rule

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
)
