from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from toys import TERMS, VALIDATION, make_panel, make_trainer, train_model

from agents import checkpoint
from agents.checkpoint import (
    HISTORY,
    LOOKS,
    MANIFEST,
    WEIGHTS,
    Model,
    append_look,
    load_model,
    save_model,
    write_atomically,
)
from agents.policy import EnsemblePolicy, model_tensors
from agents.reporting import EpisodeReport, Silence
from agents.resume import FILE, FOLDER
from engine.backtest import run_policy
from engine.errors import CheckpointError


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a trained model; tests copy it before they damage it."""
    return train_model(tmp_path_factory.mktemp("trained") / "model", episodes=1).path


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """Return a copy of the trained model's folder."""
    return Path(shutil.copytree(trained, tmp_path / "model"))


class StopAfterFirst(Silence):
    def episode(self, report: EpisodeReport) -> None:
        raise KeyboardInterrupt


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an unfinished training; tests copy it."""
    out = tmp_path_factory.mktemp("interrupted") / "model"
    with pytest.raises(KeyboardInterrupt):
        make_trainer(out).run(reporter=StopAfterFirst())
    return out


@pytest.fixture
def unfinished(interrupted: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder of an unfinished training."""
    return Path(shutil.copytree(interrupted, tmp_path / "unfinished"))


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    message = str(caught.value)
    assert str(path) in message
    return message


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    edit(manifest)
    (folder / MANIFEST).write_text(json.dumps(manifest))


def forge(folder: Path, name: str, data: bytes) -> None:
    """Replace a file and its hash in the manifest."""
    (folder / name).write_bytes(data)
    edit_manifest(folder, lambda m: m["files"].update({name: hashlib.sha256(data).hexdigest()}))


