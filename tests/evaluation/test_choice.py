"""What validation volumes choose among the states of a training."""

import pytest

from fedfactory.errors import FedFactoryError
from fedfactory.evaluation.choice import Choice, State

DICE = {State(0, "both"): 0.25, State(0, "target"): 0.5, State(12, "both"): 0.75, State(12, "target"): 0.75}


def test_the_best_state_is_chosen_the_first_of_equals(tmp_path):
    choice = Choice(DICE)
    assert choice.state == State(12, "both")
    assert choice.curves() == {"both": ([0, 12], [0.25, 0.75]), "target": ([0, 12], [0.5, 0.75])}
    choice.write(tmp_path / "choice.csv")
    assert Choice.read(tmp_path / "choice.csv") == choice
    chosen = [line for line in (tmp_path / "choice.csv").read_text().splitlines() if line.endswith(",1")]
    assert chosen == ["12,both,0.750000,1"]


@pytest.mark.parametrize("text", ["", "step,way,dice,chosen\n", "a,b\n1,2\n", "step,way,dice,chosen\nx,both,0.1,1\n"])
def test_a_file_that_names_no_state_is_refused(tmp_path, text):
    (tmp_path / "choice.csv").write_text(text)
    with pytest.raises(FedFactoryError, match="choice.csv .*; make it with the rule choose"):
        Choice.read(tmp_path / "choice.csv")
