"""A seal names whatever has changed since it was made, records included, and who made it."""

import json
import shutil
import subprocess

import pytest

from fedfactory.errors import FedFactoryError
from fedfactory.orchestration.cli import main
from fedfactory.provenance.seal import SEAL, SIGNATURE, signer

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="no ssh-keygen here (OpenSSH)")
MODEL = "mm/ct/ours/seed0/model"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    for name in ("own", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name], check=True)
    return folder


@pytest.fixture
def run(cell):
    """The folder of the run."""
    return cell


def verified(run, *arguments) -> int:
    return main(["verify", str(run), *map(str, arguments)])


def test_a_sealed_run_is_somebodys(run, keys, capsys):
    assert verified(run) == 0 and capsys.readouterr().out.endswith("\nunsealed\n")
    assert main(["seal", str(run), "--key", str(keys / "own")]) == 0
    assert verified(run, "--signed-by", keys / "own.pub") == 0
    assert capsys.readouterr().out.endswith("sealed by own.pub\n")
    signers = keys / "signers"
    signers.write_text(f"ada@example.org {(keys / 'own.pub').read_text()}")
    assert signer(run, signers) == "ada@example.org"
    assert verified(run, "--signed-by", keys / "other.pub") == 1
    assert "is not sealed by a key of" in capsys.readouterr().err


def altered(record):
    content = json.loads(record.read_text())
    content |= {"commit": "0" * 40, "seconds": 1.0, "code": "f" * 16}
    record.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda run: altered(run / MODEL / ".record.json"),
            f"{MODEL}/.record.json: was changed since the run",
        ),
        (lambda run: (run / MODEL / "a.txt").write_text("x"), f"{MODEL}/a.txt: was changed since the run was sealed"),
        (lambda run: (run / "extra.csv").write_text("x"), "extra.csv: was added since the run was sealed"),
        (lambda run: shutil.rmtree(run / MODEL), f"{MODEL}/sub/b.txt: is gone since the run was sealed"),
    ],
)
@pytest.mark.attack(
    "commit, code, arguments or seconds of a record altered after a seal",
    "named by verify --signed-by",
)
def test_whatever_changes_afterwards_is_named(run, keys, capsys, change, message):
    main(["seal", str(run), "--key", str(keys / "own")])
    change(run)
    assert verified(run, "--partial") == 1
    assert message in capsys.readouterr().out


@pytest.mark.attack("a seal by another key, or of other content", "refused")
def test_a_seal_is_not_forged_with_another_key_or_kept_on_other_content(run, keys, capsys):
    main(["seal", str(run), "--key", str(keys / "own")])
    altered(run / MODEL / ".record.json")
    shutil.copyfile(run / SIGNATURE, keys / "kept")
    # Somebody else seals what was altered; then the first signature is put beside the second seal.
    main(["seal", str(run), "--key", str(keys / "other")])
    for _ in range(2):
        with pytest.raises(FedFactoryError, match="is not sealed by a key of"):
            signer(run, keys / "own.pub")
        shutil.copyfile(keys / "kept", run / SIGNATURE)
    (run / SEAL).write_text("[" * 100000)
    assert verified(run) == 1 and "is no seal of a run" in capsys.readouterr().err


def test_what_is_not_as_it_was_made_is_not_sealed(run, keys, capsys):
    (run / MODEL / "a.txt").write_text("x")
    assert main(["seal", str(run), "--key", str(keys / "own")]) == 1
    assert "is not sealed, for it is not as its jobs made it" in capsys.readouterr().err
    assert not (run / SEAL).exists()
    (run / "none").write_text("x")
    assert main(["seal", str(run), "--key", str(run / "nowhere")]) == 1