def flip_bit(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def tensors_of(model: Model) -> dict[str, torch.Tensor]:
    return model_tensors(model.learned.ensemble, model.learned.encoder)


def test_a_loaded_model_is_the_model_that_was_saved(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "model", episodes=1)
    model = trainer.run()
    loaded, trained = tensors_of(load_model(model.path)), model_tensors(trainer.ensemble, trainer._encoder)
    assert loaded.keys() == trained.keys()
    for name, tensor in trained.items():
        assert torch.equal(loaded[name], tensor)
        assert loaded[name].dtype == tensor.dtype
    assert model.settings == trainer._settings
    assert model.symbols == ("S0", "S1", "S2")


def test_a_loaded_model_decides_as_the_ensemble_that_was_trained(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "model", episodes=1)
    model = trainer.run()
    trained = EnsemblePolicy(trainer.ensemble, trainer._encoder, trainer._settings)
    equities = [
        run_policy(policy, make_panel(), VALIDATION.first, VALIDATION.last, TERMS).equity
        for policy in (model.policy(), trained, model.untrained_policy())
    ]
    assert np.array_equal(equities[0], equities[1])
    assert not np.array_equal(equities[0], equities[2])


def test_the_hash_of_a_model_is_that_of_its_manifest_which_holds_the_hash_of_each_file(trained: Path) -> None:
    model = load_model(trained)
    assert model.hash == hashlib.sha256((trained / MANIFEST).read_bytes()).hexdigest()
    hashes = {name: hashlib.sha256((trained / name).read_bytes()).hexdigest() for name in (WEIGHTS, HISTORY)}
    assert model.manifest["files"] == hashes


def test_saving_returns_the_hash_that_loading_finds(trained: Path, tmp_path: Path) -> None:
    model = load_model(trained)
    kept = {k: v for k, v in model.manifest.items() if k not in ("kind", "format_version", "versions", "files")}
    digest = save_model(tmp_path / "copy", kept, tensors_of(model), (trained / HISTORY).read_text())
    assert digest == load_model(tmp_path / "copy").hash == model.hash


def test_a_manifest_holds_neither_time_nor_place(trained: Path) -> None:
    text = (trained / MANIFEST).read_text()
    assert not re.search(r"\d\d:\d\d", text), "a time of day"
    assert str(trained.parent) not in text
    assert not re.search(r'"(/|[A-Za-z]:\\)', text), "an absolute path"
    manifest = json.loads(text)
    dates = set(re.findall(r"\d{4}-\d\d-\d\d", text))
    assert dates == {*manifest["train"], *manifest["validation"]}


def test_looks_at_test_windows_are_logged_outside_the_hash(folder: Path) -> None:
    before = load_model(folder).hash
    append_look(folder, {"start": "2024-01-02", "name": "Zürich"})
    append_look(folder, {"start": "2024-01-03"})
    assert load_model(folder).hash == before
    lines = [json.loads(line) for line in (folder / LOOKS).read_text(encoding="utf-8").splitlines()]
    assert lines == [{"start": "2024-01-02", "name": "Zürich"}, {"start": "2024-01-03"}]


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert "is not a model folder: give the folder that `marsfolio train --out` wrote" in refusal(tmp_path / "none")


def test_a_file_in_place_of_the_folder_is_refused(folder: Path) -> None:
    assert "is not a model folder" in refusal(folder / WEIGHTS)


def test_a_folder_without_a_manifest_is_refused(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    assert f"has no {MANIFEST}: it is not a model folder" in refusal(folder)


def test_an_unfinished_training_is_refused_and_the_message_says_how_to_finish_it(unfinished: Path) -> None:
    assert "holds an unfinished training: finish it with `marsfolio train --resume`" in refusal(unfinished)


def test_a_manifest_cut_off_anywhere_is_refused(folder: Path) -> None:
    whole = (folder / MANIFEST).read_bytes()
    for length in range(0, len(whole) - 2, 97):
        (folder / MANIFEST).write_bytes(whole[:length])
        assert "is damaged" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is damaged"),
        (b"kind: marsfolio-model", "is damaged"),
        (b"\xff\xfe\x00", "is damaged"),
        (b"[1, 2]", "was not written by marsfolio"),
        (b"null", "was not written by marsfolio"),
        (b'"marsfolio-model"', "was not written by marsfolio"),
        (b"{}", "its kind is not 'marsfolio-model'"),
        (b'{"kind": "pipeline"}', "its kind is not 'marsfolio-model'"),
        (b'{"kind": "marsfolio-model"}', "has format_version None"),
        (b'{"kind": "marsfolio-model", "format_version": 1}', f"does not list {WEIGHTS}"),
        (b'{"kind": "marsfolio-model", "format_version": 1, "files": []}', f"does not list {WEIGHTS}"),
        (b'{"kind": "marsfolio-model", "format_version": 1, "files": {}}', f"does not list {WEIGHTS}"),
    ],
)
def test_a_manifest_that_is_none_of_ours_is_refused(folder: Path, content: bytes, expected: str) -> None:
    (folder / MANIFEST).write_bytes(content)
    assert expected in refusal(folder)


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_a_manifest_of_another_format_version_is_refused(folder: Path, version: object) -> None:
    edit_manifest(folder, lambda m: m.update(format_version=version))
    assert f"has format_version {version}, this program reads 1: train again or use the version" in refusal(folder)


@pytest.mark.parametrize("key", ["kind", "format_version", "files", "settings", "symbols", "seed"])
def test_a_manifest_without_a_key_is_refused(folder: Path, key: str) -> None:
    edit_manifest(folder, lambda m: m.pop(key))
    refusal(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("settings", []),
        ("settings", None),
        ("settings", "published"),
        ("settings", {"gama": 0.9}),
        ("settings", {"n_agents": 0}),
        ("settings", {"hidden": None}),
        ("settings", {}),
        ("symbols", 3),
        ("symbols", ["S0"]),
        ("seed", "zero"),
        ("seed", None),
        ("seed", float("inf")),
        ("seed", 2**80),
    ],
)
def test_a_manifest_with_a_senseless_value_is_refused(folder: Path, key: str, value: object) -> None:
    edit_manifest(folder, lambda m: m.update({key: value}))
    assert "does not fit together" in refusal(folder)


