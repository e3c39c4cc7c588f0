"""What the rules of the data factory declare (rules/factory.smk)."""

from fedfactory.factory.parameters import FactoryParameters
from fedfactory.orchestration.declared import Reads, Rule, Stage


def _steps(p: FactoryParameters, clients: int) -> int:
    """Of all clients that a round takes, in both stages of the training."""
    f = p.federation
    return f.clients_per_round * (f.rounds * f.local_steps + f.refinement_rounds * f.refinement_steps)


DECLARATION = Stage(
    (
        Rule("factory_key", lets_out="the mean of its images' encodings"),
        Rule(
            "factory_train",
            reads=Reads.ALL,
            lets_out="its key, and the weights of the model in every round it takes part in",
            steps=_steps,
        ),
        Rule("factory_quality", lets_out="distances between its images and the factory's"),
        Rule(
            "factory_privacy",
            lets_out="how near drawn slices lie to its training slices and to held-out ones; the nearest training "
            "slices where it releases pictures",
        ),
    ),
    plan="fedfactory.factory.plan:FactoryPlan",
)
