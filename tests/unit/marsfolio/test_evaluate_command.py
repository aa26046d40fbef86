from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from evaluations import TINY, WINDOWS, write_bars

from agents import settings
from marsfolio.cli import main
from marsfolio.evaluation import grid

METHODS = ("tiny", "equal_weight")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module", autouse=True)
def _tiny() -> None:
    settings.SETTINGS.setdefault("tiny", TINY)


def write_config(folder: Path) -> None:
    write_bars(folder / "bars.csv")
    lines = [f"{key} = {json.dumps(value)}" for key, value in (("windows", WINDOWS), ("methods", METHODS))]
    more = ["seeds = [0, 1]", "null_paths = 5", "resamples = 50", 'data = "bars.csv"', "jobs = 1"]
    (folder / "tiny.toml").write_text("\n".join(["[evaluate]", *lines, *more]) + "\n")


def evaluate(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an evaluation that was never stopped."""
    folder = tmp_path_factory.mktemp("whole")
    write_config(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert evaluate("--config", "tiny.toml", "--out", "out") == 0
    return folder / "out"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return the command: arguments in, exit code, output and errors out."""
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path)

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = evaluate(*arguments)
        return code, *capsys.readouterr()

    return command


def test_one_command_gives_table_page_summary_and_log_of_looks(run: Run, whole: Path) -> None:
    table = pd.read_parquet(whole / "results.parquet")
    assert list(table.columns) == ["window", "method", "seed", "metric", "value"]
    assert not table.duplicated(["window", "method", "seed", "metric"]).any()
    pd.testing.assert_frame_equal(table, pd.read_csv(whole / "results.csv", dtype={"seed": str}))
    looks = [json.loads(line) for line in (whole / "looks.jsonl").read_text().splitlines()]
    assert [(look["method"], look["seed"], look["window"]) for look in looks] == [
        ("tiny", seed, name) for name in ("one", "two") for seed in (0, 1)
    ]

    # Its own configuration repeats it, from what is there.
    before = (whole / "results.csv").read_bytes()
    code, output, errors = run("--config", str(whole / "config.toml"))
    assert code == 0, errors
    assert "8 of 8 cells are on disk" in errors
    assert (whole / "results.csv").read_bytes() == before
    assert len((whole / "looks.jsonl").read_text().splitlines()) == 4
    assert output.count("2, of 1 configurations") == 2
    sentence = next(line for line in output.splitlines() if "holding everything equally" in line)
    assert f"**{sentence}**" == (whole / "summary.md").read_text().splitlines()[2]
    assert f'<p class="headline">{sentence}</p>' in (whole / "report.html").read_text()


def test_what_a_reader_compares_is_in_the_table(whole: Path) -> None:
    table = pd.read_parquet(whole / "results.parquet").set_index(["window", "method", "seed", "metric"])["value"]
    assert table["one", "tiny", "0", "sharpe_difference"] == pytest.approx(
        table["one", "tiny", "0", "sharpe_ratio"] - table["one", "equal_weight:monthly", "0", "sharpe_ratio"]
    )
    by_seed = [table["one", "tiny", seed, "sharpe_ratio"] for seed in ("0", "1")]
    assert table["one", "tiny", "median", "sharpe_ratio"] == pytest.approx(sum(by_seed) / 2)
    gains = [table[name, "tiny", "median", "sharpe_difference"] for name in ("one", "two")]
    assert table["all", "tiny", "median", "sharpe_difference"] == pytest.approx(sum(gains) / 2)
    low, high = (table["all", "tiny", "together", f"sharpe_difference_{end}"] for end in ("low", "high"))
    assert low < table["all", "tiny", "together", "sharpe_difference"] < high
    assert table["one", "equal_weight:monthly", "0", "volatility_ratio"] == 1.0
    assert table["one", "equal weight at the exposure of tiny", "0", "mean_exposure"] == pytest.approx(
        table["one", "tiny", "0", "mean_exposure"], rel=1e-3
    )
    assert {"tiny untrained", "tiny agent_04"} <= set(table.index.get_level_values("method"))
    assert table["one", "tiny", "0", "n_trials"] == 3.0


def test_an_evaluation_that_was_stopped_goes_on_to_the_same_table(
    run: Run, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute, calls = grid.compute, []

    def stopped(cell: object) -> None:
        calls.append(cell)
        if len(calls) == 3:
            raise KeyboardInterrupt
        compute(cell)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(grid, "compute", stopped)
        code, _, errors = run("--config", "tiny.toml", "--out", "out")
    assert code == 130
    assert "2 of 8 cells are in" in errors
    assert not (tmp_path / "out/results.csv").exists()
    code, _, errors = run("--config", "tiny.toml", "--out", "out")
    assert code == 0, errors
    assert "1/8" not in errors
    for name in ("results.csv", "learning_curves.csv"):
        assert (tmp_path / "out" / name).read_bytes() == (whole / name).read_bytes()
    assert len((tmp_path / "out/looks.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "tinny"], "did you mean 'tiny'"),
        (["--seeds", "-1"], "see -1"),
        (["--seeds", "2", "--seeds", "2"], "see 2"),
        (["--windows", "x"], "must be NAME="),
        (["--symbols", "ZZZ"], "no bars for 'ZZZ'"),
        (["--cap", "2"], "cap must be"),
        (["--out", "full"], "holds 'a.txt', which is no part of an evaluation"),
        (["--out", "bars.csv"], "is a file"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(run: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/a.txt").touch()
    code, _, errors = run("--config", "tiny.toml", *([] if "--out" in arguments else ["--out", "out"]), *arguments)
    assert code == 2, errors
    assert message in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out").exists()


def test_an_unknown_key_is_refused_with_the_nearest(run: Run, tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("[evaluate]\nwindow = []\n")
    code, _, errors = run("--config", "wrong.toml", "--out", "out")
    assert code == 2
    assert "has no key 'window'; did you mean 'windows'?" in errors


@pytest.mark.parametrize("name", ["published-us", "published-ablations", "single-agents", "ablation", "quick"])
def test_the_bundled_configurations_name_windows_that_exist(name: str) -> None:
    import tomllib

    from marsfolio.evaluation.periods import parse_periods

    path = Path(__file__).parents[3] / "configs" / f"{name}.toml"
    table = tomllib.loads(path.read_text())["evaluate"]
    tested = {periods.test[0][:4] for periods in parse_periods(table["windows"])}
    assert tested & {"2022", "2024"} == {
        "published-us": {"2022", "2024"},
        "single-agents": {"2022", "2024"},
        "published-ablations": {"2024"},
    }.get(name, set())
    assert len(table["seeds"]) >= (5 if name in ("published-us", "ablation") else 3)