def test_weights_cut_off_anywhere_are_refused(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    for length in (0, 1, 7, 8, 100, len(whole) // 2, len(whole) - 1):
        (folder / WEIGHTS).write_bytes(whole[:length])
        assert "is damaged: its sha256 is" in refusal(folder)
        forge(folder, WEIGHTS, whole[:length])
        assert "does not fit together" in refusal(folder)


def test_one_flipped_bit_in_any_file_is_refused(folder: Path) -> None:
    for name in (WEIGHTS, HISTORY):
        size = (folder / name).stat().st_size
        for at in (0, size // 2, size - 1):
            flip_bit(folder / name, at)
            message = refusal(folder)
            assert name in message
            assert "is damaged" in message
            flip_bit(folder / name, at)
    load_model(folder)


@pytest.mark.parametrize("name", [WEIGHTS, HISTORY])
def test_a_missing_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name}: No such file or directory; restore the folder or train again" in refusal(folder)


@pytest.mark.parametrize("name", [WEIGHTS, HISTORY, MANIFEST])
def test_a_folder_in_place_of_a_file_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    (folder / name).mkdir()
    assert "cannot read" in refusal(folder)


def test_weights_of_another_size_are_refused_even_with_the_right_hash(folder: Path, tmp_path: Path) -> None:
    larger = train_model(tmp_path / "larger", episodes=1, hidden=(33, 16))
    forge(folder, WEIGHTS, (larger.path / WEIGHTS).read_bytes())
    assert "does not fit together" in refusal(folder)
    assert "size mismatch" in refusal(folder)


@pytest.mark.parametrize("name", ["encoder.mean", "encoder.std", "ensemble.actor.weights.0"])
def test_weights_without_one_of_their_tensors_are_refused(folder: Path, name: str) -> None:
    tensors = safetensors.torch.load_file(folder / WEIGHTS)
    del tensors[name]
    forge(folder, WEIGHTS, safetensors.torch.save(tensors))
    assert name.removeprefix("ensemble.") in refusal(folder)


def test_weights_with_a_tensor_too_many_are_refused(folder: Path) -> None:
    tensors = safetensors.torch.load_file(folder / WEIGHTS)
    forge(folder, WEIGHTS, safetensors.torch.save({**tensors, "ensemble.extra": torch.zeros(3)}))
    assert "extra" in refusal(folder)


class Bomb:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("pickle-was-run",)


def test_a_pickle_in_place_of_the_weights_is_refused_and_never_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    forge(folder, WEIGHTS, pickle.dumps(Bomb()))
    assert "does not fit together" in refusal(folder)
    torch.save({"weights": torch.zeros(3)}, tmp_path / "model.pt")
    forge(folder, WEIGHTS, (tmp_path / "model.pt").read_bytes())
    assert "does not fit together" in refusal(folder)
    assert not (tmp_path / "pickle-was-run").exists()


ODD_NAMES = ["../secret", "/etc/hostname", "sub/file", ".", "", "..", "a\x00b", "looks.jsonl", "other.bin"]


@pytest.mark.parametrize("name", ODD_NAMES, ids=[repr(name) for name in ODD_NAMES])
def test_a_manifest_that_lists_anything_but_a_models_files_is_refused(folder: Path, name: str) -> None:
    secret = folder.parent / "secret"
    secret.write_bytes(b"x")
    (folder / "other.bin").write_bytes(b"x")
    edit_manifest(folder, lambda m: m["files"].update({name: hashlib.sha256(b"x").hexdigest()}))
    assert f"{name!r}, which is no file of a model" in refusal(folder)


@pytest.mark.parametrize("value", [None, 5, [], ""])
def test_a_manifest_whose_hash_of_a_file_is_no_hash_is_refused(folder: Path, value: object) -> None:
    edit_manifest(folder, lambda m: m["files"].update({WEIGHTS: value}))
    assert "is damaged" in refusal(folder)


@pytest.mark.parametrize("failing", [WEIGHTS, HISTORY, MANIFEST])
def test_a_failure_while_saving_never_leaves_a_mixture_that_loads(
    folder: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    old = load_model(folder)
    replace = os.replace

    def fail(source: Path, target: Path) -> None:
        if Path(target).name == failing:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(checkpoint.os, "replace", fail)
    changed = {name: tensor + 1.0 for name, tensor in tensors_of(old).items()}
    with pytest.raises(CheckpointError, match="No space left"):
        save_model(folder, {"seed": 0}, changed, "new history\n")
    if failing == WEIGHTS:
        assert load_model(folder).hash == old.hash
    else:
        assert "is damaged" in refusal(folder)


def test_a_failed_replacement_leaves_the_old_content_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "replace", fail)
        with pytest.raises(CheckpointError, match="No space left"):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    write_atomically(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_a_failure_while_saving_the_state_leaves_the_state_before_it(
    unfinished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (unfinished / FOLDER / FILE).read_bytes()

    def fail(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.os, "replace", fail)
        with pytest.raises(CheckpointError, match="No space left"):
            train_model(unfinished, resume=True)
    assert (unfinished / FOLDER / FILE).read_bytes() == before
    assert train_model(unfinished, resume=True).manifest["episodes_trained"] == 3


def resume_refusal(out: Path) -> str:
    before = (out / FOLDER / FILE).read_bytes()
    with pytest.raises(CheckpointError) as caught:
        train_model(out, resume=True)
    assert (out / FOLDER / FILE).read_bytes() == before
    message = str(caught.value)
    # What the message tells to do must work: without the folder a training starts again.
    assert f"remove {out / FOLDER}" in message
    return message


def sealed(data: bytes) -> bytes:
    return hashlib.sha256(data).hexdigest().encode() + data


def test_a_training_state_cut_off_anywhere_is_refused(unfinished: Path) -> None:
    path = unfinished / FOLDER / FILE
    whole = path.read_bytes()
    for length in (0, 1, 63, 64, 65, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert "is damaged" in resume_refusal(unfinished)


def test_one_flipped_bit_in_a_training_state_is_refused(unfinished: Path) -> None:
    path = unfinished / FOLDER / FILE
    size = path.stat().st_size
    for at in (0, 63, 64, 72, size // 2, size - 1):
        flip_bit(path, at)
        assert "is damaged" in resume_refusal(unfinished)
        flip_bit(path, at)
    assert train_model(unfinished, resume=True).manifest["episodes_trained"] == 3


FOREIGN = {
    "text": b"not a state at all, but longer than a hash of 64 characters would be, to get past it",
    "pickle": pickle.dumps(Bomb()),
    "sealed text": sealed(b"hello"),
    "sealed nothing": sealed(b""),
    "sealed pickle": sealed(pickle.dumps(Bomb())),
    "sealed weights": sealed(safetensors.torch.save({"a": torch.zeros(2)})),
    "sealed empty document": sealed(safetensors.torch.save({"a": torch.zeros(2)}, {"state": "{}"})),
    "sealed list": sealed(safetensors.torch.save({"a": torch.zeros(2)}, {"state": "[1]"})),
    "sealed broken json": sealed(safetensors.torch.save({"a": torch.zeros(2)}, {"state": "{"})),
    "sealed null identity": sealed(safetensors.torch.save({"a": torch.zeros(2)}, {"state": '{"identity": null}'})),
}


@pytest.mark.parametrize("name", list(FOREIGN))
def test_a_foreign_file_in_place_of_the_training_state_is_refused_and_never_run(
    unfinished: Path, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (unfinished / FOLDER / FILE).write_bytes(FOREIGN[name])
    resume_refusal(unfinished)
    assert not (tmp_path / "pickle-was-run").exists()


@pytest.mark.parametrize("name", ["ensemble.actor.weights.0", "optimiser.critic.0.exp_avg", "replay.row"])
@pytest.mark.parametrize("how", ["missing", "other shape"])
def test_a_training_state_whose_tensors_do_not_fit_is_refused(unfinished: Path, name: str, how: str) -> None:
    path = unfinished / FOLDER / FILE
    data = path.read_bytes()[64:]
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    tensors = safetensors.torch.load(data)
    if how == "missing":
        del tensors[name]
    else:
        tensors[name] = torch.zeros((3, 3, 3, 3))
    path.write_bytes(sealed(safetensors.torch.save(tensors, header["__metadata__"])))
    resume_refusal(unfinished)
